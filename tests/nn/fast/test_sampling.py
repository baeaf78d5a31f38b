"""Memory accesses of the compiled kernels of deformable convolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo.nn.fast.sampling import sample, sample_backwards

if TYPE_CHECKING:
    from spike_zoo.nn.fast.sampling import Reals

GROUPS, TAPS, GROUP_CHANNELS, HEIGHT, WIDTH = 2, 9, 3, 4, 5
PLACE = (0, HEIGHT, WIDTH, 3)


def fenced(*shape: int) -> tuple[Reals, Reals]:
    """Return an array of zeros inside a larger array of NaN."""
    size = math.prod(shape)
    whole = np.full(3 * size, np.nan, np.float32)
    whole[size : 2 * size] = 0
    return whole, whole[size : 2 * size].reshape(shape)


def offsets_and_mask(offset: float) -> tuple[Reals, Reals]:
    pixels = HEIGHT * WIDTH
    return (
        np.full((GROUPS, TAPS, 2, pixels), offset, np.float32),
        np.ones((GROUPS, TAPS, pixels), np.float32),
    )


@pytest.mark.parametrize(
    "offset", [-1e30, -7.5, -2.0, -0.5, 0.0, 0.5, 2.0, 7.5, 1e30, math.nan, math.inf, -math.inf]
)
def test_no_offset_reads_or_writes_outside_the_table(offset: float) -> None:
    whole, table = fenced(GROUPS, HEIGHT + 2, WIDTH + 2, GROUP_CHANNELS)
    table[:, 1:-1, 1:-1] = 1.0
    whole_gradient, table_gradient = fenced(*table.shape)
    columns = np.full((HEIGHT * WIDTH, GROUPS, TAPS, GROUP_CHANNELS), np.nan, np.float32)
    sample(table, offsets_and_mask(offset), PLACE, (0, GROUPS), columns)
    assert np.isfinite(columns).all()
    offset_gradients = offsets_and_mask(math.nan)
    tables, pair = (table, table_gradient), (columns, np.ones_like(columns))
    sample_backwards(tables, offsets_and_mask(offset), PLACE, (0, GROUPS), pair, offset_gradients)
    assert all(np.isfinite(array).all() for array in (table_gradient, *offset_gradients))
    for array in (whole, whole_gradient):
        assert np.isnan(array[: table.size]).all()
        assert np.isnan(array[-table.size :]).all()
    if not abs(offset) < HEIGHT + 2:
        assert not columns.any()
        assert not offset_gradients[0].any()
