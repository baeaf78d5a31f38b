"""Frequency tables: committed integers, quantisation and validation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo.coding.tables import asset_bytes, from_frequencies, quantised


def test_committed_tables_equal_those_computed_with_sixty_digits() -> None:
    mpmath = pytest.importorskip("mpmath")
    assert len(asset_bytes()) == 13_396
    numbers: list[int] = []
    with mpmath.workdps(60):
        for level in range(64):
            sigma = mpmath.mpf("0.11") * (mpmath.mpf(64) / mpmath.mpf("0.11")) ** (
                mpmath.mpf(level) / 63
            )
            radius = min(max(int(mpmath.ceil(5 * sigma)), 1), 256)
            below = [
                mpmath.ncdf((step - mpmath.mpf(1) / 2) / sigma) for step in range(-radius, 1)
            ]  # up to the lower edge of each symbol to 0
            half = [upper - lower for lower, upper in itertools.pairwise(below)]
            probabilities = [*half, 1 - 2 * below[-1], *reversed(half), 2 * below[0]]
            counts = [
                int(mpmath.floor(p * (65_536 - len(probabilities)))) + 1 for p in probabilities
            ]
            counts[counts.index(max(counts))] += 65_536 - sum(counts)
            numbers += [radius, *counts]
    assert np.array(numbers, "<u2").tobytes() == asset_bytes()


def test_the_remainder_of_rounding_is_added_to_the_first_of_the_largest() -> None:
    # 3 symbols: floor(p * 65533) + 1 = 21845 each, and 1 is left
    assert quantised(np.full(3, 1 / 3)).tolist() == [21_846, 21_845, 21_845]
    assert quantised(np.array([0.0, 0.5, 0.5])).tolist() == [1, 32_768, 32_767]


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40).filter(lambda row: sum(row) > 0.01))
def test_any_distribution_gets_whole_frequencies_close_to_it(row: list[float]) -> None:
    probabilities = np.array(row) / sum(row)
    frequencies = quantised(np.stack([probabilities, probabilities[::-1]]))
    assert frequencies.dtype == np.uint16
    assert frequencies.sum(axis=1).tolist() == [65_536, 65_536]
    assert frequencies.min() >= 1
    assert np.abs(frequencies[0] / 65_536 - probabilities).max() <= len(row) / 65_536


@pytest.mark.parametrize(
    ("probabilities", "problem"),
    [
        ([0.5, 0.4], "sum to 1"),
        ([1.5, -0.5], "negative"),
        ([1.0], "2 to 4096"),
        ([math.nan, 1.0], "must not be negative"),
    ],
)
def test_invalid_distributions_are_rejected(probabilities: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        quantised(np.array(probabilities))


@pytest.mark.parametrize(
    ("frequencies", "problem"),
    [
        (np.full((2, 31), 2_048, np.uint16), r"\(C, 32\), got \(2, 31\)"),
        (np.full((2, 32), 2_048), "uint16, got int64"),
        (np.full((2, 32), 2_047, np.uint16), "sum to 65536"),
        (np.array([[0, 4_096] + 30 * [2_048]], np.uint16), "at least 1"),
    ],
)
def test_invalid_frequency_tables_are_rejected(frequencies: np.ndarray, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_frequencies(frequencies)
