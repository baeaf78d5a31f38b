"""Tests of TFP and TFI against the reference, closed forms and measured clips."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from spike_zoo import read_recording
from spike_zoo.errors import PlaneRangeError
from spike_zoo.methods.classical import tfi, tfi_video, tfp, tfp_video, tfstp
from spike_zoo.methods.classical.functional import Convention, Missing
from tests.methods.classical.reference import mean_inverse_interval, per_pixel, rate_in_window

# PSNR in dB of each clip at plane 150 with a rate scale of 0.6, measured independently
MEASURED = {
    ("data.dat", "data.png"): {
        "tfp 8": 21.28,
        "tfp 16": 27.09,
        "tfp 41": 31.60,
        "tfp 301": 23.94,
        "tfi 1": 21.78,
        "tfi 9": 33.12,
        "tfi 21": 35.83,
    },
    ("base/test/spike/203_part1_key_id151.dat", "base/test/gt/203_part1_key_id151.png"): {
        "tfp 21": 25.86,
        "tfp 41": 23.49,
        "tfi 1": 24.37,
        "tfi 9": 30.35,
        "tfi 21": 27.63,
    },
    ("base/train/spike/203_part2_key_id151.dat", "base/train/gt/203_part2_key_id151.png"): {
        "tfp 21": 25.79,
        "tfp 128": 19.02,
        "tfi 1": 24.72,
        "tfi 9": 30.64,
        "tfi 21": 27.64,
    },
}


@st.composite
def streams(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Draw random planes (T, H, W) with a spike density from 0 to 1."""
    shape = (draw(st.integers(1, 24)), draw(st.integers(1, 3)), draw(st.integers(1, 9)))
    density = draw(st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).random(shape) < density


@given(spikes=streams(), window=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_tfp_equals_the_mean_of_the_window_at_every_plane(
    spikes: NDArray[np.bool_], window: int
) -> None:
    centers = list(range(len(spikes)))
    expected = per_pixel(spikes, lambda p, t: rate_in_window(p, t, window), centers)
    video = tfp_video(torch.from_numpy(spikes), window=window)
    np.testing.assert_allclose(video, expected, rtol=0, atol=2e-7)


@given(
    spikes=streams(),
    average=st.integers(1, 30),
    convention=st.sampled_from(get_args(Convention)),
    missing=st.sampled_from(get_args(Missing)),
)
@settings(max_examples=60, deadline=None)
def test_tfi_equals_the_reference_with_every_rule_at_the_ends(
    spikes: NDArray[np.bool_], average: int, convention: Convention, missing: Missing
) -> None:
    centers = list(range(len(spikes)))

    def reference(pixel: list[int], plane: int) -> float:
        rules = {"convention": convention, "missing": missing}
        return mean_inverse_interval(pixel, plane, average, **rules)

    video = tfi_video(torch.from_numpy(spikes), None, average, convention, missing)
    np.testing.assert_allclose(video, per_pixel(spikes, reference, centers), rtol=0, atol=2e-7)


@given(spikes=streams(), data=st.data(), average=st.sampled_from([1, 4]))
@settings(max_examples=60, deadline=None)
def test_centres_in_any_order_give_the_same_images_as_all_planes(
    spikes: NDArray[np.bool_], data: st.DataObject, average: int
) -> None:
    planes = torch.from_numpy(spikes)
    centers = data.draw(st.lists(st.integers(0, len(spikes) - 1), max_size=6))
    assert torch.equal(
        tfi_video(planes, centers, average), tfi_video(planes, None, average)[centers]
    )
    assert torch.equal(tfp_video(planes, centers, 5), tfp_video(planes, None, 5)[centers])


def test_a_centre_of_numpy_is_one_plane() -> None:
    spikes = torch.rand(9, 4, 6) < 0.4
    centre: Any = np.int64(4)
    assert torch.equal(tfp(spikes, centre, 5), tfp(spikes, 4, 5))
    assert torch.equal(tfi(spikes, centre), tfi(spikes, 4))
    assert torch.equal(tfstp(spikes, centre), tfstp(spikes, 4))


def test_repeated_centres_beside_skipped_ones_repeat_their_image() -> None:
    spikes = torch.rand(9, 2, 3) < 0.5
    assert torch.equal(tfi_video(spikes, [0, 0, 2]), tfi_video(spikes)[[0, 0, 2]])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_images_do_not_depend_on_the_type_and_value_of_spikes(dtype: torch.dtype) -> None:
    spikes = torch.rand(30, 4, 9) < 0.3
    marked = spikes.to(dtype) * 255
    assert torch.equal(tfi_video(marked, average=3), tfi_video(spikes, average=3))
    assert torch.equal(tfp_video(marked, None, 7), tfp_video(spikes, None, 7))


def test_a_batch_gives_the_same_images_as_single_clips() -> None:
    batch = torch.rand(3, 25, 4, 10) < 0.3
    for method in (tfi_video, tfp_video):
        expected = torch.stack([method(clip) for clip in batch])
        assert torch.equal(method(batch), expected)
    assert tfi(batch, 3).shape == (3, 4, 10)
    assert tfp(batch, [3, 4], 5).shape == (3, 2, 4, 10)


def test_planes_in_another_memory_order_give_the_same_images() -> None:
    transposed = (torch.rand(10, 4, 25) < 0.3).permute(2, 1, 0)
    assert torch.equal(tfi_video(transposed), tfi_video(transposed.contiguous()))


@pytest.mark.parametrize(("clip", "image"), MEASURED)
def test_sample_clips_have_the_measured_psnr(shared: Path, clip: str, image: str) -> None:
    recording = read_recording(shared / "data" / clip, height=250, width=400)
    truth = np.asarray(Image.open(shared / "data" / image), np.float32) / 255
    spikes = recording.to_tensor(dtype=torch.bool)
    for name, measured in MEASURED[clip, image].items():
        method, planes = name.split()
        rate = (tfp if method == "tfp" else tfi)(spikes, 150, int(planes))
        playback = (rate / 0.6).clamp(0, 1).numpy()
        psnr = -10 * np.log10(np.mean((playback - truth) ** 2))
        assert psnr == pytest.approx(measured, abs=0.05), name


@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"),
    [
        (tfi, (12,), PlaneRangeError, r"plane 12 .*planes 0\.\.11"),
        (tfp, (-1, 5), PlaneRangeError, "plane -1"),
        (tfp, (3, 0), ValueError, "at least 1 plane, got 0"),
        (tfi, (3, 0), ValueError, "at least 1 plane, got 0"),
        (tfi, (3, 1, "sideways"), ValueError, "convention must be one of forward, backward"),
        (tfi, (3, 1, "forward", "guess"), ValueError, "one of zero, bound, got 'guess'"),
    ],
)
def test_invalid_centres_and_rules_are_rejected(
    method: Any, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        method(torch.zeros(12, 2, 2), *arguments)


def test_spikes_of_another_shape_are_rejected_with_the_shape() -> None:
    with pytest.raises(ValueError, match=r"got \(5, 4\)"):
        tfi(torch.zeros(5, 4), 3)
