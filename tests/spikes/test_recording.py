"""Reading and indexing of recordings."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.errors import GeometryError, PlaneRangeError
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.packing import pack_bits
from tests.helpers.streams import CountedPlanes, random_spikes, spike_streams


def test_iteration_and_numpy_yield_all_planes() -> None:
    spikes = random_spikes(5, 4, 11)
    recording = SpikeRecording.from_planes(spikes)
    np.testing.assert_array_equal(np.stack(list(recording)), spikes)
    np.testing.assert_array_equal(np.asarray(recording), spikes)
    with pytest.raises(ValueError, match="makes a copy"):
        np.asarray(recording, copy=False)
    assert recording.shape == (5, 4, 11)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 6), (4, 3), (6, 6)])
def test_planes_outside_the_recording_are_rejected(start: int, stop: int) -> None:
    recording = SpikeRecording.from_planes(random_spikes(5, 4, 11))
    with pytest.raises(PlaneRangeError, match=r"planes 0\.\.4"):
        recording.read(start, stop)
    with pytest.raises(IndexError):
        recording[5]


def indices(planes: int) -> st.SearchStrategy[Any]:
    """Return a strategy of indices that numpy accepts for an axis of this length."""
    numbers = st.integers(-planes, planes - 1)
    return st.one_of(
        numbers,
        st.slices(planes),
        st.builds(slice, st.integers(-99, 99), st.integers(-99, 99), st.sampled_from([None, 1, 7])),
        st.lists(numbers, max_size=6),
        st.lists(st.booleans(), min_size=planes, max_size=planes).map(np.array),
        st.just(Ellipsis),
        st.lists(numbers, min_size=4, max_size=4).map(lambda four: np.array(four).reshape(2, 2)),
    )


@given(spikes=spike_streams(), data=st.data())
def test_indexing_equals_that_of_numpy(spikes: np.ndarray, data: st.DataObject) -> None:
    recording = SpikeRecording.from_planes(spikes)
    chosen = data.draw(indices(len(spikes)))
    np.testing.assert_array_equal(recording[chosen], spikes[chosen])
    if chosen is not Ellipsis:
        rows = data.draw(st.slices(spikes.shape[1]))
        np.testing.assert_array_equal(recording[chosen, rows], spikes[chosen, rows])
        np.testing.assert_array_equal(recording[chosen, ..., 0], spikes[chosen, ..., 0])


@pytest.mark.parametrize("chosen", [5, -6, [0, 5], np.array([-6]), np.ones(4, bool)])
def test_an_index_outside_the_recording_raises_an_index_error_with_the_valid_planes(
    chosen: object,
) -> None:
    recording = SpikeRecording.from_planes(random_spikes(5, 4, 11))
    with pytest.raises(IndexError, match=r"planes 0\.\.4, from the end -1\.\.-5|shape \(5,\)"):
        recording[chosen]


@pytest.mark.parametrize("chosen", [1.5, None, "last", [0.0, 1.0], True])
def test_an_invalid_index_is_rejected_with_examples_of_valid_ones(chosen: object) -> None:
    with pytest.raises(TypeError, match=r"recording\[10:20\], recording\[\[1, 2\]\]"):
        SpikeRecording.from_planes(random_spikes(5, 4, 11))[chosen]


def test_planes_far_apart_are_read_without_the_planes_between_them() -> None:
    planes = CountedPlanes(pack_bits(random_spikes(90, 4, 16)))
    SpikeRecording(planes, 16)[::30]
    SpikeRecording(planes, 16)[[80, 3, 1, 3]]
    assert planes.ranges == [*((0, 1), (30, 31), (60, 61)), *((1, 4), (80, 81))]


def test_only_the_requested_range_is_read_from_the_source() -> None:
    planes = CountedPlanes(pack_bits(random_spikes(30, 4, 16)))
    recording = SpikeRecording(planes, 16)
    recording[7:12]
    recording[29]
    assert planes.ranges == [(7, 12), (29, 30)]


def test_a_crop_is_rows_and_bytes_of_the_same_planes() -> None:
    spikes = random_spikes(6, 10, 40)
    recording = SpikeRecording.from_planes(spikes)
    crop = recording.read_packed(1, 5, rows=slice(2, 9), byte_columns=slice(1, 4))
    bits = np.unpackbits(crop, axis=-1, bitorder="little")
    np.testing.assert_array_equal(bits, spikes[1:5, 2:9, 8:32])


def test_tensors_have_the_requested_type() -> None:
    spikes = random_spikes(6, 5, 9)
    recording = SpikeRecording.from_planes(spikes)
    assert recording.to_tensor(1, 3).dtype == torch.float32
    assert torch.equal(recording.to_tensor(1, 3, torch.uint8), torch.from_numpy(spikes[1:3]))


@pytest.mark.parametrize(
    ("shape", "width"),
    [((3, 4), 8), ((0, 4, 1), 8), ((3, 4, 1), 9), ((3, 4, 2), 8), ((3, 4, 1), 0)],
)
def test_bytes_too_few_for_the_width_are_rejected(shape: tuple[int, ...], width: int) -> None:
    with pytest.raises(GeometryError, match="cannot hold rows"):
        SpikeRecording(np.zeros(shape, np.uint8), width)


def test_arrays_of_another_type_or_number_of_axes_are_rejected() -> None:
    with pytest.raises(GeometryError, match="uint8"):
        SpikeRecording(np.zeros((3, 4, 1), np.int64), 8)
    with pytest.raises(GeometryError, match="planes, height, width"):
        SpikeRecording.from_planes(np.zeros((4, 8), bool))


def test_a_range_of_planes_is_a_recording_with_the_same_metadata() -> None:
    planes = np.random.default_rng(0).random((9, 2, 11)) < 0.5
    recording = SpikeRecording.from_planes(planes, fps=20000, rate_scale=0.6, meta={"name": "a"})
    part = recording.between(3, 7)
    np.testing.assert_array_equal(part.read(), planes[3:7])
    assert (part.fps, part.rate_scale, part.meta) == (20000, 0.6, {"name": "a"})
    assert recording.between() is recording
    with pytest.raises(PlaneRangeError, match="start must be below stop, and stop at most 9"):
        recording.between(3, 3)
    for start, stop in ((3, 3), (0, 10), (-1, 4)):
        with pytest.raises(PlaneRangeError, match=f"planes {start}..{stop}"):
            recording.between(start, stop)
