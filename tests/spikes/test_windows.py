"""Plane ranges of windows and clips."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.errors import PlaneRangeError, UsageError
from spike_zoo.spikes.windows import (
    centers_with_stride,
    centred_window,
    mirrored_planes,
    planes_inside,
    spread_planes,
    wanted_planes,
)


@given(planes=st.integers(1, 40), before=st.integers(0, 39), after=st.integers(0, 39))
def test_mirroring_is_the_reflection_of_numpy(planes: int, before: int, after: int) -> None:
    before, after = min(before, planes - 1), min(after, planes - 1)
    expected = np.pad(np.arange(planes), (before, after), mode="reflect")
    np.testing.assert_array_equal(mirrored_planes(-before, planes + after, planes), expected)


def test_an_odd_window_is_symmetric_and_an_even_one_has_its_extra_plane_before_the_centre() -> None:
    assert centred_window(10, 5) == (8, 13)
    assert centred_window(10, 4) == (8, 12)


@pytest.mark.parametrize("window", [(-5, 1, 5), (0, 10, 5), (-5, 10, 5), (-1, 1, 1)])
def test_a_window_longer_than_one_reflection_is_rejected(window: tuple[int, int, int]) -> None:
    with pytest.raises(PlaneRangeError, match="longer recording"):
        mirrored_planes(*window)


def test_centres_start_at_the_first_plane_or_the_given_one() -> None:
    assert centers_with_stride(100, 40) == [0, 40, 80]
    assert centers_with_stride(100, 40, first=30) == [30, 70]
    with pytest.raises(ValueError, match="stride"):
        centers_with_stride(100, 0)


def test_centres_outside_the_recording_are_named_in_the_error() -> None:
    assert wanted_planes([0, 4], 5) == [0, 4]
    with pytest.raises(PlaneRangeError, match=r"plane 5 .* 0\.\.4"):
        wanted_planes([0, 5], 5)


@pytest.mark.parametrize(
    ("selection", "planes"),
    [
        (3, [3]),
        (np.int64(3), [3]),
        (np.array([1, 3]), [1, 3]),
        (torch.tensor([1, 3]), [1, 3]),
        (torch.tensor(3), [3]),
        (iter([1, 3]), [1, 3]),
        (range(2), [0, 1]),
    ],
)
def test_planes_are_selected_like_numpy_indices(selection: Any, planes: list[int]) -> None:
    assert wanted_planes(selection, 5) == planes


@pytest.mark.parametrize("selection", ["3", [1.5], None, 2.0, [[1, 2]], np.array([1.0])])
def test_planes_that_are_not_integers_are_rejected(selection: Any) -> None:
    with pytest.raises(UsageError, match="planes are whole numbers"):
        wanted_planes(selection, 5)


def test_the_published_exposure_lies_inside_the_published_margins() -> None:
    assert planes_inside(137) == (20, 117)
    assert planes_inside(41) == (20, 21)
    with pytest.raises(PlaneRangeError, match="not inside the 40 planes"):
        planes_inside(40)


@pytest.mark.parametrize(
    ("count", "planes"),
    [(1, [68]), (5, [20, 44, 68, 92, 116]), (7, [20, 36, 52, 68, 84, 100, 116])],
)
def test_published_times_are_spread_over_the_published_exposure(
    count: int, planes: list[int]
) -> None:
    assert spread_planes(20, 117, count) == planes


@given(start=st.integers(0, 50), length=st.integers(1, 200), data=st.data())
def test_spread_planes_are_different_ordered_and_reach_both_ends(
    start: int, length: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, length))
    planes = spread_planes(start, start + length, count)
    assert len(set(planes)) == count
    assert planes == sorted(planes)
    if count > 1:
        assert (planes[0], planes[-1]) == (start, start + length - 1)
        gaps = np.diff(planes)
        assert gaps.max() - gaps.min() <= 1


def test_more_planes_than_there_are_cannot_be_spread() -> None:
    with pytest.raises(PlaneRangeError, match="4 different planes"):
        spread_planes(5, 8, 4)
    with pytest.raises(ValueError, match="at least 1"):
        spread_planes(5, 8, 0)
