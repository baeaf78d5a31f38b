"""Reference implementation of TFP and TFI in plain Python, pixel by pixel."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def per_pixel(
    spikes: NDArray[Any], rule: Callable[[list[int], int], float], centers: list[int]
) -> NDArray[np.float64]:
    """Apply a function of one pixel's spikes and a plane to all pixels of planes (T, H, W)."""
    _, height, width = spikes.shape
    out = np.empty((len(centers), height, width))
    for y in range(height):
        for x in range(width):
            pixel = [int(value != 0) for value in spikes[:, y, x]]
            out[:, y, x] = [rule(pixel, center) for center in centers]
    return out


def rate_in_window(pixel: list[int], center: int, window: int) -> float:
    first = center - window // 2
    inside = [pixel[t] for t in range(first, first + window) if 0 <= t < len(pixel)]
    return sum(inside) / len(inside)


def inverse_interval(
    pixel: list[int],
    center: int,
    convention: str = "forward",
    missing: str = "zero",
    limit: float = float("inf"),
) -> float:
    times = [t for t, fired in enumerate(pixel) if fired]
    boundary = center + (convention == "forward")
    past, future = [s for s in times if s < boundary], [s for s in times if s >= boundary]
    if missing == "zero" and not (past and future):
        return 0.0
    interval = (future[0] if future else len(pixel)) - (past[-1] if past else -1)
    return 1 / interval if interval <= limit else 0.0


def mean_inverse_interval(pixel: list[int], center: int, average: int, **rules: Any) -> float:
    first = center - average // 2
    planes = [t for t in range(first, first + average) if 0 <= t < len(pixel)]
    return sum(inverse_interval(pixel, t, **rules) for t in planes) / len(planes)
