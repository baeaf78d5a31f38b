"""Which planes a window takes: the one rule that loaders and reconstruction share."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

from spike_zoo.errors import PlaneRangeError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Planes: TypeAlias = SupportsIndex | Iterable[SupportsIndex]
"""One plane or several: a number, a list, a range, an array or a tensor of whole numbers."""
_EXPOSURE_MARGIN = 20  # planes before and after the exposure of S-SDM's recordings


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
    """Return plane indices of ``[start, stop)`` with those outside mirrored in time.

    The mirror is at the first and the last plane, which are not repeated: -1 becomes 1.

    Raises:
        PlaneRangeError: If one reflection at each end does not reach into the recording.
    """
    index, last = np.arange(start, stop, dtype=np.int64), planes - 1
    index = np.where(index < 0, -index, np.where(index > last, 2 * last - index, index))
    if planes < 1 or ((index < 0) | (index > last)).any():
        raise PlaneRangeError(
            f"planes {start}..{stop} of a recording with {planes} planes: a window may reach over "
            "an end by less than the recording's length. Use a longer recording or a method with "
            "a shorter window."
        )
    return index


def centers_with_stride(planes: int, stride: int, first: int = 0) -> list[int]:
    """Return every ``stride``-th plane of a recording, beginning at ``first``."""
    if stride < 1:
        raise ValueError(f"stride must be at least 1 plane, got {stride}")
    return list(range(first, planes, stride))


def planes_inside(planes: int) -> tuple[int, int]:
    """Return first and past-the-last plane of an exposure with S-SDM's margin at either end.

    Raises:
        PlaneRangeError: If nothing is left.
    """
    if planes <= 2 * _EXPOSURE_MARGIN:
        raise PlaneRangeError(
            f"a recording with {planes} planes has none left inside a margin of {_EXPOSURE_MARGIN} "
            "at either end; use a longer recording or say where the exposure lies"
        )
    return _EXPOSURE_MARGIN, planes - _EXPOSURE_MARGIN


def spread_planes(start: int, stop: int, count: int) -> list[int]:
    """Return planes spread evenly over ``[start, stop)``, the first and the last among them.

    One plane alone is the middle one. Halves are rounded up.

    Raises:
        PlaneRangeError: If there are not as many planes.
        ValueError: If the count is below 1.
    """
    if count < 1:
        raise ValueError(f"the number of planes must be at least 1, got {count}")
    if count > stop - start:
        raise PlaneRangeError(f"{count} different planes do not fit into planes {start}..{stop}")
    if count == 1:
        return [start + (stop - start) // 2]
    length, gaps = stop - start - 1, count - 1
    return [start + (2 * index * length + gaps) // (2 * gaps) for index in range(count)]


def wanted_planes(centers: Planes, planes: int) -> list[int]:
    """Return the planes that are asked for, one or several, of a recording.

    Raises:
        PlaneRangeError: Naming the first one outside ``0..planes - 1``.
        UsageError: If they are no whole numbers.

    Example:
        >>> wanted_planes(5, 10), wanted_planes(np.arange(2, 4), 10)
        ([5], [2, 3])
    """
    found = _integers(centers)
    for center in found:
        if not 0 <= center < planes:
            raise PlaneRangeError(
                f"plane {center} was asked for, the recording has planes 0..{planes - 1}"
            )
    return found


def _integers(numbers: Any) -> list[int]:  # noqa: ANN401  (rejects other values)
    try:
        return [operator.index(numbers)]  # arrays of several numbers have the method too
    except TypeError:
        pass
    try:
        return [operator.index(number) for number in numbers]
    except TypeError as error:
        raise UsageError(
            f"planes are whole numbers, as 150 or [150, 157], got {numbers!r}"
        ) from error


def consecutive_clips(planes: int, length: int) -> list[int]:
    """Return the middle planes of the clips that a recording is cut into.

    Each begins half a clip after the one before, and together they lie in the middle of the
    recording: up to half a clip's planes, at both ends together, are in none of them. One clip is
    the one that :class:`spike_zoo.data.LabelledClips` serves.

    Raises:
        PlaneRangeError: If the recording is shorter than a clip; with both lengths.

    Example:
        >>> consecutive_clips(41, 41), consecutive_clips(50, 41), consecutive_clips(100, 41)
        ([20], [25], [30, 50, 70])
    """
    if planes < length:
        raise PlaneRangeError(
            f"the recording has {planes} planes, one clip takes {length}: give a longer recording, "
            "or a method with shorter clips"
        )
    stride = max(length // 2, 1)
    further = (planes - length) // stride
    first = planes // 2 - (length + further * stride) // 2 + length // 2
    return [first + number * stride for number in range(further + 1)]
