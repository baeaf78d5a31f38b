"""Estimation of a camera's noise from recordings of uniform light; docs/calibration.md derives it.

A pixel under constant light fires at intervals. Their relative variance and skewness separate the
noise of the electrons from that of the reset, short and double intervals count spurious and missed
spikes, and the maps of rates at three levels give the fixed patterns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage, optimize, stats

from spike_zoo.errors import FormatError, GeometryError
from spike_zoo.simulation.camera.interval_kernels import (
    COUNTS,
    interval_histogram,
    interval_moments,
)
from spike_zoo.simulation.camera.noise import CameraNoise
from spike_zoo.spikes.packing import unpack_bits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spike_zoo.spikes.recording import SpikeRecording

    Map = NDArray[np.float64]
    Sums = dict[str, NDArray[np.float64]]

MIN_PLANES: Final = 500
MIN_SIDE: Final = 16
MAX_DARKEST: Final = 1 / 6  # spikes per plane of the darkest grey; double intervals are then distinct
MAX_RATE: Final = 0.9
MIN_RATIO: Final = 1.5  # of the rates of the brightest and the darkest grey
_GROUPS: Final = 40  # of pixels, for the jackknife
_TILE: Final = 8
_WINDOW: Final = 15  # pixels; fixed patterns are differences from the mean of such a square
_ROWS: Final = 16  # unpacked at once
_MAX_SUMMED: Final = 64
_MAX_ERROR: Final = 0.5  # half width of an interval, relative to the estimate
_MAX_FLICKER = _MAX_DRIFT = 0.01
_SMOOTHED: Final = 16  # planes
_MAX_NEIGHBOURS: Final = 0.25  # correlation of neighbouring pixels in the map of the gain
_DRAWS: Final = 4000
_MIN_VARIANCE: Final = 1e-4  # relative; smaller ones are those of the rounding to planes


@dataclass(frozen=True)
class Calibration:
    """Noise and maps of a camera.

    Attributes:
        noise: Estimated parameters; 0 where a parameter cannot be determined.
        intervals: 95 % confidence interval of each parameter.
        undetermined: Parameters whose interval is too wide to use the estimate.
        gain: Gain of each pixel relative to its neighbourhood, float32 ``(H, W)``.
        dark: Dark spikes per plane of each pixel, float32 ``(H, W)``.
        defective: Dead and hot pixels, bool ``(H, W)``.
    """

    noise: CameraNoise
    intervals: Mapping[str, tuple[float, float]]
    undetermined: tuple[str, ...]
    gain: NDArray[np.float32]
    dark: NDArray[np.float32]
    defective: NDArray[np.bool_]


def calibrate(dark: SpikeRecording, flats: Sequence[SpikeRecording]) -> Calibration:
    """Estimate the noise of a camera.

    Args:
        dark: Recording without light, with the lens covered.
        flats: Recordings of uniform, constant light at two or more levels. The darkest should have
            0.02 to 0.15 spikes per plane, the brightest 0.3 to 0.8.

    Raises:
        GeometryError: If the recordings are too short or small, or differ in size.
        FormatError: If a level is too dark or too bright, the levels are too similar, the light
            flickers or drifts, or a flat recording shows a scene.
    """
    levels = [_Level(dark), *sorted(map(_Level, flats), key=lambda level: level.mean)]
    _check_levels(levels)
    black, grey, white = levels[0], levels[1], levels[-1]
    local = ndimage.uniform_filter(white.rate, _WINDOW, mode="reflect")
    defective = (white.rate < 0.5 * local) | (black.rate > 0.5 * grey.mean)
    _check_scene(white, defective)
    intervals = grey.intervals()
    sums = _grouped(black, grey, white, intervals, ~defective)
    total = {name: values.sum(axis=0) for name, values in sums.items()}
    estimate = _Estimator(black, grey, white)
    values = estimate(total)
    replicates = [
        estimate({name: total[name] - parts[group] for name, parts in sums.items()})
        for group in range(_GROUPS)
    ]
    deviations = {
        name: math.sqrt((_GROUPS - 1) * np.var([replicate[name] for replicate in replicates]))
        for name in values
    }
    noise, found, undetermined = _reported(values, deviations, grey.planes)
    gain, dark_map = _maps(black, white, values, ~defective)
    return Calibration(noise, found, undetermined, gain, dark_map, defective)


class _Level:
    """Rates of one recording.

    Attributes:
        rate: Spikes per plane of each pixel ``(H, W)``.
        halves: The same of the first and of the second half.
        mean: Mean rate.
    """

    def __init__(self, recording: SpikeRecording) -> None:
        self.name = str(recording.meta.get("source", recording.meta.get("name", "recording")))
        self.packed = recording.packed
        self.planes, self.height, self.width = recording.shape
        self.half = self.planes // 2
        counts = np.zeros((2, self.height, self.width))
        blocks = np.zeros((2, self.planes))  # spikes of every second pixel, to recognise flicker
        for rows, spikes in self.rows():
            counts[0, rows] = spikes[: self.half].sum(axis=0, dtype=np.int32)
            counts[1, rows] = spikes[self.half : 2 * self.half].sum(axis=0, dtype=np.int32)
            for parity in (0, 1):
                blocks[parity] += spikes[:, :, parity::2].sum(axis=(1, 2), dtype=np.int32)
        self.halves = counts / self.half
        self.rate = self.halves.mean(axis=0)
        self.mean = float(self.rate.mean())
        self.series = blocks

    def rows(self):
        """Yield slices of rows and their spikes ``(T, rows, W)``."""
        for first in range(0, self.height, _ROWS):
            rows = slice(first, min(first + _ROWS, self.height))
            yield rows, unpack_bits(self.packed[:, rows], self.width)

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


def _grouped(
    black: _Level, grey: _Level, white: _Level, intervals: Map, valid: NDArray[np.bool_]
) -> Sums:
    """Return sums over the valid pixels of each of the groups."""
    pattern = [_pattern(w - g, valid) for w, g in zip(white.halves, grey.halves, strict=True)]
    dark = _pattern(black.rate, valid)
    weight = intervals[..., COUNTS.index("weight")]
    ratio = 1 / intervals[..., COUNTS.index("interval")] ** 2
    variance = intervals[..., COUNTS.index("variance")]
    maps = {
        "pixels": np.ones_like(dark),
        "white": white.rate,
        "grey": grey.rate,
        "black": black.rate,
        "gain": pattern[0] * pattern[1],
        "shared": (pattern[0] + pattern[1]) / 2 * dark,
        "weight": weight,
        "variance": weight * variance * ratio,
        "skewness": weight * intervals[..., COUNTS.index("skewness")] * ratio**1.5,
        "interval": weight * intervals[..., COUNTS.index("interval")],
        **{n: intervals[..., COUNTS.index(n)] for n in ("spurious", "missed", "intervals")},
        "squared": intervals[..., COUNTS.index("spurious")] ** 2,
    }
    rows, columns = np.indices(dark.shape) // _TILE
    groups = ((rows * (columns.max() + 1) + columns) % _GROUPS)[valid]
    sums = {name: np.bincount(groups, of[valid], _GROUPS) for name, of in maps.items()}
    counts = np.rint(black.rate * 2 * black.half).astype(np.int64)[valid]
    sums["dark"] = np.stack(
        [np.bincount(counts[groups == g], minlength=counts.max() + 1) for g in range(_GROUPS)]
    ).astype(np.float64)
    return sums


def _pattern(rate: Map, valid: NDArray[np.bool_]) -> Map:
    """Return the difference of each pixel from its neighbourhood, without defective pixels."""
    filled = np.where(valid, rate, np.median(rate[valid]))
    return np.asarray(filled - ndimage.uniform_filter(filled, _WINDOW, mode="reflect"))


class _Estimator:
    """Estimates from sums over pixels; the equations are derived in docs/calibration.md."""

    def __init__(self, black: _Level, grey: _Level, white: _Level) -> None:
        self.dark_planes = 2 * black.half
        self.planes = grey.planes
        # a square of n pixels, of which the pixel is one, removes 1/n of the variance
        self.unbiased = 1 / (1 - 1 / _WINDOW**2)
        # rounding to whole spikes at the plane between the halves, of two recordings
        self.rounding = 1 / (12 * white.half**2) + 1 / (12 * grey.half**2)

    def __call__(self, sums: Sums) -> dict[str, float]:
        mean = {name: float(sums[name] / sums["pixels"]) for name in ("white", "grey", "black")}
        moment = {
            name: float(sums[name] / max(sums["weight"], 1))
            for name in ("variance", "skewness", "interval")
        }
        electrons, reset = _shot_and_reset(moment["variance"], moment["skewness"])
        missed = float(sums["missed"] / max(sums["intervals"] + sums["missed"], 1))
        # in the plane of a true spike, and before the first and after the last one, none is found
        seen = (1 - mean["grey"]) * (self.planes - moment["interval"])
        count = float(sums["spurious"] / sums["pixels"])
        spurious = count / seen
        variance = float(sums["squared"] / sums["pixels"]) - count**2
        # the spurious spikes in planes of true ones are a random part
        dispersion = (variance / count - mean["grey"]) / (1 - mean["grey"]) if count else 0.0
        dark = max((mean["black"] - spurious) / (1 - missed), 0.0)
        light = mean["white"] - mean["grey"]
        pattern = (float(sums["gain"] / sums["pixels"]) * self.unbiased + self.rounding) / light**2
        shared = float(sums["shared"] / sums["pixels"]) * self.unbiased
        threshold = shared / (light * dark) if dark > 0 else 0.0
        return {
            "variance": moment["variance"],
            "electrons": electrons,
            "reset_deviation": reset,
            "missed": missed,
            "spurious": spurious,
            "dispersion": dispersion,
            "dark": dark,
            "dark_deviation": _dark_deviation(
                sums["dark"], dark * self.dark_planes, spurious * self.dark_planes, dispersion
            ),
            "threshold_deviation": threshold,
            "gain_deviation": pattern - threshold,
            "pattern": pattern,
        }


def _shot_and_reset(variance: float, skewness: float) -> tuple[float, float]:
    """Separate shot noise from reset noise.

    Args:
        variance: Relative variance of an interval, 1/N + r^2.
        skewness: Relative third central moment, 2/N^2 + 3 r^2/N.

    Returns:
        1/N and r^2.
    """
    root = math.sqrt(max(9 * variance**2 - 4 * skewness, 0.0))
    shot = (3 * variance - root) / 2
    return shot, variance - shot


def _dark_deviation(
    counts: NDArray[np.float64], mean: float, spurious: float, dispersion: float
) -> float:
    """Return the most likely deviation of the logarithm of the dark charge.

    Args:
        counts: Number of pixels by their number of dark spikes.
        mean: Mean number of dark spikes.
        spurious: Mean number of spurious spikes.
        dispersion: Their variance, divided by the mean.
    """
    if mean <= 0:
        return 0.0
    number = np.arange(len(counts))
    spread = math.sqrt(max(dispersion * spurious, 0.02))
    extra = stats.norm.pdf(number, spurious, spread)
    extra /= extra.sum()
    normal = np.linspace(-4.5, 4.5, 400)
    weights = stats.norm.pdf(normal) / stats.norm.pdf(normal).sum()

    def surprise(deviation: float) -> float:
        expected = mean * np.exp(deviation * normal - deviation**2 / 2)
        # a pixel with x expected spikes has floor(x) or floor(x) + 1
        near = np.clip(1 - np.abs(number[:, None] - expected), 0, None) @ weights
        probability = np.convolve(near, extra)[: len(counts)]
        return -float(counts @ np.log(np.maximum(probability, 1e-12)))

    return float(optimize.minimize_scalar(surprise, bounds=(0.0, 1.5), method="bounded").x)


def _gap_deviation(dispersion: float, gap: float, planes: int) -> float:
    """Return the deviation of the gaps that gives numbers of spikes of this variance over mean."""
    normal = np.random.default_rng(0).standard_normal((_DRAWS, math.ceil(planes / gap) * 4 + 24))
    start = np.random.default_rng(1).random((_DRAWS, 1))

    def excess(deviation: float) -> float:
        times = np.cumsum(gap + deviation * normal, axis=1) - gap * (8 + start)
        latest = np.maximum.accumulate(times, axis=1)  # a spike before an earlier one is dropped
        inside = (times >= 0) & (times < planes) & (times == latest)
        counts = inside.sum(axis=1)
        return float(counts.var() / counts.mean()) - dispersion

    if excess(0.0) >= 0 or excess(gap) <= 0:
        return 0.0 if excess(0.0) >= 0 else gap
    return float(optimize.brentq(excess, 0.0, gap, xtol=gap / 500))


def _reported(
    values: Mapping[str, float], deviations: Mapping[str, float], planes: int
) -> tuple[CameraNoise, dict[str, tuple[float, float]], tuple[str, ...]]:
    """Return the parameters, their intervals, and the names of undetermined ones."""
    ends = {
        name: tuple(max(value + side * deviations[name], 0.0) for side in (0, -1.96, 1.96))
        for name, value in values.items()
    }

    known = {name for name, (v, low, high) in ends.items() if high - low <= 2 * _MAX_ERROR * v}
    is_shot = "reset_deviation" in known
    is_gain = {"threshold_deviation", "gain_deviation"} <= known
    found = {
        "electrons": _inverse(ends["electrons"]),
        "dark": ends["dark"],
        "gain_deviation": _roots(ends["gain_deviation"]),
        "threshold_deviation": _roots(ends["threshold_deviation"]),
        "dark_deviation": ends["dark_deviation"],
        "reset_deviation": _roots(ends["reset_deviation"]),
        "spurious_mean": _inverse(ends["spurious"]),
        "missed": ends["missed"],
    }
    undetermined = {name for name in ("dark", "dark_deviation", "missed") if name not in known}
    estimates = {name: value for name, (value, _, _) in found.items()}
    if not is_shot:  # reported as one
        estimates["electrons"] = _inverse(ends["variance"])[0]
        undetermined.add("reset_deviation")
    if not is_gain:
        estimates["gain_deviation"] = _roots(ends["pattern"])[0]
        undetermined.add("threshold_deviation")
    if values["variance"] < _MIN_VARIANCE:
        undetermined.add("electrons")
    if "pattern" not in known:
        undetermined.add("gain_deviation")
    if "spurious" not in known:
        undetermined.add("spurious_mean")
    elif values["spurious"] == 0:
        del found["spurious_mean"]
    else:
        gap = 1 / values["spurious"]
        low, value, high = (_gap_deviation(end, gap, planes) for end in sorted(ends["dispersion"]))
        found["spurious_deviation"] = value, low, high
        estimates["spurious_deviation"] = min(value, gap)
    noise = {
        name: value if name not in undetermined and math.isfinite(value) else 0.0
        for name, value in estimates.items()
    }
    intervals = {
        name: (min(low, estimates[name]), max(high, estimates[name]))
        for name, (_, low, high) in found.items()
    }
    return CameraNoise(**noise), intervals, tuple(n for n in found if n in undetermined)


def _inverse(ends: tuple[float, float, float]) -> tuple[float, float, float]:
    value, low, high = (1 / end if end > 0 else math.inf for end in ends)
    return value, high, low


def _roots(ends: tuple[float, float, float]) -> tuple[float, float, float]:
    value, low, high = map(math.sqrt, ends)
    return value, low, high


def _maps(
    black: _Level, white: _Level, values: Mapping[str, float], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the maps of gain and dark spikes, drawn towards their means by their own noise."""
    maps = []
    for first, second, local in (
        (*(white.halves - black.rate), True),
        (*black.halves, False),
    ):
        rate = (first + second) / 2
        pattern = _pattern(rate, valid) if local else rate - rate[valid].mean()
        spread = np.cov(first[valid], second[valid])
        share = np.clip(2 * spread[0, 1] / (spread[0, 1] + (spread[0, 0] + spread[1, 1]) / 2), 0, 1)
        maps.append((rate, share * pattern))
    (light, gain), (dark, uneven) = maps
    level = ndimage.uniform_filter(light, _WINDOW, mode="reflect")
    rate = np.clip(values["dark"] + uneven, 0, None)
    return (1 + gain / np.maximum(level, 1e-9)).astype(np.float32), rate.astype(np.float32)


def _check_levels(levels: Sequence[_Level]) -> None:
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
        if level is not black:
            _check_constant(level)
    grey, white = greys[0], greys[-1]
    if white.mean > MAX_RATE:
        raise FormatError.at(white.name, _rate(white) + "is saturated; record a darker level")
    if grey.mean > MAX_DARKEST:
        raise FormatError.at(
            grey.name,
            _rate(grey) + f"is the darkest level; record one of at most {MAX_DARKEST:.2f}",
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


def _rate(level: _Level) -> str:
    return f"a mean rate of {level.mean:.3f} spikes per plane "


def _check_constant(level: _Level) -> None:
    """Raise if the light changes with time, in both halves of the pixels."""
    kernel = np.ones(_SMOOTHED) / _SMOOTHED
    series = [np.convolve(s, kernel, "valid")[::_SMOOTHED] / s.mean() - 1 for s in level.series]
    flicker = math.sqrt(max(float((series[0] * series[1]).mean()), 0.0))
    first, second = level.halves.mean(axis=(1, 2))
    drift = abs(second - first) / max(level.mean, 1e-9)
    if max(flicker / _MAX_FLICKER, drift / _MAX_DRIFT) > 1:
        what = f"drifts by {drift:.1%}" if drift > _MAX_DRIFT else f"flickers by {flicker:.1%}"
        raise FormatError.at(
            level.name, f"the light {what}; use a constant source, such as a lamp with direct current"
        )


def _check_scene(level: _Level, defective: NDArray[np.bool_]) -> None:
    """Raise if neighbouring pixels are similar, as in a scene and not in a fixed pattern."""
    pattern = _pattern(level.rate, ~defective)
    similar = float((pattern[:, 1:] * pattern[:, :-1]).mean() / max(pattern.var(), 1e-12))
    if similar > _MAX_NEIGHBOURS:
        raise FormatError.at(
            level.name,
            "shows a scene, not uniform light; defocus the lens on a bright white area, or put a "
            "diffuser in front of it",
        )
