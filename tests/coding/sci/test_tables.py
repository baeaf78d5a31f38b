"""Tables of frequencies: committed integers that any mathematics confirms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.coding.sci.tables import (
    SIGMAS,
    asset_bytes,
    from_frequencies,
    gaussian_tables,
    quantised,
)


def test_the_levels_grow_by_one_factor_from_0_11_to_64() -> None:
    assert (len(SIGMAS), SIGMAS[0], SIGMAS[-1]) == (64, 0.11, pytest.approx(64, rel=1e-12))
    np.testing.assert_allclose(SIGMAS[1:] / SIGMAS[:-1], (64 / 0.11) ** (1 / 63))


def test_sixty_digits_make_the_committed_asset_byte_for_byte() -> None:
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
            chances = [*half, 1 - 2 * below[-1], *reversed(half), 2 * below[0]]
            counts = [int(mpmath.floor(p * (65_536 - len(chances)))) + 1 for p in chances]
            counts[counts.index(max(counts))] += 65_536 - sum(counts)
            numbers += [radius, *counts]
    assert np.array(numbers, "<u2").tobytes() == asset_bytes()


def test_every_gaussian_table_is_whole_widens_and_is_symmetric_but_for_what_rounding_left() -> None:
    tables = gaussian_tables()
    assert tables.radius.tolist() == [min(max(math.ceil(5 * s), 1), 256) for s in SIGMAS]
    assert tables.cumulative.size == (2 * tables.radius + 3).sum()
    peaks = []
    for radius, offset in zip(tables.radius.tolist(), tables.offset.tolist(), strict=True):
        table = tables.cumulative[offset : offset + 2 * radius + 3].astype(int)
        assert (table[0], table[-1]) == (0, 65_536)
        frequencies = np.diff(table)
        assert frequencies.min() >= 1
        differs = frequencies[:-1] != frequencies[-2::-1]
        assert set(np.flatnonzero(differs)) <= {
            frequencies.argmax(),
            2 * radius - frequencies.argmax(),
        }
        peaks.append(frequencies.max())
    assert peaks == sorted(peaks, reverse=True)


def test_tables_that_all_share_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        gaussian_tables().cumulative[3] = 0


def test_what_rounding_leaves_goes_to_the_first_of_the_largest() -> None:
    # 3 symbols: floor(p * 65533) + 1 = 21845 each, and 1 is left
    assert quantised(np.full(3, 1 / 3)).tolist() == [21_846, 21_845, 21_845]
    assert quantised(np.array([0.0, 0.5, 0.5])).tolist() == [1, 32_768, 32_767]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40).filter(lambda row: sum(row) > 0.01))
def test_any_distribution_gets_whole_frequencies_close_to_it(row: list[float]) -> None:
    chances = np.array(row) / sum(row)
    frequencies = quantised(np.stack([chances, chances[::-1]]))
    assert frequencies.dtype == np.uint16
    assert frequencies.sum(axis=1).tolist() == [65_536, 65_536]
    assert frequencies.min() >= 1
    assert np.abs(frequencies[0] / 65_536 - chances).max() <= len(row) / 65_536


@pytest.mark.parametrize(
    ("chances", "problem"),
    [
        ([0.5, 0.4], "sum to 1"),
        ([1.5, -0.5], "negative"),
        ([1.0], "2 to 4096"),
        ([math.nan, 1.0], "must not be negative"),
    ],
)
def test_what_is_no_distribution_is_refused(chances: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        quantised(np.array(chances))


def test_side_tables_hold_31_symbols_and_the_escape() -> None:
    frequencies = np.full((2, 32), 2_048, np.uint16)
    tables = from_frequencies(frequencies)
    assert (tables.radius.tolist(), tables.offset.tolist()) == ([15, 15], [0, 33])
    assert tables.cumulative.tolist() == 2 * list(range(0, 65_537, 2_048))


@pytest.mark.parametrize(
    ("frequencies", "problem"),
    [
        (np.full((2, 31), 2_048, np.uint16), r"\(C, 32\), got \(2, 31\)"),
        (np.full((2, 32), 2_048), "uint16, got int64"),
        (np.full((2, 32), 2_047, np.uint16), "sum to 65536"),
        (np.array([[0, 4_096] + 30 * [2_048]], np.uint16), "at least 1"),
    ],
)
def test_frequencies_that_are_no_tables_are_refused(frequencies: np.ndarray, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_frequencies(frequencies)
