"""Charts: colours where they belong, numbers where they fit, and any number of classes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.media import confusion_chart, map_chart
from spike_zoo.media.charts import DOT, INK, MAP_SIDE, PALETTE, PAPER, RAMP, class_colours

ROOM = 0.06 * MAP_SIDE


def _has(chart: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((chart == np.array(colour, np.uint8)).all(axis=2).any())


def test_cells_have_the_colour_of_their_share_of_the_row() -> None:
    chart = confusion_chart(np.array([[900, 0], [1, 1]]), ("a", "b"))
    assert chart.dtype == np.uint8
    for share in range(3):
        assert _has(chart, RAMP[share]), "a row that is all right, and one that is half so"
    other = confusion_chart(np.array([[9, 0], [0, 5]]), ("a", "b"))
    assert not _has(other, RAMP[1])


def test_a_class_that_was_never_shown_is_an_empty_row() -> None:
    chart = confusion_chart(np.array([[0, 0], [0, 0]]), ("a", "b"))
    assert _has(chart, RAMP[0])
    assert not _has(chart, RAMP[2])


@pytest.mark.parametrize("classes", [2, 10, 101])
def test_charts_of_few_and_many_classes_have_a_size_that_can_be_looked_at(classes: int) -> None:
    names = [f"a class with the long name {number}" for number in range(classes)]
    height, width, _ = confusion_chart(np.eye(classes, dtype=np.int64), names).shape
    assert 200 < height < 1600
    assert 400 < width < 1600


def test_counts_that_do_not_fit_the_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 names need counts of as many rows, got \(2, 2\)"):
        confusion_chart(np.zeros((2, 2), np.int64), ("a", "b", "c"))
    with pytest.raises(ValueError, match="2 classes need points"):
        map_chart(np.zeros((3, 2)), np.zeros(2, np.int64), ("a",))


def test_points_lie_where_they_are_in_the_colour_of_their_class() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    chart = map_chart(points, np.array([0, 1, 2, 3]), ("", "", "", ""))
    top = chart.shape[0] - MAP_SIDE - 24
    near, far = round(ROOM), round(MAP_SIDE - ROOM)
    found = [
        tuple(chart[top + row, 24 + column].tolist())
        for row, column in ((far, near), (far, far), (near, near), (near, far))
    ]
    assert found == list(PALETTE[:4]), "the second value grows upwards"


def test_points_taken_for_another_class_have_a_ring() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0]])
    rings = np.array([False, True])
    chart = map_chart(points, np.array([0, 1]), ("", ""), rings)[90:]
    dark = (np.abs(chart.astype(int) - INK).sum(axis=2) < 30).nonzero()
    assert len(dark[0]) > 8
    assert (np.abs(dark[1] - (24 + MAP_SIDE - ROOM)) <= DOT + 1).all(), "around the second alone"


def test_every_class_has_a_colour_of_its_own_that_is_not_the_papers() -> None:
    colours = class_colours(101)
    assert len(set(colours)) == 101
    assert colours[:10] == list(PALETTE)
    assert class_colours(3) == list(PALETTE[:3])
    assert all(sum(PAPER) - sum(colour) > 100 for colour in colours)
