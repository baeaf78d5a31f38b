"""Colour filter arrays: the Bayer layouts and the colour channel of each pixel."""

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import UsageError

Cfa = Literal["RGGB", "BGGR", "GRBG", "GBRG"]

LAYOUTS: Final[tuple[Cfa, ...]] = get_args(Cfa)
"""The four Bayer layouts: channels of the top left 2 x 2 pixels of the upright image, by rows."""


def check_cfa(cfa: object) -> Cfa:
    """Return a layout; raise UsageError if it is not in :data:`LAYOUTS`."""
    for layout in LAYOUTS:
        if cfa == layout:
            return layout
    raise UsageError(f"cfa must be {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}, got {cfa!r}")


def cfa_tile(cfa: Cfa | None) -> NDArray[np.int32]:
    """Return the channel of each of the 2 x 2 pixels: 0 red, 1 green, 2 blue; 0 without filters."""
    letters = "RRRR" if cfa is None else check_cfa(cfa)
    return np.array(["RGB".index(letter) for letter in letters], np.int32).reshape(2, 2)


def cfa_masks(cfa: Cfa, height: int, width: int) -> NDArray[np.bool_]:
    """Return the masks of the red, green and blue pixels, ``(3, H, W)``.

    Example:
        >>> cfa_masks("RGGB", 2, 3).astype(int).tolist()
        [[[1, 0, 1], [0, 0, 0]], [[0, 1, 0], [1, 0, 1]], [[0, 0, 0], [0, 1, 0]]]
    """
    channels = np.tile(cfa_tile(cfa), (-(-height // 2), -(-width // 2)))[:height, :width]
    return channels == np.arange(3)[:, None, None]
