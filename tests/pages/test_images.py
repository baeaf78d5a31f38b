"""Tests of the images of a report: the two methods that its slider compares initially."""

import pytest

from spike_zoo.pages.images import Quality, _sides


@pytest.mark.parametrize(
    ("psnr", "expected"),
    [
        ({}, ("tfi:average=9", "stir-aligned")),
        (
            {"tfp": 20, "tfi:average=9": 30, "plain": 34, "stir-aligned": 33},
            ("tfi:average=9", "plain"),
        ),
        (
            {"tfp": 20, "tfi:average=9": 30, "plain": 29, "stir-aligned": 28},
            ("tfp", "tfi:average=9"),
        ),
    ],
)
def test_the_slider_opens_with_tfi_and_the_best_method(
    psnr: dict[str, float], expected: tuple[str, str]
) -> None:
    names = ["tfp", "tfi:average=9", "plain", "stir-aligned"]
    left, right = _sides(names, {name: Quality(value) for name, value in psnr.items()})
    assert (names[left], names[right]) == expected
    assert _sides(["stir-aligned"], {}) == (0, -1), "the last layer is the ground truth"
