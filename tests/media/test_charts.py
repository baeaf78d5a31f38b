"""Tests of charts: colours, numbers, any number of classes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.media.charts import class_colours, confusion_chart, map_chart, new_chart, to_svg


def _has(chart: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(chart.astype(int) - colour) <= 2).all(axis=2).any())


def test_cells_have_the_colour_of_their_share_of_the_row() -> None:
    dark, middle = (8, 48, 107), (107, 174, 214)  # matplotlib's "Blues" at 1 and 0.5
    chart = confusion_chart(np.array([[900, 0], [1, 1]]), ("a", "b"))
    assert chart.dtype == np.uint8
    assert _has(chart, dark)
    assert _has(chart, middle)
    assert not _has(confusion_chart(np.array([[9, 0], [0, 5]]), ("a", "b")), middle)
    assert not _has(confusion_chart(np.zeros((2, 2), np.int64), ("a", "b")), dark)


@pytest.mark.parametrize("classes", [2, 10, 101])
def test_charts_of_few_and_many_classes_have_a_readable_size(classes: int) -> None:
    names = [f"a class with the long name {number}" for number in range(classes)]
    height, width, _ = confusion_chart(np.eye(classes, dtype=np.int64), names).shape
    assert 200 < height < 1600
    assert 400 < width < 1600


def test_counts_and_classes_must_match_the_names_and_points() -> None:
    with pytest.raises(ValueError, match=r"3 names need counts of as many rows, got \(2, 2\)"):
        confusion_chart(np.zeros((2, 2), np.int64), ("a", "b", "c"))
    with pytest.raises(ValueError, match="2 classes need points"):
        map_chart(np.zeros((3, 2)), np.zeros(2, np.int64), ("a",))


def test_points_have_the_position_and_colour_of_their_class() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    chart = map_chart(points, np.arange(4), ("", "", "", ""))[:, :780]  # without the legend
    for number, (is_low, is_left) in enumerate([(True, True), (True, False), (False, True)]):
        colour = np.round(255 * np.array(class_colours(4)[number][:3]))
        rows, columns = np.nonzero((np.abs(chart - colour) <= 2).all(axis=2))
        assert (rows.mean() > 390) == is_low, "the second value grows upwards"
        assert (columns.mean() < 390) == is_left


def test_every_class_has_a_different_colour() -> None:
    for classes in (3, 10, 20, 101):
        assert len(set(class_colours(classes))) == classes


def test_svg_output_is_deterministic() -> None:
    def chart() -> str:
        figure, axes = new_chart()
        axes.plot([1, 2, 3], label="a < b")
        return str(to_svg(figure, 'a "line"'))

    assert chart() == chart()
    assert "&#34;line&#34;" in chart()
