"""Ranking of the possible sizes of a headerless recording by the autocorrelation of its bits."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Values = NDArray[np.float32]

#: Height, width: sensors, simulators, public data sets and training crops.
COMMON_SIZES: Final = (
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
_SAMPLE: Final = 1 << 19  # bytes from the middle of the file
_HEADERS: Final = (0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)  # bytes before the first plane
_MIN_SIDE, _MAX_ASPECT = 32, 4
_PLANES: Final = 8  # later planes whose pixels are compared
_LAGS: Final = (1, 2)  # columns; spikes of one pixel repel each other, those of neighbours do not
_SHIFT: Final = 4  # columns
_AROUND: Final = 64  # columns; similarity beyond is that of large areas, not of pixels
_CANDIDATES, _PEAKS = 16, 4  # plane lengths whose rows are compared
_PEAK_WIDTH: Final = 40  # bits
#: Smallest mean autocorrelation of pixels, in units of that of noise, or of unrelated pixels.
_SIGNIFICANT: Final = 2.0
# Factors of the score: known size; bytes before the first plane; incomplete last plane; planes that
# are not whole bytes; pixels that are less similar to those below them than to their neighbours
_COMMON, _HEADER, _INCOMPLETE, _PARTS, _SLANTED = 1.2, 0.9, 0.6, 0.8, 0.7
_MULTIPLES: Final = 0.2  # exponent of the plane length; static planes also repeat after two planes
_ASPECT: Final = 0.1  # exponent of the aspect ratio
_WORSE: Final = 0.5  # smallest listed score relative to the best
_LISTED, _NAMED = 9, 3  # sizes of a ranking by content, and of a message


class StoredSize(NamedTuple):
    """A size of the planes of a ``.dat`` file."""

    height: int  #: rows
    width: int  #: columns
    frame_align: str | None  #: as in the sidecar; None if planes are whole bytes
    offset: int  #: bytes before the first plane
    planes: int  #: complete planes
    left: int  #: bytes after the last complete plane

    def __str__(self) -> str:
        """Return size and number of planes, as ``250x400 (301 planes)``."""
        after = f" after {self.offset} bytes" if self.offset else ""
        align = f", frame_align: {self.frame_align}" if self.frame_align else ""
        left = f", {self.left} bytes over" if self.left else ""
        return f"{self.height}x{self.width} ({self.planes} planes{after}{left}{align})"


class SizeRanking(NamedTuple):
    """Possible sizes of a file."""

    #: by decreasing likelihood, then common sizes that divide the file
    sizes: tuple[StoredSize, ...]
    #: Whether the content determines the first size. Noise, dark and uniform recordings do not.
    is_recognised: bool


def fitting_sizes(path: Path, *, names_picture: bool = False) -> str:
    """List the most likely sizes of a file, and the common sizes that divide it.

    With ``names_picture`` it states the command that draws the sizes. The result is empty for a
    pipe, an empty file and a file that does not exist yet.
    """
    size = path.stat().st_size if path.is_file() else 0
    if not size:
        return ""
    sizes, is_recognised = ranked_sizes(path)
    if not sizes:
        return f"None of the common sensor sizes divides {size} bytes."
    order = ", the most likely first" if is_recognised and len(sizes) > 1 else ""
    named = [fit for n, fit in enumerate(sizes) if n < _NAMED or fit == _common(*fit[:2], size)]
    message = f"Sizes that fit {size} bytes{order}: {', '.join(map(str, named))}."
    if names_picture:
        command = f"spike-zoo info {shlex.quote(str(path))} --picture sheet.png"
        message += f" An image of each size and orientation: {command}."
    return message


def ranked_sizes(path: Path) -> SizeRanking:
    """Rank the possible sizes of the planes of a headerless file. Reads at most 0.5 MB.

    The plane length is the distance at which bits are similar to those of neighbouring pixels in
    the next planes. The row length is the divisor of it at which they are similar to those of the
    next row. Sizes that divide the file are preferred, then those with a common header.
    """
    size = path.stat().st_size
    start, bits = _sample(path, size)
    found = _by_content(size, start, bits)
    common = [fit for each in COMMON_SIZES if (fit := _common(*each, size)) is not None]
    return SizeRanking(tuple(dict.fromkeys([*found, *common])), bool(found))


def _common(height: int, width: int, size: int) -> StoredSize | None:
    """Return a common size if it divides a file."""
    planes, left = divmod(8 * size, height * width)
    if left or (height, width) not in COMMON_SIZES:
        return None
    return StoredSize(height, width, "bit" if height * width % 8 else None, 0, planes, 0)


def _sample(path: Path, size: int) -> tuple[int, NDArray[np.uint8]]:
    """Return the bits of the middle of a file, and the position of the first of them."""
    count = min(size, _SAMPLE)
    start = (size - count) // 2
    with path.open("rb") as stream:
        stream.seek(start)
        stored = np.frombuffer(stream.read(count), np.uint8)
    return 8 * start, np.unpackbits(stored, bitorder="little")


def _by_content(size: int, start: int, bits: NDArray[np.uint8]) -> list[StoredSize]:
    """Return the sizes with similar rows and planes by decreasing score; empty if none is clear."""
    if bits.size < 4 * _MIN_SIDE**2 or not 0 < int(bits.sum()) < bits.size:
        return []
    correlation = _autocorrelation(bits)
    similarity = _plane_similarity(correlation)
    offsets = _whole_plane_lengths(size, similarity.size)
    whole = sorted(offsets, key=lambda length: -similarity[length])[:_CANDIDATES]
    lengths = dict.fromkeys([*whole, *_peaks(similarity)])
    scores: dict[StoredSize, float] = {}
    noise = _SIGNIFICANT * max(bits.size**-0.5, float(np.median(np.abs(correlation))))
    for length in lengths:
        fit = _INCOMPLETE if length not in offsets else _HEADER if offsets[length] else 1.0
        if similarity[length] > noise:
            fit *= float(similarity[length]) / length**_MULTIPLES
            for width, rows in _row_similarity(correlation, length):
                if rows > noise and (
                    stored := _stored_size(size, start, bits, length, width, offsets.get(length))
                ):
                    scores[stored] = fit * rows * _prior(length // width, width, length)
    least = _WORSE * max(scores.values(), default=0)
    likely = [stored for stored, score in scores.items() if score >= least]
    return sorted(likely, key=lambda stored: -scores[stored])[:_LISTED]


def _prior(height: int, width: int, length: int) -> float:
    """Return the factor of a size that does not depend on the bits."""
    known = _COMMON if (height, width) in COMMON_SIZES else 1.0
    whole = 1.0 if height * width == length else _PARTS
    return known * whole * (min(height, width) / max(height, width)) ** _ASPECT


def _autocorrelation(bits: NDArray[np.uint8]) -> Values:
    """Return the autocorrelation at lags up to half the number of bits, relative to lags around.

    The median of three lags removes that of single pixels, whose spikes are regular.
    """
    from scipy import fft

    values = bits.astype(np.float32)
    values -= values.mean()
    count = fft.next_fast_len(values.size, real=True)
    spectrum = fft.rfft(values, count)
    correlation: Values = fft.irfft(spectrum.real**2 + spectrum.imag**2, count)[: bits.size // 2]
    correlation /= correlation[0]
    low, middle, high = correlation[:-2], correlation[1:-1], correlation[2:]
    correlation[1:-1] = np.maximum(np.minimum(low, high), np.minimum(middle, np.maximum(low, high)))
    total = np.concatenate([[0.0], correlation.cumsum(dtype=np.float64)])
    around = np.arange(correlation.size)
    first, last = np.maximum(around - _AROUND, 0), np.minimum(around + _AROUND + 1, around.size)
    correlation -= ((total[last] - total[first]) / (last - first)).astype(np.float32)
    return correlation


def _plane_similarity(correlation: Values) -> Values:
    """Return the mean autocorrelation of neighbouring pixels in later planes for each length.

    Lengths are limited so that at least two later planes are compared.
    """
    near = np.zeros_like(correlation)
    for lag in _LAGS:
        near[lag:-lag] += (correlation[2 * lag :] + correlation[: -2 * lag]) / (2 * len(_LAGS))
    similarity = np.zeros(correlation.size // 2, np.float32)
    count = np.zeros_like(similarity)
    for later in range(1, _PLANES + 1):
        values = near[: similarity.size * later : later]
        similarity[: values.size] += values
        count[: values.size] += 1
    similarity /= count
    similarity[: _MIN_SIDE**2] = -1
    return similarity


def _whole_plane_lengths(size: int, limit: int) -> dict[int, int]:
    """Return the plane lengths in bits that divide a file, with the bytes before its planes."""
    found: dict[int, int] = {}
    lengths = np.arange(_MIN_SIDE**2 // 8, limit // 8 + 1)
    for header in _HEADERS:
        if size > header:
            for length in lengths[(size - header) % lengths == 0].tolist():
                found.setdefault(8 * length, header)
    in_bits = np.arange(_MIN_SIDE**2, limit)  # planes that start inside a byte
    whole = in_bits[(8 * size % in_bits < 8) & (in_bits % 8 != 0)]
    found |= dict.fromkeys(whole.tolist(), 0)
    return {length: header for length, header in found.items() if length < limit}


def _peaks(similarity: Values) -> Iterator[int]:
    """Yield plane lengths of whole bytes around the largest similarities."""
    left = similarity.copy()
    for _ in range(_PEAKS):
        peak = int(left.argmax())
        left[max(0, peak - _PEAK_WIDTH) : peak + _PEAK_WIDTH + 1] = -1
        first = (peak - 12) // 8 * 8
        for length in range(first, first + 32, 8):
            parts = (length // planes for planes in range(1, _PLANES) if length % (8 * planes) == 0)
            yield from (part for part in parts if _MIN_SIDE**2 <= part < similarity.size)


def _row_similarity(correlation: Values, length: int) -> Iterator[tuple[int, float]]:
    """Yield widths that divide a plane, with the mean autocorrelation of pixels one row apart."""
    first = max(_MIN_SIDE, int((length / _MAX_ASPECT) ** 0.5))
    last = min(length // _MIN_SIDE, int((length * _MAX_ASPECT) ** 0.5))
    widths = np.arange(first, last + 1)
    spare = length % widths
    widths = widths[(spare == 0) | ((spare < 8) & (length % 8 == 0))]
    lags = np.stack([widths + shift for shift in (0, -_SHIFT, _SHIFT, -1, 1)])
    below, *others = _folded(correlation, length, lags)
    beside, slanted = np.maximum(*others[:2]), np.maximum(*others[2:])
    for width, row, side, slant in zip(widths.tolist(), below, beside, slanted, strict=True):
        if row > side:
            yield width, float(row) * (1.0 if row > 0.98 * slant else _SLANTED)


def _folded(correlation: Values, length: int, lags: NDArray[np.intp]) -> Values:
    """Return the mean autocorrelation at some lags within a plane and to later planes."""
    total, count = correlation[lags].copy(), np.ones(lags.shape, np.float32)
    for later in range(1, _PLANES + 1):
        for lag in (later * length - lags, later * length + lags):
            is_inside = (lag > 0) & (lag < correlation.size)
            total += np.where(is_inside, correlation[np.where(is_inside, lag, 0)], 0)
            count += is_inside
    return total / count


def _stored_size(
    size: int, start: int, bits: NDArray[np.uint8], length: int, width: int, header: int | None
) -> StoredSize | None:
    """Return a size with its number of planes, and with an offset if that fits better.

    The result is None if planes are padded to whole bytes, but the bits of the padding are set.
    """
    height, padding = divmod(length, width)
    align = None if height * width % 8 == 0 else "byte" if length % 8 == 0 else "bit"
    offsets = sorted({header} if header is not None else {0, size % (length // 8)})
    if padding or len(offsets) > 1:
        rates = {first: _rate(start - 8 * first, bits, length) for first in offsets}
        offsets = [first for first in offsets if not rates[first][height * width :].any()]
    if not offsets:
        return None
    offset = offsets[0]
    if len(offsets) > 1:
        offset = max(offsets, key=lambda first: _seam(rates[first], height, width))
    planes = 8 * (size - offset) // length
    left = size - offset - -(-planes * length // 8)
    return StoredSize(height, width, align, offset, planes, left)


def _rate(start: int, bits: NDArray[np.uint8], length: int) -> Values:
    """Return the rate of each bit of a plane, if a plane begins ``start`` bits before the first."""
    planes = bits[-start % length :]
    planes = planes[: planes.size // length * length].reshape(-1, length)
    rate: Values = planes.mean(axis=0, dtype=np.float32)
    return rate


def _seam(rate: Values, height: int, width: int) -> float:
    """Return the difference of opposite edges of an image relative to that of neighbours."""
    image = rate[: height * width].reshape(height, width)
    columns, rows = np.abs(np.diff(image, axis=1)).mean(), np.abs(np.diff(image, axis=0)).mean()
    across, down = np.abs(image[1:, 0] - image[:-1, -1]).mean(), np.abs(image[0] - image[-1]).mean()
    return float(across / (columns + 1e-9) + down / (rows + 1e-9))
