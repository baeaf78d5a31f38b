"""Estimation of the size and the first row of headerless recordings from their bits."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from spike_zoo.formats.dat_sizes import COMMON_SIZES
from spike_zoo.spikes.packing import unpack_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.formats.dat import DatPlanes

_MAX_PIXELS = 1 << 23  # total pixels of the averaged planes
_MAX_PLANES = 256
_MIN_ROWS, _MIN_COLUMNS = 16, 32  # too few pixels to compare rows
# ratio of the largest to the second largest difference of rows at a seam; in simulated
# photographs, 81 % are detected without false alarms
_SEAM = 1.3
_MIN_PIXELS = 64 * 64  # differences of fewer pixels are too noisy
_SHIFT = 8  # columns
_WITHOUT_DEFECTS = 0.98  # quantile of the firing rates; a few defective pixels form columns
# in simulated scenes at 0.03 to 0.6 spikes per plane at white, the ratio is 0.02 to 0.9 for the
# right size and at least 0.94 for others
_SIMILAR = 0.85
_FEWER_DIFFERENCES = 1.4


def warn_of_content(planes: DatPlanes) -> None:
    """Warn if another size fits the planes better, or if the image is rolled."""
    layout, path = planes.layout, planes.path
    if (better := better_size(planes)) is not None:
        height, width = better
        warnings.warn(
            f"{path}: the rows do not fit together at {layout} (H x W), which gives an image of "
            f"stripes; {height}x{width} fits better: pass --height {height} --width {width}, or "
            f"correct {path.name}.yaml",
            stacklevel=4,
        )
    elif (rows := rolled_rows(planes)) and layout.width % 8 == 0:
        warnings.warn(
            f"{path}: the picture seems to be rolled by {rows} rows: the file probably starts "
            f"inside a plane. To skip the incomplete first plane, write 'offset: "
            f"{rows * layout.width // 8}' into {path.name}.yaml (and pass --allow-partial if the "
            "last plane is then incomplete); 'offset: 0' disables this warning",
            stacklevel=4,
        )


def rolled_rows(planes: DatPlanes) -> int:
    """Estimate the number of stored rows before the first complete plane; 0 if not rolled.

    In a rolled image, one pair of neighbouring rows differs far more than all others, and the
    difference of the last and the first row is not larger than that of neighbours.
    """
    count, height, _ = planes.shape
    width = planes.layout.image_width
    if height < _MIN_ROWS or width < _MIN_COLUMNS:
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


def better_size(planes: DatPlanes) -> tuple[int, int] | None:
    """Return the size at which neighbouring rows are far more similar than at the stated one.

    Compared are the exchanged size and the common sizes that divide the file. A size is recognised
    if pixels below each other differ less than pixels in other columns, in both halves of a plane;
    so noise, dark and uniform recordings have none. Returns None if no size is better.
    """
    layout = planes.layout
    size, pixels = planes.path.stat().st_size - layout.offset, layout.pixels
    stride = pixels if layout.runs_on else 8 * layout.bytes_for(1)
    sizes = {(h, w): h * w for h, w in COMMON_SIZES if size * 8 % (h * w) == 0}
    sizes[layout.width, layout.height] = stride
    sizes.pop((layout.height, layout.width), None)
    used = min(planes.shape[0], _planes_to_average(layout.height, layout.width))
    if pixels < _MIN_PIXELS:
        return None
    bits = planes.stored_bits((planes.shape[0] - used) // 2, used)
    scores = {fit: _row_differences(bits, *fit, step) for fit, step in sizes.items()}
    known = {fit: row for fit, (row, is_column) in scores.items() if is_column}
    if not known:
        return None
    best = min(known, key=lambda fit: known[fit])
    stated, _ = _row_differences(bits, layout.height, layout.width, stride)
    return best if stated > _FEWER_DIFFERENCES * known[best] else None


def _row_differences(
    bits: NDArray[np.uint8], height: int, width: int, stride: int
) -> tuple[float, bool]:
    """Return how firing rates differ from those in the row below, for an assumed size.

    ``bits`` start with a plane; ``stride`` is the number of bits from one plane to the next.
    Returns the mean squared difference of neighbouring rows divided by that of unrelated pixels,
    and whether it is smaller than with a shift by some columns, in both halves of the plane.
    """
    used = min(bits.size // stride, _MAX_PLANES)
    if not used:
        return np.inf, False
    planes = bits[: used * stride].reshape(used, stride)[:, : height * width]
    rate = planes.mean(axis=0, dtype=np.float32)
    rate = np.minimum(rate, np.quantile(rate, _WITHOUT_DEFECTS))
    of_halves = []
    for half in np.array_split(rate, 2):
        below, left, right = (
            float(np.square(half[lag:] - half[:-lag]).mean()) if 0 < lag < half.size else np.inf
            for lag in (width, width - _SHIFT, width + _SHIFT)
        )
        of_halves.append(below < _SIMILAR * min(left, right))
    differences = np.square(rate[width:] - rate[:-width]).mean() if width < rate.size else np.inf
    return float(differences / max(2 * rate.var(), 1e-12)), all(of_halves)


def _planes_to_average(height: int, width: int) -> int:
    return max(1, min(_MAX_PLANES, _MAX_PIXELS // (height * width)))
