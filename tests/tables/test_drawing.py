"""Axes of drawings have round numbers at the right places."""

from __future__ import annotations

import pytest

from spike_zoo.tables.drawing import LEFT, WIDTH, Axis, axis_below, axis_beside


@pytest.mark.parametrize(
    ("low", "high", "is_logarithmic", "ticks"),
    [
        (0.0, 1.0, False, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (28.3, 35.9, False, [30.0, 32.0, 34.0]),
        (0.008, 1.2, True, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
        (0.21, 0.41, True, [0.25, 0.3, 0.35, 0.4]),
    ],
)
def test_numbers_at_an_axis_are_round(
    low: float, high: float, is_logarithmic: bool, ticks: list[float]
) -> None:
    axis = Axis(low, high, 0.0, 100.0, is_logarithmic)
    assert axis.ticks() == pytest.approx(ticks)


def test_equal_steps_are_equal_and_equal_ratios_are_on_a_logarithmic_axis() -> None:
    linear, logarithmic = Axis(0, 4, 0, 100), Axis(1, 100, 0, 100, is_logarithmic=True)
    assert [linear(value) for value in (0, 1, 4)] == [0, 25, 100]
    assert [logarithmic(value) for value in (1, 10, 100)] == pytest.approx([0, 50, 100])


@pytest.mark.parametrize(
    ("values", "is_logarithmic"),
    [
        *(([1.0], kind) for kind in (False, True)),
        *(([3.0, 3.0], kind) for kind in (False, True)),
        *(([1e-3, 1e3], kind) for kind in (False, True)),
        ([0.0], False),
    ],
)
def test_every_value_has_a_place_inside(values: list[float], is_logarithmic: bool) -> None:
    below = axis_below(values, is_logarithmic=is_logarithmic)
    assert all(LEFT < below(value) < WIDTH for value in values)
    assert len(below.ticks()) >= 2
    beside = axis_beside(values)
    assert all(0 < beside(value) < 380 for value in values)
