"""Warnings of headerless recordings whose stated size, bit order or offset does not fit."""

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spike_zoo.formats.dat import DatPlanes
from spike_zoo.formats.dat_alignment import first_byte, is_reversed, mean_rate, reverse_bits
from spike_zoo.formats.dat_sizes import COMMON_SIZES

_MAX_PIXELS = 1 << 23  # total pixels of the averaged planes
_MAX_PLANES = 256
_MIN_PIXELS = 64 * 64  # differences of fewer pixels are too noisy
_SHIFT = 8  # columns
_WITHOUT_DEFECTS = 0.98  # quantile of the firing rates; a few defective pixels form columns
# in simulated scenes at 0.03 to 0.6 spikes per plane at white, the ratio is 0.02 to 0.9 for the
# right size and at least 0.94 for others
_SIMILAR = 0.85
_FEWER_DIFFERENCES = 1.4


def warn_of_content(planes: DatPlanes, *, may_be_rolled: bool = True) -> None:
    """Warn if another size, order of bits or first byte fits the planes better."""
    layout, path = planes.layout, planes.path
    name = f"{path.name}.yaml"
    if (better := better_size(planes)) is not None:
        height, width = better
        warnings.warn(
            f"{path}: the rows do not fit together at {layout} (H x W), which gives an image of "
            f"stripes; {height}x{width} fits better: pass --height {height} --width {width}, or "
            f"correct {name}",
            stacklevel=3,
        )
        return
    length = 8 * layout.bytes_for(8 if layout.runs_on else 1)
    rate = mean_rate(_middle_bits(planes), length)
    is_large = layout.pixels >= _MIN_PIXELS
    if is_large and is_reversed(rate):
        order = "little" if layout.bit_order == "big" else "big"
        warnings.warn(
            f"{path}: the image has stripes of 8 columns, because the pixels of each byte are in "
            f"reverse order: pass --bit-order {order}, or write 'bit_order: {order}' into {name}",
            stacklevel=3,
        )
        rate = reverse_bits(rate)
    if may_be_rolled and (first := _first_byte(planes, rate)):
        offset = (layout.offset + first) % layout.bytes_for(1)
        rows, columns = divmod(8 * first, layout.width)
        and_columns = f" and {columns} columns" if columns else ""
        _, left = replace(layout, offset=offset).planes_in(path.stat().st_size)
        partial = " and --allow-partial, because the last plane is then incomplete" if left else ""
        warnings.warn(
            f"{path}: the image seems to be rolled by {rows} rows{and_columns}: the first plane "
            f"begins at byte {offset}, not {layout.offset}. Pass --offset {offset}{partial}, or "
            f"write 'offset: {offset}' into {name} ('offset: 0' disables this warning)",
            stacklevel=3,
        )


def _middle_bits(planes: DatPlanes) -> NDArray[np.uint8]:
    """Return the stored bits of planes in the middle of a file, from a plane that starts a byte."""
    count = planes.shape[0]
    used = min(count, max(1, min(_MAX_PLANES, _MAX_PIXELS // planes.layout.pixels)))
    return planes.stored_bits((count - used) // 2 // 8 * 8, used)


def _first_byte(planes: DatPlanes, rate: NDArray[np.float32]) -> int | None:
    """Return the byte of the stated planes at which they really begin; None if it is not clear."""
    layout = planes.layout
    if layout.runs_on:
        return None
    _, left = layout.planes_in(planes.path.stat().st_size)
    return first_byte(rate, layout.height, layout.width, sorted({0, left}))


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
    if pixels < _MIN_PIXELS:
        return None
    bits = _middle_bits(planes)
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
