"""Numba kernels: statistics of the intervals between the spikes of each pixel."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.spikes.compiling import compiled, compiled_inline

COUNTS: Final = ("spurious", "missed", "intervals", "weight", "interval", "variance", "skewness")
"""Columns of :func:`interval_moments`."""
_SHORT: Final = 0.6  # of the usual interval: split by a spurious spike
_SPLIT: Final = 1.4  # sum of two intervals: a long one, split near its middle
_LONG: Final = 1.5  # a spike was missed
_ROUNDING: Final = 1 / 6  # variance of the difference of two times in whole planes


@compiled
def interval_histogram(spikes: NDArray[np.uint8], histogram: NDArray[np.int64]) -> None:
    """Count the intervals of all pixels by length; adds to ``histogram``, ``(T,)``.

    Args:
        spikes: ``(P, T)``, zeros and ones.
        histogram: Number of intervals of each length in planes.
    """
    for pixel in range(len(spikes)):
        last = -1
        for plane in range(spikes.shape[1]):
            if spikes[pixel, plane]:
                if last >= 0:
                    histogram[plane - last] += 1
                last = plane


@compiled
def interval_moments(spikes: NDArray[np.uint8], usual: float, summed: int) -> NDArray[np.float64]:
    """Return statistics of the intervals of each pixel.

    Intervals that a spurious spike split are joined, and intervals around a missed spike are left
    out. The moments are those of sums of ``summed`` consecutive intervals, per interval. The sums
    should vary by a plane or more, so that their errors by rounding to whole planes are uniform.

    Args:
        spikes: ``(P, T)``, zeros and ones.
        usual: Usual interval of the sensor in planes.
        summed: Intervals in a sum.

    Returns:
        Float64 ``(P, 7)``: numbers of spurious spikes, missed spikes and intervals; degrees of
        freedom of the variance; mean interval; variance and third central moment of an interval
        in planes, without the rounding.
    """
    statistics = np.zeros((len(spikes), 7))
    intervals = np.empty(spikes.shape[1])
    sums = np.empty(spikes.shape[1])
    for pixel in range(len(spikes)):
        count = _intervals(spikes[pixel], intervals)
        row = statistics[pixel]
        row[4] = _usual(intervals[:count], usual)
        count = _join(intervals[:count], row[4], row)
        found = _sums(intervals[:count], summed, sums)
        if found < 4:
            continue
        mean = sums[:found].mean()
        second = third = 0.0
        for value in sums[:found]:
            second += (value - mean) ** 2
            third += (value - mean) ** 3
        row[3] = found - 1
        row[4] = mean / summed
        # neighbours share the rounding of the spike between them
        row[5] = (second / (found - 1) - _ROUNDING * (1 + 1 / found)) / summed
        row[6] = third * found / ((found - 1) * (found - 2)) / summed
    return statistics


@compiled_inline
def _intervals(spikes: NDArray[np.uint8], intervals: NDArray[np.float64]) -> int:
    """Fill in the intervals of a pixel, and return their number."""
    count, last = 0, -1
    for plane in range(len(spikes)):
        if spikes[plane]:
            if last >= 0:
                intervals[count] = plane - last
                count += 1
            last = plane
    return count


@compiled_inline
def _usual(intervals: NDArray[np.float64], usual: float) -> float:
    """Return the mean of the intervals of a pixel that are neither split nor double."""
    if len(intervals):
        mean = intervals.mean()
        if abs(mean / usual - 1.0) > 0.4:  # a pixel of another rate than the sensor
            usual = mean
    for _ in range(3):
        total, count = 0.0, 0
        for value in intervals:
            if abs(value / usual - 1.0) < 0.4:
                total += value
                count += 1
        if count > 3:
            usual = total / count
    return usual


@compiled_inline
def _join(intervals: NDArray[np.float64], usual: float, row: NDArray[np.float64]) -> int:
    """Join intervals that a spurious spike split; return the new number of intervals.

    Where a spike was spurious or missed, the interval and its neighbours become negative, because
    it is not certain which spike was spurious; so do the first and the last interval. The numbers
    of spikes are added to ``row``.
    """
    count, is_next_to_short = 0, False
    for index in range(len(intervals)):
        value = intervals[index]
        following = intervals[index + 1] if index + 1 < len(intervals) else 2.0 * usual
        is_middle = _SHORT * usual <= following < _SPLIT * usual - value
        is_short = value < _SHORT * usual or is_middle
        if is_short:
            after, before = abs(value + following - usual), usual  # errors of sums with neighbours
            if count:
                before = abs(value + abs(intervals[count - 1]) - usual)
                intervals[count - 1] = -abs(intervals[count - 1])
            is_next_to_short = True
            if min(after, before) < (_LONG - 1.0) * usual:
                row[0] += 1
                if after < before:
                    intervals[index + 1] += value
                else:
                    intervals[count - 1] -= value
                continue
        elif value > _LONG * usual:
            row[1] += np.rint(value / usual) - 1.0
        else:
            row[2] += 1
        # a spurious spike may be the first or the last spike
        is_end = index in (0, len(intervals) - 1)
        if is_next_to_short or is_end or is_short or value > _LONG * usual:
            value = -value
        is_next_to_short = is_short
        intervals[count] = value
        count += 1
    return count


@compiled_inline
def _sums(intervals: NDArray[np.float64], summed: int, sums: NDArray[np.float64]) -> int:
    """Fill in sums of consecutive intervals, and return their number."""
    found, inside, total = 0, 0, 0.0
    for value in intervals:
        inside, total = (0, 0.0) if value < 0 else (inside + 1, total + value)
        if inside == summed:
            sums[found] = total
            found += 1
            inside, total = 0, 0.0
    return found
