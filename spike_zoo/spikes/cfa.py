"""Colour filter arrays: which of red, green and blue each pixel of a Bayer sensor sees."""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import UsageError

Cfa = Literal["RGGB", "BGGR", "GRBG", "GBRG"]

LAYOUTS: Final[tuple[Cfa, ...]] = get_args(Cfa)
"""The four Bayer layouts: the top left 2 x 2 pixels of the upright image, row by row."""


def check_cfa(cfa: object) -> Cfa:
    """Return a valid layout.

    Raises:
        UsageError: If it is none of :data:`LAYOUTS`.
    """
    for known in LAYOUTS:
        if cfa == known:
            return known
    raise UsageError(f"cfa must be {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}, got {cfa!r}")


def cfa_tile(cfa: Cfa | None) -> NDArray[np.int32]:
    """Return the channel of each of the 2 x 2 pixels: 0 red, 1 green, 2 blue; 0 without filters."""
    letters = "RRRR" if cfa is None else check_cfa(cfa)
    return np.array(["RGB".index(letter) for letter in letters], np.int32).reshape(2, 2)


def cfa_masks(cfa: Cfa, height: int, width: int) -> NDArray[np.bool_]:
    """Return which pixels see red, green and blue, ``(3, H, W)``.

    Example:
        >>> cfa_masks("RGGB", 2, 3).astype(int).tolist()
        [[[1, 0, 1], [0, 0, 0]], [[0, 1, 0], [1, 0, 1]], [[0, 0, 0], [0, 1, 0]]]
    """
    channels = np.tile(cfa_tile(cfa), (-(-height // 2), -(-width // 2)))[:height, :width]
    return channels == np.arange(3)[:, None, None]
