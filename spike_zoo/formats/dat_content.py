"""Estimation of the size and the first row of headerless recordings from their bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spike_zoo.spikes.packing import unpack_bits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spike_zoo.formats.dat import DatPlanes

# height, width: sensors, simulators, public data sets and training crops
COMMON_SIZES = (
    (250, 400),
    (1000, 1000),
    (180, 320),
    (720, 1280),
    (250, 416),
    (1000, 1024),
    (500, 800),
    (400, 600),
    (256, 448),
    (360, 640),
    (96, 96),
    (240, 320),
    (250, 250),
    (224, 224),
    (480, 640),
    (256, 256),
    (128, 128),
    (64, 64),
)
_MOST_PIXELS = 1 << 23  # total pixels of the averaged planes
_MOST_PLANES = 256
_LEAST_ROWS, _LEAST_COLUMNS = 16, 32  # too few pixels to compare rows
_LEAST_CORRELATION = 0.05  # the standard deviation for noise is below 0.02 in planes of 64x64
# ratio of the largest to the second largest difference of rows at a seam; in simulated
# photographs, 81 % are detected without false alarms
_SEAM = 1.3


def fitting_sizes(path: Path) -> str:
    """List the common sizes that divide a file into whole planes, by decreasing likelihood.

    The likelihood is the correlation of neighbouring rows of the firing rate. The result is empty
    for a pipe, an empty file and a file that does not exist yet.
    """
    size = path.stat().st_size if path.is_file() else 0
    if not size:
        return ""
    fits = [(h, w) for h, w in COMMON_SIZES if size * 8 % (h * w) == 0]
    if not fits:
        return f"None of the common sensor sizes divides {size} bytes."
    likelihood = {fit: _mean_correlation(_leading_rate(path, *fit)) for fit in fits}
    is_known = len(fits) > 1 and max(likelihood.values()) >= _LEAST_CORRELATION
    ranked = sorted(fits, key=lambda fit: -likelihood[fit]) if is_known else fits
    listed = ", ".join(f"{h}x{w} ({size * 8 // (h * w)} planes)" for h, w in ranked)
    order = ", the most likely first" if is_known else ""
    return f"Sizes that fit {size} bytes{order}: {listed}."


def rolled_rows(planes: DatPlanes) -> int:
    """Estimate the number of stored rows before the first complete plane; 0 if not rolled.

    In a rolled image, one pair of neighbouring rows differs far more than all others, and the
    difference of the last and the first row is not larger than that of neighbours.
    """
    count, height, _ = planes.shape
    width = planes.layout.image_width
    if height < _LEAST_ROWS or width < _LEAST_COLUMNS:
        return 0
    used = min(count, _planes_to_average(height, width))
    first = (count - used) // 2
    rate = unpack_bits(planes[first : first + used], width).mean(axis=0, dtype=np.float32)
    differences = np.abs(rate - np.roll(rate, -1, axis=0)).mean(axis=1)  # the last: to the first
    second, largest = np.partition(differences[:-1], height - 3)[-2:].tolist()
    if largest <= _SEAM * second or differences[-1] > second:
        return 0
    above = int(differences[:-1].argmax()) + 1
    return height - above if planes.layout.flip else above


def _planes_to_average(height: int, width: int) -> int:
    return max(1, min(_MOST_PLANES, _MOST_PIXELS // (height * width)))


def _leading_rate(path: Path, height: int, width: int) -> NDArray[np.floating[Any]]:
    """Return the firing rate ``(H, W)`` of the first planes for an assumed size, not flipped."""
    pixels = height * width
    used = min(path.stat().st_size * 8 // pixels, _planes_to_average(height, width))
    stored = np.fromfile(path, np.uint8, -(-used * pixels // 8))
    bits = np.unpackbits(stored, bitorder="little", count=used * pixels)
    return bits.reshape(used, height, width).mean(axis=0, dtype=np.float32)


def _mean_correlation(rate: NDArray[np.floating[Any]]) -> float:
    """Return the mean correlation of neighbouring rows; rows of constant rate have 0."""
    rows = rate - rate.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return float((rows[:-1] * rows[1:]).sum(axis=1).mean())
