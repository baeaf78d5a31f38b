"""Plane ranges of windows and clips, shared by data loaders and reconstruction."""

import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import PlaneRangeError, UsageError

Planes: TypeAlias = SupportsIndex | Iterable[SupportsIndex]
"""One plane or several: an integer, or a list, range, array or tensor of integers."""
_EXPOSURE_MARGIN = 20  # planes before and after the exposure in S-SDM's recordings


def centred_window(center: int, length: int) -> tuple[int, int]:
    """Return the half-open range of ``length`` planes centred on ``center``, not clipped.

    Odd lengths are symmetric; an even one has one plane more before the centre than after it.

    Example:
        >>> centred_window(10, 5), centred_window(1, 4)
        ((8, 13), (-1, 3))
    """
    start = center - length // 2
    return start, start + length


def mirrored_planes(start: int, stop: int, planes: int) -> NDArray[np.int64]:
    """Return the plane indices of ``[start, stop)``, reflected at the ends of the recording.

    The first and the last plane are not repeated: -1 becomes 1.

    Raises:
        PlaneRangeError: If one reflection does not lead into the recording.
    """
    index, last = np.arange(start, stop, dtype=np.int64), planes - 1
    index = np.where(index < 0, -index, np.where(index > last, 2 * last - index, index))
    if planes < 1 or ((index < 0) | (index > last)).any():
        raise PlaneRangeError(
            f"planes {start}..{stop} of a recording with {planes} planes: a window may exceed an "
            "end by less than the length of the recording. Use a longer recording or a method "
            "with a shorter window."
        )
    return index


def centers_with_stride(planes: int, stride: int, first: int = 0) -> list[int]:
    """Return every ``stride``-th plane of a recording, starting at ``first``."""
    if stride < 1:
        raise ValueError(f"stride must be at least 1 plane, got {stride}")
    return list(range(first, planes, stride))


def centers_inside(
    planes: int, stride: int, margin: int, start: int | None = None, stop: int | None = None
) -> list[int]:
    """Return every ``stride``-th plane of ``[start, stop)``.

    An end that is not stated keeps ``margin`` planes to the end of the recording, if the recording
    is longer than two margins.

    Example:
        >>> centers_inside(100, 20, 30), centers_inside(100, 20, 30, start=0)
        ([30, 50], [0, 20, 40, 60])
        >>> centers_inside(9, 4, 30)
        [0, 4, 8]
    """
    margin = margin if 2 * margin < planes else 0
    first = min(margin, planes - 1 if stop is None else stop - 1) if start is None else start
    past = max(planes - margin, first + 1) if stop is None else stop
    return centers_with_stride(past, stride, first)


def planes_inside(
    planes: int, start: int | None = None, length: int | None = None
) -> tuple[int, int]:
    """Return the half-open plane range of an exposure.

    Args:
        planes: Planes of the recording.
        start: First plane of the exposure. Default: 20, as in S-SDM's recordings.
        length: Planes of the exposure. Default: as many planes are left at the end as at the start.

    Raises:
        PlaneRangeError: If the exposure is not inside the recording.

    Example:
        >>> planes_inside(137), planes_inside(400, 50, 300)
        ((20, 117), (50, 350))
    """
    start = _EXPOSURE_MARGIN if start is None else start
    stop = planes - start if length is None else start + length
    if not 0 <= start < stop <= planes:
        where = f"planes {start}..{stop - 1}" if stop > start else f"from plane {start} on"
        raise PlaneRangeError(
            f"the exposure ({where}) is not inside the {planes} planes of the recording; give "
            "--exposure-start and --exposure-length"
        )
    return start, stop


def spread_planes(start: int, stop: int, count: int) -> list[int]:
    """Return planes spread evenly over ``[start, stop)``, including the first and the last.

    A count of 1 returns the middle plane. Halves are rounded up.

    Raises:
        PlaneRangeError: If the range has fewer planes.
        ValueError: If the count is below 1.
    """
    if count < 1:
        raise ValueError(f"the number of planes must be at least 1, got {count}")
    if count > stop - start:
        raise PlaneRangeError(
            f"{count} different planes do not fit into planes {start}..{stop - 1}"
        )
    if count == 1:
        return [start + (stop - start) // 2]
    length, gaps = stop - start - 1, count - 1
    return [start + (2 * index * length + gaps) // (2 * gaps) for index in range(count)]


def wanted_planes(centers: Planes, planes: int) -> list[int]:
    """Return the requested planes, one or several, as a list of integers.

    Raises:
        PlaneRangeError: If a plane is outside ``0..planes - 1``.
        UsageError: If ``centers`` are not integers.

    Example:
        >>> wanted_planes(5, 10), wanted_planes(np.arange(2, 4), 10)
        ([5], [2, 3])
    """
    numbers = _integers(centers)
    for center in numbers:
        if not 0 <= center < planes:
            raise PlaneRangeError(
                f"plane {center} is out of range: the recording has planes 0..{planes - 1}"
            )
    return numbers


def _integers(numbers: Any) -> list[int]:  # noqa: ANN401  (rejects other values)
    try:
        return [operator.index(numbers)]  # no isinstance: arrays also define ``__index__``
    except TypeError:
        pass
    try:
        return [operator.index(number) for number in numbers]
    except TypeError as error:
        raise UsageError(
            f"planes are whole numbers, as 150 or [150, 157], got {numbers!r}"
        ) from error


def consecutive_clips(planes: int, length: int, stride: int | None = None) -> list[int]:
    """Return the middle planes of the overlapping clips that a recording is cut into.

    Each clip starts ``stride`` planes after the previous one, by default half a clip. The clips are
    centred in the recording, so up to ``stride - 1`` planes, at both ends together, are unused. A
    single clip is that of :class:`spike_zoo.data.LabelledClips`.

    Raises:
        PlaneRangeError: If the recording is shorter than a clip.

    Example:
        >>> consecutive_clips(41, 41), consecutive_clips(50, 41), consecutive_clips(100, 41)
        ([20], [25], [30, 50, 70])
    """
    if planes < length:
        raise PlaneRangeError(
            f"the recording has {planes} planes, one clip takes {length}: use a longer recording "
            "or a method with shorter clips"
        )
    stride = stride or max(length // 2, 1)
    further = (planes - length) // stride
    first = planes // 2 - (length + further * stride) // 2 + length // 2
    return [first + number * stride for number in range(further + 1)]


def check_span(recording: str, planes: int, start: int | None, stop: int | None) -> None:
    """Raise UsageError if the planes of ``--start`` and ``--stop`` are not in a named recording."""
    first, past = start or 0, planes if stop is None else stop
    if not 0 <= first < past <= planes:
        raise UsageError(
            f"{recording}: planes {first} to {past} (--start, --stop): the recording has planes "
            f"0..{planes - 1}, and --stop is the plane after the last"
        )


def whole_windows(centers: Planes, length: int, planes: int) -> list[int]:
    """Return the requested planes as a list; reject windows that extend beyond the recording.

    Windows are not mirrored at the ends of the recording: mirrored spikes reverse the motion.
    """
    if planes < length:
        raise PlaneRangeError(
            f"the recording has {planes} planes, one window takes {length}; record more planes "
            "before and after the exposure"
        )
    checked, half = wanted_planes(centers, planes), length // 2
    for center in checked:
        if not half <= center < planes - half:
            raise PlaneRangeError(
                f"the window of {length} planes around plane {center} leaves the recording with "
                f"planes 0..{planes - 1}; choose planes from {half} to {planes - 1 - half}"
            )
    return checked
