"""Checks that recordings of uniform light suit a calibration."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma

from spike_zoo.errors import FormatError, GeometryError
from spike_zoo.formats.camera import sensor_facts
from spike_zoo.simulation.camera.interval_kernels import COUNTS
from spike_zoo.simulation.camera.uniform_light import Map, UniformLight, pattern, same_filter

MIN_PLANES: Final = 500
MIN_SIDE: Final = 16  # per filter
MAX_DARKEST: Final = 1 / 6
"""Largest rate of the darkest grey; double intervals are then distinct."""
MIN_DARKEST: Final = 0.005
MAX_RATE: Final = 0.9
MIN_RATIO: Final = 1.5  # of the rates of the brightest and the darkest grey
_MAX_CHANGE: Final = 0.01  # of the light with time
_RARE: Final = 1e-7  # probability of a common power of independent groups of pixels
_RARE_DEVIATIONS: Final = 10
_SHUFFLES: Final = 40
_MAX_FILTERS: Final = 0.03  # difference of the rates of the pixels of 2 x 2 blocks
_MAX_NEIGHBOURS: Final = 0.1  # correlation of neighbouring pixels in a fixed pattern
_MAX_MISSED: Final = 0.1  # share of missed spikes
_MAX_DISORDER: Final = 0.5  # variance of counts, relative to that of random spikes
_MIN_AGREEMENT: Final = 0.5  # of the patterns of two levels, of expected 1
_MIN_COUNT: Final = 5  # spikes of a pixel, for statistics of its counts
_DECODING: Final = (
    "the size, the alignment of planes (frame_align), the offset or the format of the file is "
    "probably wrong; look at its image with 'info FILE --picture'"
)


def check_levels(levels: Sequence[UniformLight]) -> None:
    """Raise if recordings differ in size or orientation, or their light is not suitable."""
    black, *greys = levels
    for level in levels:
        _check_sensor(level, black)
    grey, white = greys[0], greys[-1]
    if white.filter_means.max() > MAX_RATE:
        raise FormatError.at(white.name, _rate(white) + "is saturated; record a darker level")
    if grey.filter_means.max() > MAX_DARKEST:
        raise FormatError.at(
            grey.name,
            _rate(grey) + f"is the darkest level; record one of at most {MAX_DARKEST:.2f}",
        )
    if grey.filter_means.min() < MIN_DARKEST:
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
    for level in levels:
        _check_constant(level)
    for level in greys:
        _check_regular(level)


def _check_sensor(level: UniformLight, black: UniformLight) -> None:
    """Raise if a level is too small, or of another size or orientation than the dark one."""
    if level.planes < MIN_PLANES or min(level.height, level.width) < MIN_SIDE * level.step:
        raise GeometryError.at(
            level.name,
            f"{level.planes} planes of {level.height}x{level.width}; calibration needs at "
            f"least {MIN_PLANES} planes of {MIN_SIDE * level.step}x{MIN_SIDE * level.step}, "
            "better 2000",
        )
    if (level.height, level.width) != (black.height, black.width):
        raise GeometryError.at(
            level.name,
            f"its planes are {level.height}x{level.width}, those of {black.name} "
            f"{black.height}x{black.width}; record all levels with the same camera",
        )
    facts, first = sensor_facts(level.recording), sensor_facts(black.recording)
    both = sorted((facts.keys() & first.keys()) | {"cfa"})
    if differing := [name for name in both if facts.get(name) != first.get(name)]:
        raise GeometryError.at(
            level.name,
            f"{', '.join(differing)} differ from {black.name} ({facts} and {first}); write the "
            "same into the sidecars of all levels",
        )


def _rate(level: UniformLight) -> str:
    return f"a mean rate of {level.mean:.3f} spikes per plane "


def _check_regular(level: UniformLight) -> None:
    """Raise if the counts of pixels vary as those of random spikes, not of integrating pixels."""
    if level.mean * level.half < _MIN_COUNT:
        return
    first, second = level.halves * level.half
    random = (first + second) * (1 - level.rate)
    disorder = float((first - second).var() / random.mean())
    if disorder > _MAX_DISORDER:
        raise FormatError.at(
            level.name,
            f"the spikes are not those of pixels that integrate constant light: their number "
            f"varies {disorder:.0%} as much as that of random spikes (at most "
            f"{_MAX_DISORDER:.0%}); {_DECODING}",
        )


def _check_constant(level: UniformLight) -> None:
    """Raise if the light changes with time."""
    blocks = level.series.sum(axis=1)
    first, second = blocks[:, : level.half], blocks[:, level.half : 2 * level.half]
    changes = (second.mean(axis=1) - first.mean(axis=1)) / max(blocks.mean(), 1e-9)
    drift = abs(float(changes.mean()))
    if drift < 5 * changes.std() / math.sqrt(len(changes)):
        drift = 0.0
    # of the whole image, and of blocks: behind a scanned screen, their phases differ
    flicker = max(_flicker(blocks[None]), _flicker(level.series))
    if max(flicker, drift) > _MAX_CHANGE:
        what = "drifts" if drift > flicker else "flickers"
        raise FormatError.at(
            level.name,
            f"the light {what} by {max(flicker, drift):.1%}; use a constant source, such as a lamp "
            "with direct current",
        )


def _flicker(series: NDArray[np.float64]) -> float:
    """Return the standard deviation of the light with time, relative to its mean.

    Changes of the light are common to groups of pixels; at each frequency, the power of the sum of
    independent groups is the sum of their powers, times an exponentially distributed number.

    Args:
        series: Spikes of each plane in groups of pixels of parts of the image, ``(parts, groups,
            planes)``. The changes of different parts may differ.
    """
    parts, groups, planes = series.shape
    if not series.any():
        return 0.0
    spectra = np.fft.rfft(series - series.mean(axis=-1, keepdims=True))[..., 1:]
    spectra /= series.mean() * planes * groups * math.sqrt(parts)
    both = np.full(spectra.shape[-1], 2.0)  # positive and negative frequencies
    if planes % 2 == 0:
        both[-1] = 1.0
    own = both * (np.abs(spectra) ** 2).sum(axis=(0, 1))
    common = both * (np.abs(spectra.sum(axis=1)) ** 2).sum(axis=0)
    rare = gamma.isf(_RARE, parts) / parts
    power = float((common - own)[common > rare * own].sum())
    if parts > 1:
        return math.sqrt(power)
    # changes at many frequencies; groups that are shifted in time have none in common
    generator = np.random.default_rng(0)
    frequencies = -2j * np.pi * np.arange(1, len(own) + 1) / planes
    chance = [
        (both * np.abs((spectra[0] * np.exp(shifts * frequencies)).sum(axis=0)) ** 2).sum()
        for shifts in generator.integers(planes, size=(_SHUFFLES, groups, 1))
    ]
    if common.sum() > np.mean(chance) + _RARE_DEVIATIONS * np.std(chance):
        power = max(power, float((common - own).sum()))
    return math.sqrt(power)


def check_uniform(level: UniformLight, valid: NDArray[np.bool_]) -> None:
    """Raise if neighbouring pixels are similar, as in a scene, or differ as behind filters."""
    gain = pattern(level.rate, valid, level.step)
    step, pixels = level.step, gain.size
    products = gain[:, step:] * gain[:, :-step], gain[step:] * gain[:-step]
    # both directions: rows or columns may share a fixed pattern
    similar = min(float(product.mean()) for product in products) / max(gain.var(), 1e-12)
    if similar > max(_MAX_NEIGHBOURS, 4 / math.sqrt(pixels)):
        raise FormatError.at(
            level.name,
            "shows a scene, not uniform light; for the dark level cover the lens, for others "
            "defocus it on a bright white area, or put a diffuser in front of it",
        )
    if level.step == 1:
        _check_filters(level)


def _check_filters(level: UniformLight) -> None:
    parts = [level.rate[part] for part in same_filter(2)]
    means = [part.mean() for part in parts]
    error = max(part.std() / math.sqrt(part.size) for part in parts)
    difference = max(means) - min(means)
    if difference > max(_MAX_FILTERS * min(means), 6 * error):
        raise FormatError.at(
            level.name,
            f"the pixels of 2 x 2 blocks differ by {difference / min(means):.0%}, as behind the "
            "colour filters of a Bayer sensor; state their layout with --cfa RGGB (BGGR, GRBG or "
            "GBRG), or as cfa in the sidecars",
        )


def check_explained(level: UniformLight, intervals: Map, valid: NDArray[np.bool_]) -> None:
    """Raise if many intervals of the darkest grey are double or longer."""
    missed, found = (
        float(intervals[..., COUNTS.index(name)][valid].sum()) for name in ("missed", "intervals")
    )
    share = missed / max(missed + found, 1)
    if share > _MAX_MISSED:
        raise FormatError.at(
            level.name,
            f"{share:.0%} of the spikes would be missed ones (at most {_MAX_MISSED:.0%}), so its "
            f"pixels do not integrate constant light; {_DECODING}",
        )


def check_same_pixels(levels: Sequence[UniformLight], valid: NDArray[np.bool_]) -> None:
    """Raise if the fixed patterns of two levels are not those of the same pixels.

    The pattern of the dark level is part of that of each grey; the pattern of the gain is
    proportional to the light.
    """
    black, *greys = levels
    white = greys[-1]
    for level in greys:
        _check_agreement(black, level, black.halves, level.rate, 1.0, valid)
    for level in greys[:-1]:
        light = (level.mean - black.mean) / (white.mean - black.mean)
        halves, rate = white.halves - black.rate, level.rate - black.rate
        _check_agreement(white, level, halves, rate, light, valid)


def _check_agreement(
    reference: UniformLight,
    level: UniformLight,
    halves: Map,
    rate: Map,
    expected: float,
    valid: NDArray[np.bool_],
) -> None:
    """Raise if a pattern in the halves of one level is not in the rates of another."""
    first, second = (pattern(half, valid, level.step)[valid] for half in halves)
    other = pattern(rate, valid, level.step)[valid]
    common = float((first * second).mean())  # without the noise
    if common < 1 / reference.half**2:  # no pattern, or smaller than the rounding to whole spikes
        return
    agreement = float(((first + second) / 2 * other).mean()) / (common * expected)
    error = float(other.std() * (first + second).std()) / 2 / math.sqrt(other.size)
    if agreement + 5 * error / (common * expected) < _MIN_AGREEMENT:
        raise FormatError.at(
            level.name,
            f"its pixels are not those of {reference.name}: their fixed patterns differ. The size, "
            "offset or orientation (flip, mirror, rotate) of one file is wrong, or it is of "
            "another camera",
        )
