"""Integer frequency tables of the range coder, identical on every machine."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = 64
TOTAL: Final = 1 << 16
"""Sum of the frequencies of a table."""
SIDE_RADIUS: Final = 15
"""Largest magnitude in the tables of side information; 31 symbols and the escape."""
_MIN_SIGMA, _MAX_SIGMA = 0.11, 64.0
_MAX_SYMBOLS = 4096  # so that the largest frequency can absorb the error of rounding
_ASSET = "gaussian_tables.bin"

SIGMAS: Final[NDArray[np.float64]] = np.array(
    [_MIN_SIGMA * (_MAX_SIGMA / _MIN_SIGMA) ** (level / (LEVELS - 1)) for level in range(LEVELS)]
)
"""Standard deviations of the Gaussian levels, ``(64,)``, from 0.11 to 64."""


class FrequencyTables(NamedTuple):
    """Concatenated tables of cumulative frequencies, each of the symbols -R..R and the escape."""

    radius: NDArray[np.int32]  # R of each table, (n,)
    offset: NDArray[np.int32]  # start of each table in ``cumulative``, (n,)
    cumulative: NDArray[np.uint32]  # 2R + 3 numbers from 0 to 65536 per table


def asset_bytes() -> bytes:
    """Return the committed integers of the Gaussian tables, 13 396 bytes.

    For each level: the radius R, then 2R + 2 frequencies, all as little-endian 16-bit integers.
    They are committed and never recomputed, because mathematical libraries differ in the last
    digit.
    """
    return files("spike_zoo.coding").joinpath(_ASSET).read_bytes()


@cache
def gaussian_tables() -> FrequencyTables:
    """Return the committed tables of the 64 levels of :data:`SIGMAS`."""
    numbers = np.frombuffer(asset_bytes(), "<u2")
    frequencies, position = [], 0
    while position < len(numbers):
        end = position + 1 + 2 * int(numbers[position]) + 2
        frequencies.append(numbers[position + 1 : end])
        position = end
    return _concatenated(frequencies)


def from_frequencies(frequencies: NDArray[np.uint16]) -> FrequencyTables:
    """Return tables of side information, with the symbols -15..15 and the escape.

    Frequencies are uint16 ``(C, 32)``, at least 1; each row sums to 65536.
    """
    if frequencies.ndim != 2 or frequencies.shape[1] != 2 * SIDE_RADIUS + 2:
        raise ValueError(f"frequencies must be (C, {2 * SIDE_RADIUS + 2}), got {frequencies.shape}")
    if frequencies.dtype != np.uint16:
        raise ValueError(f"frequencies must be uint16, got {frequencies.dtype}")
    sums = frequencies.sum(axis=1, dtype=np.int64)
    if (frequencies < 1).any() or (sums != TOTAL).any():
        raise ValueError(f"frequencies must be at least 1 and sum to {TOTAL} in every row")
    return _concatenated(list(frequencies))


def quantised(probabilities: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Quantise probabilities to frequencies of 16 bits, each at least 1, that sum to 65536.

    The last axis is that of the symbols including the escape, and sums to 1.
    """
    symbols = probabilities.shape[-1]
    if not 2 <= symbols <= _MAX_SYMBOLS:
        raise ValueError(f"a table has 2 to {_MAX_SYMBOLS} symbols, got {symbols}")
    sums = probabilities.sum(axis=-1, dtype=np.float64)
    if not ((probabilities >= 0).all() and np.allclose(sums, 1, rtol=0, atol=1e-4)):
        raise ValueError("probabilities must not be negative, and must sum to 1 in every row")
    whole = np.floor(probabilities.astype(np.float64) * (TOTAL - symbols)).astype(np.int64) + 1
    largest = whole.argmax(axis=-1, keepdims=True)  # the lowest index on ties
    rest = TOTAL - whole.sum(axis=-1, keepdims=True)
    np.put_along_axis(whole, largest, np.take_along_axis(whole, largest, -1) + rest, -1)
    return whole.astype(np.uint16)


def _concatenated(frequencies: Sequence[NDArray[np.uint16]]) -> FrequencyTables:
    """Return the cumulative tables of the frequencies of each table."""
    sizes = np.array([len(table) for table in frequencies], np.int32)
    offset = np.zeros_like(sizes)
    offset[1:] = np.cumsum(sizes + 1)[:-1]
    sums = [np.concatenate([[0], np.cumsum(table, dtype=np.uint32)]) for table in frequencies]
    tables = FrequencyTables((sizes - 2) // 2, offset, np.concatenate(sums).astype(np.uint32))
    for array in tables:
        array.flags.writeable = False  # the cached arrays are shared
    return tables
