"""Recordings of uniform light: rates, intervals, and checks that they suit a calibration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from spike_zoo.errors import FormatError, GeometryError
from spike_zoo.simulation.camera.interval_kernels import (
    COUNTS,
    interval_histogram,
    interval_moments,
)
from spike_zoo.spikes.packing import unpack_bits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spike_zoo.spikes.recording import SpikeRecording

    Map = NDArray[np.float64]

MIN_PLANES: Final = 500
MIN_SIDE: Final = 16
MAX_DARKEST: Final = 1 / 6
"""Largest rate of the darkest grey; double intervals are then distinct."""
MIN_DARKEST: Final = 0.005
MAX_RATE: Final = 0.9
MIN_RATIO: Final = 1.5  # of the rates of the brightest and the darkest grey
WINDOW: Final = 15  # pixels; fixed patterns are differences from the mean of such a square
_ROWS: Final = 4  # unpacked at once
_MAX_SUMMED: Final = 64  # intervals
_MAX_CHANGE: Final = 0.01  # of the light with time
_SMOOTHED: Final = 16  # planes
_SERIES: Final = 16  # of columns, to separate flicker from noise
_MAX_NEIGHBOURS: Final = 0.25  # correlation of neighbouring pixels in the map of the gain


class UniformLight:
    """Rates of a recording of uniform light.

    Attributes:
        rate: Spikes per plane of each pixel ``(H, W)``.
        halves: The same of the first and of the second half.
        mean: Mean rate.
        series: Spikes of each plane in 16 groups of columns.
    """

    def __init__(self, recording: SpikeRecording) -> None:
        self.name = str(recording.meta.get("source", recording.meta.get("name", "recording")))
        self._recording = recording
        self.planes, self.height, self.width = recording.shape
        self.half = self.planes // 2
        counts = np.zeros((2, self.height, self.width))
        series = np.zeros((_SERIES, self.planes))
        for rows, spikes in self.rows():
            counts[0, rows] = spikes[: self.half].sum(axis=0, dtype=np.int32)
            counts[1, rows] = spikes[self.half : 2 * self.half].sum(axis=0, dtype=np.int32)
            for first in range(_SERIES):
                series[first] += spikes[:, :, first::_SERIES].sum(axis=(1, 2), dtype=np.int32)
        self.halves = counts / self.half
        self.rate = self.halves.mean(axis=0)
        self.mean = float(self.rate.mean())
        self.series = series

    def rows(self) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Yield slices of rows and their spikes ``(T, rows, W)``."""
        packed = (
            self._recording.packed
        )  # read from a file each time, so that memory is free between
        for first in range(0, self.height, _ROWS):
            rows = slice(first, min(first + _ROWS, self.height))
            yield rows, unpack_bits(packed[:, rows], self.width)

    def intervals(self) -> Map:
        """Return statistics of the intervals of each pixel ``(H, W, len(COUNTS))``."""
        histogram = np.zeros(self.planes, np.int64)
        for _, spikes in self.rows():
            interval_histogram(_by_pixel(spikes), histogram)
        # the interval in which a random plane lies: spurious spikes, which split intervals, hardly
        # change this median
        share = np.cumsum(histogram * np.arange(self.planes))
        median = float(np.searchsorted(share, share[-1] / 2))
        first = self._moments(median, 1)
        jitter = _mean_of(first, "variance")
        summed = _MAX_SUMMED if jitter <= 0 else min(math.ceil(1 / jitter), _MAX_SUMMED)
        return first if summed == 1 else self._moments(median, summed)

    def _moments(self, median: float, summed: int) -> Map:
        parts = [interval_moments(_by_pixel(spikes), median, summed) for _, spikes in self.rows()]
        return np.concatenate(parts).reshape(self.height, self.width, len(COUNTS))


def _by_pixel(spikes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(spikes.reshape(len(spikes), -1).T).view(np.uint8)


def _mean_of(statistics: Map, name: str) -> float:
    weights = statistics[..., COUNTS.index("weight")]
    values = statistics[..., COUNTS.index(name)]
    return float((weights * values).sum() / max(weights.sum(), 1))


def pattern(rate: Map, valid: NDArray[np.bool_]) -> Map:
    """Return the difference of each pixel from its neighbourhood, without defective pixels."""
    filled = np.where(valid, rate, np.median(rate[valid]))
    return np.asarray(filled - ndimage.uniform_filter(filled, WINDOW, mode="reflect"))


def check_levels(levels: Sequence[UniformLight]) -> None:
    """Raise if recordings differ in size or their light is not suitable."""
    black, *greys = levels
    for level in levels:
        if level.planes < MIN_PLANES or min(level.height, level.width) < MIN_SIDE:
            raise GeometryError.at(
                level.name,
                f"{level.planes} planes of {level.height}x{level.width}; calibration needs at "
                f"least {MIN_PLANES} planes of {MIN_SIDE}x{MIN_SIDE}, better 2000",
            )
        if (level.height, level.width) != (black.height, black.width):
            raise GeometryError.at(
                level.name,
                f"its planes are {level.height}x{level.width}, those of {black.name} "
                f"{black.height}x{black.width}; record all levels with the same camera",
            )
    grey, white = greys[0], greys[-1]
    if white.mean > MAX_RATE:
        raise FormatError.at(white.name, _rate(white) + "is saturated; record a darker level")
    if grey.mean > MAX_DARKEST:
        raise FormatError.at(
            grey.name,
            _rate(grey) + f"is the darkest level; record one of at most {MAX_DARKEST:.2f}",
        )
    if grey.mean < MIN_DARKEST:
        raise FormatError.at(
            grey.name, _rate(grey) + f"is too dark; record a level of at least {MIN_DARKEST}"
        )
    if black.mean > 0.5 * grey.mean:
        raise FormatError.at(
            black.name,
            _rate(black) + f"is not dark beside {grey.name} ({grey.mean:.4f}); cover the lens",
        )
    if white.mean < MIN_RATIO * grey.mean:
        raise FormatError.at(
            white.name,
            _rate(white) + f"is as bright as {grey.name} ({grey.mean:.3f}); record two levels, the "
            f"brighter with at least {MIN_RATIO} times the rate",
        )
    for level in greys:
        _check_constant(level)


def _rate(level: UniformLight) -> str:
    return f"a mean rate of {level.mean:.3f} spikes per plane "


def _check_constant(level: UniformLight) -> None:
    """Raise if the light changes with time."""
    kernel = np.ones(_SMOOTHED) / _SMOOTHED
    series = [np.convolve(s, kernel, "valid")[::_SMOOTHED] / s.mean() - 1 for s in level.series]
    # pixels that fire regularly add up to a random oscillation; six times its power is rare
    chance = 6 * float(np.var(series, axis=1).mean()) / len(series)
    flicker = math.sqrt(max(float(np.mean(series, axis=0).var()) - chance, 0.0))
    first, second = level.halves.mean(axis=(1, 2))
    drift = abs(second - first) / max(level.mean, 1e-9)
    if max(flicker, drift) > _MAX_CHANGE:
        what = "drifts" if drift > flicker else "flickers"
        raise FormatError.at(
            level.name,
            f"the light {what} by {max(flicker, drift):.1%}; use a constant source, such as a lamp "
            "with direct current",
        )


def check_scene(level: UniformLight, defective: NDArray[np.bool_]) -> None:
    """Raise if neighbouring pixels are similar, as in a scene and not in a fixed pattern."""
    gain = pattern(level.rate, ~defective)
    similar = float((gain[:, 1:] * gain[:, :-1]).mean() / max(gain.var(), 1e-12))
    if similar > _MAX_NEIGHBOURS:
        raise FormatError.at(
            level.name,
            "shows a scene, not uniform light; defocus the lens on a bright white area, or put a "
            "diffuser in front of it",
        )
