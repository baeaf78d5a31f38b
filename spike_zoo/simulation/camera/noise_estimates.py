"""Estimates of the parameters of :class:`CameraNoise`; experiments/NOTES.md derives them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, signal, stats

from spike_zoo.simulation.camera.interval_kernels import COUNTS
from spike_zoo.simulation.camera.noise import CameraNoise
from spike_zoo.simulation.camera.uniform_light import (
    WINDOW,
    Map,
    UniformLight,
    illumination,
    pattern,
)

Sums = dict[str, NDArray[np.float64]]

GROUPS: Final = 40
"""Groups of pixels, for the jackknife."""
_TILE: Final = 8
_MAX_ERROR: Final = 0.5  # half width of an interval, relative to the estimate
_STEPS: Final = 2000  # of the time in a recording, for the renewal of spurious spikes
_MODEL_ERRORS: Final = {"variance": 0.002, "spurious": 0.001, "dispersion": 0.01}
"""Relative deviations of estimates of many simulated sensors from the truth."""
_MIN_VARIANCE: Final = 1e-4  # relative; smaller ones are those of the rounding to planes


class Estimate(NamedTuple):
    """An estimate and the ends of its 95 % confidence interval, at least 0."""

    value: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether the interval is narrow enough to use the estimate."""
        return self.high - self.low <= 2 * _MAX_ERROR * self.value

    def map(self, function: Callable[[float], float]) -> Estimate:
        """Return the estimate of an increasing or decreasing function of the parameter."""
        value, *ends = map(function, self)
        return Estimate(value, min(ends), max(ends))


def grouped_sums(
    black: UniformLight,
    grey: UniformLight,
    white: UniformLight,
    intervals: Map,
    valid: NDArray[np.bool_],
) -> Sums:
    """Return sums over the valid pixels of each of the groups."""
    step = white.step
    light = illumination(white.rate - grey.rate, valid, step)
    gains = [
        pattern(w - g, valid, step) / light for w, g in zip(white.halves, grey.halves, strict=True)
    ]
    dark = pattern(black.rate, valid, step)
    # a square of n pixels, of which the pixel is one, removes 1/n of the variance
    unbiased = 1 / (1 - 1 / WINDOW**2)
    # rounding to whole spikes at the plane between the halves, of two recordings
    rounding = 1 / (12 * white.half**2) + 1 / (12 * grey.half**2)
    of = dict(zip(COUNTS, np.moveaxis(intervals, -1, 0), strict=True))
    weight, usual = of["weight"], of["interval"]
    maps = {
        "pixels": np.ones_like(dark),
        "white": white.rate,
        "grey": grey.rate,
        "black": black.rate,
        "gain": gains[0] * gains[1] * unbiased + rounding / light**2,
        "shared": (gains[0] + gains[1]) / 2 * dark * unbiased,
        "weight": weight,
        "variance": weight * of["variance"] / usual**2,
        "skewness": weight * of["skewness"] / usual**3,
        "interval": weight * usual,
        **{name: of[name] for name in ("spurious", "missed", "intervals")},
        "squared": of["spurious"] ** 2,
    }
    rows, columns = np.indices(dark.shape) // _TILE
    groups = ((rows * (columns.max() + 1) + columns) % GROUPS)[valid]
    sums = {n: np.bincount(groups, m[valid], GROUPS).astype(float) for n, m in maps.items()}
    counts = np.rint(black.rate * 2 * black.half).astype(np.int64)[valid]
    sums["dark"] = np.stack(
        [np.bincount(counts[groups == g], minlength=counts.max() + 1) for g in range(GROUPS)]
    ).astype(np.float64)
    return sums


class NoiseEstimator:
    """Estimates from sums over pixels; experiments/NOTES.md derives the equations."""

    def __init__(self, black: UniformLight, grey: UniformLight, white: UniformLight) -> None:
        self.dark_planes = 2 * black.half
        self.planes = grey.planes
        self.half = white.half

    def __call__(self, sums: Sums) -> dict[str, float]:
        """Return estimates that have no limits: squares of deviations, and rates."""
        mean = {name: float(sums[name] / sums["pixels"]) for name in ("white", "grey", "black")}
        moment = {
            name: float(sums[name] / np.maximum(sums["weight"], 1))
            for name in ("variance", "skewness", "interval")
        }
        usual = moment["interval"] or 1 / mean["grey"]
        # neither the first nor the last spike of a pixel can be a missed one
        inner = float(sums["intervals"] + 2 * sums["missed"] - sums["pixels"])
        missed = float(sums["missed"]) / max(inner, 1)
        # a spurious spike cannot be recognised in the plane of a true spike, half an interval
        # around a missed one, and far before the first or after the last; it may be missed itself
        seen = (1 - missed) * (1 - 1 / usual - missed)
        count = float(sums["spurious"] / sums["pixels"])
        spurious = count / seen / (self.planes - usual / 4)
        variance = float(sums["squared"] / sums["pixels"]) - count**2
        dispersion = 1 - (1 - variance / count) / seen if count else 0.0
        # nor can the missed spike; both intervals beside the spurious one then look usual, if they
        # differ from the usual length by up to 0.4, and are not left out beside other short ones
        hidden = min((usual - 1) * spurious, 0.4)
        missed /= 1 - hidden
        split = 2 * 0.8 * missed * hidden * 0.4**2 / 3 / (1 - 2 * hidden)
        spread = moment["variance"] - split * min(moment["variance"] * usual**2, 1.0)
        # r^2 (r^2 + spread); continued by its tangent below 0, so that the deviation is not 0
        excess = 2 * spread**2 - moment["skewness"]
        root = math.sqrt(spread**2 + 4 * max(excess, 0.0))
        reset = (root - spread) / 2 + min(excess, 0.0) / max(spread, 1e-12)
        dark = max((mean["black"] / (1 - missed) - spurious) / (1 - spurious), 0.0)
        visible = dark * (1 - missed)
        pattern = float(sums["gain"] / sums["pixels"])
        # a spread of less than a spike is that of the rounding
        if pattern * (mean["white"] - mean["grey"]) ** 2 <= 1 / self.half**2:
            pattern = 0.0
        threshold = float(sums["shared"] / sums["pixels"]) / dark if dark > 0 else 0.0
        return {
            "variance": spread,
            "electrons": spread - reset,
            "reset_deviation": reset,
            "missed": missed,
            "spurious": spurious,
            "dispersion": dispersion,
            "dark": dark,
            "dark_deviation": _dark_deviation(
                sums["dark"],
                visible * self.dark_planes,
                (mean["black"] - visible) * self.dark_planes,
                dispersion,
            ),
            "threshold_deviation": threshold,
            "gain_deviation": pattern - threshold,
            "pattern": pattern,
        }


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

    def negative_log_likelihood(deviation: float) -> float:
        expected = mean * np.exp(deviation * normal - deviation**2 / 2)
        # a pixel with x expected spikes has floor(x) or floor(x) + 1
        near = np.clip(1 - np.abs(number[:, None] - expected), 0, None) @ weights
        probability = np.convolve(near, extra)[: len(counts)]
        return -float(counts @ np.log(np.maximum(probability, 1e-12)))

    return float(
        optimize.minimize_scalar(negative_log_likelihood, bounds=(0.0, 1.5), method="bounded").x
    )


def reported(
    values: Mapping[str, float], deviations: Mapping[str, float], planes: int
) -> tuple[CameraNoise, dict[str, tuple[float, float]], tuple[str, ...]]:
    """Return the parameters, their intervals, and the names of undetermined ones.

    Terms that cannot be separated are reported as one: the noise of reset as that of electrons,
    and the pattern of thresholds as that of the gain.

    Args:
        values: What :class:`NoiseEstimator` returns.
        deviations: Standard deviations of these values.
        planes: Planes of the darkest grey.
    """
    raw = {}
    for name, value in values.items():
        half = 1.96 * math.hypot(deviations[name], _MODEL_ERRORS.get(name, 0.0) * value)
        raw[name] = Estimate(max(value, 0.0), max(value - half, 0.0), max(value, 0.0) + half)
    found = {
        "electrons": raw["electrons"].map(_inverse),
        "dark": raw["dark"],
        "gain_deviation": raw["gain_deviation"].map(math.sqrt),
        "threshold_deviation": raw["threshold_deviation"].map(math.sqrt),
        "dark_deviation": raw["dark_deviation"],
        "reset_deviation": raw["reset_deviation"].map(math.sqrt),
        "missed": raw["missed"],
    }
    checked = {name: raw[name] for name in ("dark", "dark_deviation", "missed", "reset_deviation")}
    if values["spurious"] > 0:
        gaps = _gaps(raw["spurious"].map(_inverse), raw["dispersion"], planes)
        found["spurious_mean"], found["spurious_deviation"] = gaps
        checked |= {"spurious_mean": raw["spurious"], "spurious_deviation": gaps[1]}
    if not raw["reset_deviation"].is_known:
        found["electrons"] = raw["variance"].map(_inverse)
    no_shot_noise = values["variance"] < _MIN_VARIANCE or found["electrons"].value == math.inf
    unknown = {"electrons"} if no_shot_noise else set()
    if not (raw["threshold_deviation"].is_known and raw["gain_deviation"].is_known):
        found["gain_deviation"] = raw["pattern"].map(math.sqrt)
        checked["gain_deviation"] = raw["pattern"]
        unknown.add("threshold_deviation")
    unknown |= {name for name, estimate in checked.items() if not estimate.is_known}
    noise: dict[str, Any] = {name: e.value for name, e in found.items() if name not in unknown}
    intervals = {name: (estimate.low, estimate.high) for name, estimate in found.items()}
    return CameraNoise(**noise), intervals, tuple(name for name in found if name in unknown)


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else math.inf


def _gaps(gap: Estimate, dispersion: Estimate, planes: int) -> tuple[Estimate, Estimate]:
    """Return mean and deviation of the gaps between spurious spikes."""
    ratio = dispersion.map(lambda value: _gap_ratio(value, planes / gap.value))
    # the camera drops the spike after a negative gap, so that the mean gap is shorter
    ratios = np.maximum(ratio if ratio.is_known else (0, 0, 0), 0.05)
    share, most, least = stats.norm.cdf(1 / ratios)
    # errors add up: a larger number of spurious spikes comes with a larger dispersion
    mean = Estimate(share * gap.value, least * gap.low, most * gap.high)
    return mean, ratio.map(lambda value: mean.value * value)


def _gap_ratio(dispersion: float, gaps: float) -> float:
    """Return the relative deviation of the gaps between spurious spikes.

    Args:
        dispersion: Variance of the number of spurious spikes, divided by the mean.
        gaps: Mean number of gaps in the recording.
    """
    steps = np.arange(_STEPS)

    def excess(ratio: float) -> float:
        positive = stats.norm.cdf(1 / ratio)
        mean = _STEPS / gaps / (1 + ratio * stats.norm.pdf(1 / ratio) / positive)
        first = np.diff(stats.norm.cdf(np.append(0, steps + 0.5), mean, ratio * mean)) / positive
        # probability of a spike, next or later, so many steps after a spike: u = first + first * u
        later = signal.lfilter(first, np.append(1 - first[0], -first[1:]), np.eye(1, _STEPS)[0])
        return float(1 + 2 * later @ (1 - steps / _STEPS)) - gaps - dispersion

    if excess(0.05) >= 0:
        return 0.0
    return 1.0 if excess(1.0) <= 0 else float(optimize.brentq(excess, 0.05, 1.0, xtol=1e-4))
