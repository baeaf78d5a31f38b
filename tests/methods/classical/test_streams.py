"""Tests of TFP and TFI of recordings in blocks against TFP and TFI of clips."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo.errors import PlaneRangeError
from spike_zoo.methods.classical import streams, tfi_stream, tfi_video, tfp_stream, tfp_video
from spike_zoo.spikes import SpikeRecording
from tests.helpers.streams import CountedPlanes
from tests.methods.classical.reference import inverse_interval, per_pixel


def make_recording(planes: int = 90, density: float = 0.1, seed: int = 5) -> SpikeRecording:
    """Return a recording whose first row stays dark and whose width is not a multiple of 8."""
    spikes = np.random.default_rng(seed).random((planes, 3, 13)) < density
    spikes[:, 0] = False
    spikes[[7, planes - 9], 0, 0] = True
    return SpikeRecording.from_planes(spikes)


@pytest.fixture(params=[39 * 17, 1])
def _small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_PIXELS", request.param)


CENTERS = [None, [0], [89], list(range(0, 90, 20)), [3, 4, 4, 50, 12, 89]]


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("centers", CENTERS)
@pytest.mark.parametrize("window", [1, 6, 61, 300])
def test_tfp_does_not_depend_on_the_blocks(centers: list[int] | None, window: int) -> None:
    recording = make_recording()
    streamed = torch.cat(list(tfp_stream(recording, centers, window)))
    assert torch.equal(streamed, tfp_video(recording.to_tensor(dtype=torch.bool), centers, window))


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("centers", CENTERS)
@pytest.mark.parametrize("average", [1, 6, 40])
def test_tfi_does_not_depend_on_the_blocks(centers: list[int] | None, average: int) -> None:
    recording = make_recording()
    streamed = torch.cat(list(tfi_stream(recording, centers, average)))
    whole = tfi_video(recording.to_tensor(dtype=torch.bool), centers, average)
    torch.testing.assert_close(streamed, whole, rtol=0, atol=1e-7)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("limit", [1, 5, 16])
def test_the_rate_of_long_intervals_is_0_for_any_block_size(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(streams, "MAX_INTERVAL", limit)
    recording = make_recording()
    expected = per_pixel(
        recording.read(), lambda p, t: inverse_interval(p, t, limit=limit), list(range(90))
    )
    np.testing.assert_allclose(torch.cat(list(tfi_stream(recording))), expected, atol=1e-7)
    for center in (0, 40, 89):
        (image,) = tfi_stream(recording, [center])
        np.testing.assert_allclose(image[0], expected[center], atol=1e-7)


@pytest.mark.parametrize("is_compiled", [True, False])
@given(
    planes=st.integers(1, 80),
    density=st.sampled_from([0.002, 0.05, 0.5]),
    seed=st.integers(0, 1000),
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_nearest_in_recording_returns_the_nearest_spike_of_each_pixel(
    is_compiled: bool, planes: int, density: float, seed: int, data: st.DataObject
) -> None:
    spikes = np.random.default_rng(seed).random((planes, 2, 11)) < density
    recording = SpikeRecording.from_planes(spikes)
    boundary, max_search = data.draw(st.integers(0, planes)), data.draw(st.integers(1, 90))
    ahead, back = (
        streams.nearest_in_recording(recording, boundary, step, max_search, is_compiled=is_compiled)
        for step in (1, -1)
    )
    for y, x in np.ndindex(2, 11):
        times = np.flatnonzero(spikes[:, y, x])
        later = times[(times >= boundary) & (times < boundary + max_search)]
        sooner = times[(times < boundary) & (times >= boundary - max_search)]
        assert ahead[y, x] == (later.min() if later.size else np.inf)
        assert back[y, x] == (sooner.max() if sooner.size else -np.inf)


def test_a_wide_window_reads_each_plane_at_most_twice_in_small_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "BLOCK_PIXELS", 39 * 10)
    source = CountedPlanes(make_recording(600).packed)
    for _ in tfp_stream(SpikeRecording(source, 13), window=301):
        pass
    counts = [stop - start for start, stop in source.ranges]
    assert sum(counts) <= 2 * 600
    assert max(counts) <= 10


def test_one_image_of_a_long_recording_reads_only_planes_within_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = CountedPlanes(make_recording(6000, density=0.3).packed)
    monkeypatch.setattr(streams, "MAX_INTERVAL", 200)
    list(tfi_stream(SpikeRecording(source, 13), [3000], 21))
    assert sum(stop - start for start, stop in source.ranges) <= 21 + 2 * 200


def test_wrong_arguments_raise_before_the_first_image() -> None:
    recording = make_recording()
    with pytest.raises(PlaneRangeError, match="plane 90"):
        tfp_stream(recording, [90])
    with pytest.raises(ValueError, match="at least 1 plane, got 0"):
        tfp_stream(recording, [3], window=0)
    with pytest.raises(ValueError, match="at least 1 plane, got 0"):
        tfi_stream(recording, [3], average=0)
