"""Noise-free spikes of drifting light, computed from the integrate-and-fire equation."""

import numpy as np
from numpy.typing import NDArray


def lit_planes(planes: int, height: int, width: int, seed: int = 0) -> NDArray[np.bool_]:
    """Return planes ``(T, H, W)`` of a sine of luminance, from 0.05 to 0.45 spikes per plane.

    The light drifts to the right; each pixel starts with a random charge.
    """
    draws = np.random.default_rng(seed)
    columns = np.arange(width) - 0.1 * np.arange(planes)[:, None, None]
    light = 0.25 + 0.2 * np.sin(columns / 9 + np.arange(height)[:, None] / 13)
    charge = draws.random((height, width)) + np.cumsum(light, axis=0)
    fired = np.floor(charge)
    return np.diff(fired, axis=0, prepend=np.zeros((1, height, width))) > 0
