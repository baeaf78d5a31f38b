"""Ranking of the possible sizes of a headerless recording by the autocorrelation of its bits."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.formats.dat_alignment import first_byte, is_reversed, mean_rate, reverse_bits

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
    bit_order: str | None = None  #: as in the sidecar; None if it is little

    @property
    def options(self) -> str:
        """Options of commands, besides height and width, with which these planes are read."""
        values = {"offset": self.offset, "bit-order": self.bit_order}
        values["frame-align"] = self.frame_align
        options = [f"--{option} {value}" for option, value in values.items() if value]
        return " ".join([*options, *(["--allow-partial"] if self.left else [])])

    def __str__(self) -> str:
        """Return size, number of planes and options, as ``250x400 (301 planes, --offset 64)``."""
        options = f", {self.options}" if self.options else ""
        return f"{self.height}x{self.width} ({self.planes} planes{options})"


class SizeRanking(NamedTuple):
    """Possible sizes of a file."""

    #: by decreasing likelihood, then common sizes that divide the file
    sizes: tuple[StoredSize, ...]
    #: Whether the content determines the first size. Noise, dark and uniform recordings do not.
    is_recognised: bool


def fitting_sizes(path: Path, *, names_image: bool = False) -> str:
    """List the most likely sizes of a file, and the common sizes that divide it.

    With ``names_image`` it states the command that draws the sizes. The result is empty for a
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
    message = f"Sizes (H x W) that fit {size} bytes{order}: {', '.join(map(str, named))}."
    if names_image:
        command = f"spike-zoo info {shlex.quote(str(path))} --picture sheet.png"
        message += f" An image of each size and orientation: {command}."
    return message


def incomplete_planes(path: Path, height: int, width: int, offset: int, left: int) -> str:
    """Return the likely reason why ``left`` bytes remain at a stated size, and the remedy.

    ``offset`` is the stated number of bytes before the first plane.
    """
    sizes, is_recognised = ranked_sizes(path)
    partial = "--allow-partial of info, reconstruct, compress or archive build"
    if not is_recognised:
        return (
            "The file is truncated, begins with a header, or the size is wrong. Copy it again, "
            f"skip a header (--offset {offset + left} if the end is complete), pass the camera's "
            "height and width (--height and --width), or drop the incomplete last plane "
            f"({partial}). {fitting_sizes(path)}"
        )
    best = sizes[0]
    if best[:2] != (height, width):
        return (
            "The size is wrong, or the file is no recording: pass the camera's height and width "
            f"(--height and --width). {fitting_sizes(path)}"
        )
    if best.offset == offset:
        return (
            f"The file is truncated. Copy it again, or drop the incomplete last plane ({partial})."
        )
    rest = f" ({partial})" if best.left else ""
    return f"Its first plane begins at byte {best.offset}: pass {best.options}{rest}."


def ranked_sizes(path: Path) -> SizeRanking:
    """Rank the possible sizes of the planes of a headerless file. Reads at most 0.5 MB.

    The plane length is the distance at which bits are similar to those of neighbouring pixels in
    the next planes. The row length is the divisor of it at which they are similar to those of the
    next row. Sizes that divide the file are preferred, then those with a common header.
    """
    size = path.stat().st_size
    start, bits = _sample(path, size)
    found = _by_content(size, start, bits)
    others = [each for each in COMMON_SIZES if each not in {fit[:2] for fit in found}]
    common = [fit for each in others if (fit := _common(*each, size)) is not None]
    return SizeRanking((*found, *common), bool(found))


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
    scores: dict[tuple[int, int], float] = {}  # of lengths and widths
    noise = _SIGNIFICANT * max(bits.size**-0.5, float(np.median(np.abs(correlation))))
    for length in lengths:
        fit = _INCOMPLETE if length not in offsets else _HEADER if offsets[length] else 1.0
        if similarity[length] > noise:
            fit *= float(similarity[length]) / length**_MULTIPLES
            for width, rows in _row_similarity(correlation, length):
                if rows > noise:
                    scores[length, width] = fit * rows * _prior(length // width, width, length)
    likely: dict[StoredSize, float] = {}
    for planes, score in sorted(scores.items(), key=lambda item: -item[1]):
        if len(likely) == _LISTED or score < _WORSE * max(likely.values(), default=0):
            break
        if stored := _stored_size(size, start, bits, *planes, offsets.get(planes[0])):
            likely[stored] = score
    return list(likely)


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
    """Return a size with its number of planes, their first byte and the order of their bits.

    The result is None if planes are padded to whole bytes, but the bits of the padding are set.
    """
    height, padding = divmod(length, width)
    align = None if height * width % 8 == 0 else "byte" if length % 8 == 0 else "bit"
    period = length if length % 8 == 0 else 8 * length  # of bits with the same place in their byte
    order = "big" if is_reversed(mean_rate(bits, period)) else None
    if order is not None:
        bits = reverse_bits(bits)
    # as if a plane began at byte 0; the first plane of a file may contain a header
    rate = mean_rate(bits[-start % length + (0 if start else length) :], length)
    after = size % -(-length // 8) if header is None else header
    first = first_byte(rate, height, width, sorted({0, after}))
    offset = (after if header else 0) if first is None else first
    if padding and np.roll(rate, -8 * offset)[height * width :].any():
        return None
    if header is not None and (header - offset) * 8 % length == 0:
        offset = header  # longer than a plane
    planes = 8 * (size - offset) // length
    left = size - offset - -(-planes * length // 8)
    return StoredSize(height, width, align, offset, planes, left, order)
