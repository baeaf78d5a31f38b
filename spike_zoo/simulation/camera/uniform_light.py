"""Recordings of uniform light: rates, intervals, and differences from the neighbourhood."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spike_zoo.simulation.camera.interval_kernels import (
    COUNTS,
    interval_histogram,
    interval_moments,
)
from spike_zoo.spikes.packing import unpack_bits
from spike_zoo.spikes.recording import SpikeRecording

Map = NDArray[np.float64]

WINDOW: Final = 15  # pixels; fixed patterns are differences from the mean of such a square
_DEGREE: Final = 4  # of the polynomial of the illumination, for example of a vignette
_ROWS: Final = 4  # unpacked at once
_MAX_SUMMED: Final = 64  # intervals
_BLOCKS: Final = 8  # in a row or column of the image


class UniformLight:
    """Rates of a recording of uniform light.

    Attributes:
        rate: Spikes per plane of each pixel ``(H, W)``.
        halves: The same of the first and of the second half.
        mean: Mean rate.
        series: Spikes of each plane in blocks of the image and four groups of pixels of each block,
            ``(64, 4, planes)``.
        step: Distance of pixels with the same filter: 2 for a Bayer sensor, else 1.
    """

    def __init__(self, recording: SpikeRecording) -> None:
        self.name = str(recording.meta.get("source", recording.meta.get("name", "recording")))
        self.recording = recording
        self.planes, self.height, self.width = recording.shape
        self.step = 1 if recording.cfa is None else 2
        self.half = self.planes // 2
        counts = np.zeros((2, self.height, self.width))
        series = np.zeros((_BLOCKS, 2, 2 * _BLOCKS, self.planes))
        columns = np.arange(self.width)
        groups = np.eye(2 * _BLOCKS, dtype=np.float32)[
            2 * (columns * _BLOCKS // self.width) + columns % 2
        ]
        for rows, spikes in self.rows():
            counts[0, rows] = spikes[: self.half].sum(axis=0, dtype=np.int32)
            counts[1, rows] = spikes[self.half : 2 * self.half].sum(axis=0, dtype=np.int32)
            sums = spikes.astype(np.float32) @ groups
            for row in range(rows.start, rows.stop):
                series[row * _BLOCKS // self.height, row % 2] += sums[:, row - rows.start].T
        self.halves = counts / self.half
        self.rate = self.halves.mean(axis=0)
        self.mean = float(self.rate.mean())
        series = series.reshape(_BLOCKS, 2, _BLOCKS, 2, self.planes).swapaxes(1, 2)
        self.series = series.reshape(_BLOCKS**2, 4, self.planes)

    @property
    def filter_means(self) -> NDArray[np.float64]:
        """Mean rate behind each filter; one value without filters."""
        return np.array([self.rate[part].mean() for part in same_filter(self.step)])

    def rows(self) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Yield slices of rows and their spikes ``(T, rows, W)``."""
        packed = self.recording.packed  # read from a file each time, so that memory is free between
        for first in range(0, self.height, _ROWS):
            rows = slice(first, min(first + _ROWS, self.height))
            yield rows, unpack_bits(packed[:, rows], self.width)

    def intervals(self) -> Map:
        """Return statistics of the intervals of each pixel ``(H, W, len(COUNTS))``."""
        histograms = np.zeros((self.step**2, self.planes), np.int64)
        for _, spikes in self.rows():
            for part, histogram in zip(same_filter(self.step), histograms, strict=True):
                interval_histogram(_by_pixel(spikes[:, *part]), histogram)
        # the interval in which a random plane lies: spurious spikes, which split intervals, hardly
        # change this median
        shares = np.cumsum(histograms * np.arange(self.planes), axis=1)
        medians = [float(np.searchsorted(share, share[-1] / 2)) for share in shares]
        first = self._moments(medians, 1)
        jitter = _mean_of(first, "variance")
        summed = _MAX_SUMMED if jitter <= 0 else min(math.ceil(1 / jitter), _MAX_SUMMED)
        return first if summed == 1 else self._moments(medians, summed)

    def _moments(self, medians: list[float], summed: int) -> Map:
        moments = np.empty((self.height, self.width, len(COUNTS)))
        for rows, spikes in self.rows():
            for part, median in zip(same_filter(self.step), medians, strict=True):
                target = moments[rows][part]
                found = interval_moments(_by_pixel(spikes[:, *part]), median, summed)
                target[...] = found.reshape(target.shape)
        return moments


def same_filter(step: int) -> list[tuple[slice, slice]]:
    """Return the rows and columns of each group of pixels with the same filter."""
    return [
        (slice(row, None, step), slice(column, None, step))
        for row in range(step)
        for column in range(step)
    ]


def _by_pixel(spikes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    planes, rows, columns = spikes.shape
    return np.ascontiguousarray(spikes.reshape(planes, rows * columns).T).view(np.uint8)


def _mean_of(statistics: Map, name: str) -> float:
    weights = statistics[..., COUNTS.index("weight")]
    values = statistics[..., COUNTS.index(name)]
    return float((weights * values).sum() / max(weights.sum(), 1))


def illumination(rate: Map, valid: NDArray[np.bool_], step: int = 1) -> Map:
    """Return the mean around each pixel, over valid pixels with the same filter.

    A polynomial takes the shape of the light, for example a vignette, whose mean over a square
    differs from the value at its centre; the squares follow what remains.
    """
    light = np.empty_like(rate)
    for part in same_filter(step):
        trend = _polynomial(rate[part], valid[part])
        rest = np.where(valid[part], rate[part] - trend, 0.0)
        light[part] = trend + ndimage.uniform_filter(rest, WINDOW, mode="reflect")
    return light


def pattern(rate: Map, valid: NDArray[np.bool_], step: int = 1) -> Map:
    """Return the difference of each valid pixel from its neighbourhood; 0 for others."""
    return np.where(valid, rate - illumination(rate, valid, step), 0.0)


def _polynomial(values: Map, valid: NDArray[np.bool_]) -> Map:
    """Return the polynomial of two variables that is nearest to the valid values."""
    row, column = (np.linspace(-1.0, 1.0, size) for size in values.shape)
    vandermonde = np.polynomial.legendre.legvander2d(
        *np.meshgrid(row, column, indexing="ij"), [_DEGREE, _DEGREE]
    )
    degrees = np.add.outer(np.arange(_DEGREE + 1), np.arange(_DEGREE + 1)).ravel()
    terms = vandermonde[..., degrees <= _DEGREE]
    used = terms[valid]
    # normal equations: the terms are almost orthogonal, and this is ten times faster than lstsq
    return np.asarray(terms @ np.linalg.solve(used.T @ used, used.T @ values[valid]))
