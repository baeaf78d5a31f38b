"""Memory accesses of the compiled kernels of deformable convolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo.nn.fast.sampling import sample, sample_backwards

if TYPE_CHECKING:
    from spike_zoo.nn.fast.sampling import Reals

GROUPS, TAPS, OWN, HEIGHT, WIDTH = 2, 9, 3, 4, 5
PLACE = (0, HEIGHT, WIDTH, 3)


def fenced(*shape: int) -> tuple[Reals, Reals]:
    """Return an array of zeros inside a larger array of NaN."""
    size = math.prod(shape)
    whole = np.full(3 * size, np.nan, np.float32)
    whole[size : 2 * size] = 0
    return whole, whole[size : 2 * size].reshape(shape)


def moves(offset: float) -> tuple[Reals, Reals]:
    pixels = HEIGHT * WIDTH
    return (
        np.full((GROUPS, TAPS, 2, pixels), offset, np.float32),
        np.ones((GROUPS, TAPS, pixels), np.float32),
    )


@pytest.mark.parametrize(
    "offset", [-1e30, -7.5, -2.0, -0.5, 0.0, 0.5, 2.0, 7.5, 1e30, math.nan, math.inf, -math.inf]
)
def test_no_offset_leads_out_of_the_table(offset: float) -> None:
    whole, table = fenced(GROUPS, HEIGHT + 2, WIDTH + 2, OWN)
    table[:, 1:-1, 1:-1] = 1.0
    of_whole, of_table = fenced(*table.shape)
    columns = np.full((HEIGHT * WIDTH, GROUPS, TAPS, OWN), np.nan, np.float32)
    sample(table, moves(offset), PLACE, (0, GROUPS), columns)
    assert np.isfinite(columns).all()
    of_moves = moves(math.nan)
    both = columns, np.ones_like(columns)
    sample_backwards((table, of_table), moves(offset), PLACE, (0, GROUPS), both, of_moves)
    assert all(np.isfinite(array).all() for array in (of_table, *of_moves))
    for array in (whole, of_whole):
        assert np.isnan(array[: table.size]).all()
        assert np.isnan(array[-table.size :]).all()
    if not abs(offset) < HEIGHT + 2:
        assert not columns.any()
        assert not of_moves[0].any()


def test_a_thread_writes_nothing_of_other_groups() -> None:
    table = np.ones((GROUPS, HEIGHT + 2, WIDTH + 2, OWN), np.float32)
    of_table = np.zeros_like(table)
    both = np.zeros((2, HEIGHT * WIDTH, GROUPS, TAPS, OWN), np.float32)
    both[1] = 1.0
    of_moves = moves(0.0)[0], 0 * moves(0.0)[1]
    sample_backwards((table, of_table), moves(0.25), PLACE, (1, 2), (both[0], both[1]), of_moves)
    for written in (of_table, both[0].swapaxes(0, 1), of_moves[1]):
        assert not written[0].any()
        assert written[1].any()


def test_a_band_reads_and_writes_the_moves_of_its_own_pixels() -> None:
    table = np.ones((GROUPS, HEIGHT + 2, WIDTH + 2, OWN), np.float32)
    counted, of_moves = moves(0.0), (moves(0.0)[0], 0 * moves(0.0)[1])
    counted[1][:] = np.arange(HEIGHT * WIDTH)
    both = np.ones((2, 4, GROUPS, TAPS, OWN), np.float32)
    sample_backwards(
        (table, np.zeros_like(table)), counted, (7, HEIGHT, WIDTH, 3), (0, GROUPS),
        (both[0], both[1]), of_moves,
    )  # fmt: skip
    np.testing.assert_array_equal(both[0, :, 0, 0, 0], [7, 8, 9, 10])
    assert np.flatnonzero(of_moves[1][0, 0]).tolist() == [7, 8, 9, 10]
