"""Estimation of a camera's noise from recordings of uniform light; noise_estimates.py derives it.

A pixel under constant light fires at intervals. Their relative variance and skewness separate the
noise of the electrons from that of the reset, short and double intervals count spurious and missed
spikes, and the maps of rates at three levels give the fixed patterns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from spike_zoo.formats.camera import sensor_facts
from spike_zoo.simulation.camera.light_checks import (
    check_explained,
    check_levels,
    check_same_pixels,
    check_uniform,
)
from spike_zoo.simulation.camera.noise import CameraNoise
from spike_zoo.simulation.camera.noise_estimates import (
    GROUPS,
    NoiseEstimator,
    grouped_sums,
    reported,
)
from spike_zoo.simulation.camera.uniform_light import Map, UniformLight, illumination, pattern
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.utils.files import new_file

_HOT: Final = 10  # times the median of the dark rates


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
        sensor: Size, orientation and filters of the recordings, as far as they are known.
    """

    noise: CameraNoise
    intervals: Mapping[str, tuple[float, float]]
    undetermined: tuple[str, ...]
    gain: NDArray[np.float32]
    dark: NDArray[np.float32]
    defective: NDArray[np.bool_]
    sensor: Mapping[str, Any]

    def write(self, path: Path, *, overwrite: bool = False) -> tuple[Path, Path]:
        """Write the parameters as YAML, and the maps as a file ``.npz`` beside it.

        Returns:
            Both paths.

        Raises:
            ExistingFileError: If a file exists and ``overwrite`` is False.
        """
        content = {
            "noise": {name: float(f"{v:.4g}") for name, v in asdict(self.noise).items() if v},
            "intervals": {
                name: [float(f"{end:.4g}") for end in ends] for name, ends in self.intervals.items()
            },
            "undetermined": list(self.undetermined),
            "sensor": dict(self.sensor),
            "maps": path.with_suffix(".npz").name,
        }
        maps = path.with_suffix(".npz")
        with (
            new_file(maps, overwrite=overwrite) as temporary,
            new_file(path, overwrite=overwrite) as text,
        ):
            with temporary.open("wb") as stream:
                np.savez_compressed(
                    stream, gain=self.gain, dark=self.dark, defective=self.defective
                )
            text.write_text(
                yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8"
            )
        return path, maps


def calibrate(dark: SpikeRecording, flats: Sequence[SpikeRecording]) -> Calibration:
    """Estimate the noise of a camera.

    Args:
        dark: Recording without light, with the lens covered.
        flats: Recordings of uniform, constant light at two or more levels. The darkest should have
            0.02 to 0.15 spikes per plane, the brightest 0.3 to 0.8.

    Raises:
        GeometryError: If the recordings are too short or small, or differ in size or orientation.
        FormatError: If a level is too dark or too bright, the levels are too similar, the light
            flickers or drifts, a recording shows a scene or filters that it does not state, or its
            spikes are not those of pixels that integrate light.
    """
    levels = [UniformLight(dark), *sorted(map(UniformLight, flats), key=lambda level: level.mean)]
    check_levels(levels)
    black, grey, white = levels[0], levels[1], levels[-1]
    local = illumination(white.rate, np.ones(white.rate.shape, bool), white.step)
    hottest = max(0.5 * grey.mean, _HOT * float(np.median(black.rate)))
    defective = (white.rate < 0.5 * local) | (black.rate > hottest)
    for level in levels:
        check_uniform(level, ~defective)
    check_same_pixels(levels, ~defective)
    intervals = grey.intervals()
    check_explained(grey, intervals, ~defective)
    sums = grouped_sums(black, grey, white, intervals, ~defective)
    total = {name: values.sum(axis=0) for name, values in sums.items()}
    estimate = NoiseEstimator(black, grey, white)
    values = estimate(total)
    replicates = [
        estimate({name: total[name] - parts[group] for name, parts in sums.items()})
        for group in range(GROUPS)
    ]
    deviations = {
        name: math.sqrt((GROUPS - 1) * np.var([replicate[name] for replicate in replicates]))
        for name in values
    }
    noise, found, undetermined = reported(values, deviations, grey.planes)
    gain, dark_map = _maps(black, white, values, ~defective)
    sensor = sensor_facts(dark)
    return Calibration(noise, found, undetermined, gain, dark_map, defective, sensor)


def _maps(
    black: UniformLight, white: UniformLight, values: Mapping[str, float], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the maps of gain and dark spikes, shrunk towards their means by their noise."""
    halves = white.halves - black.rate
    light = illumination(halves.mean(axis=0), valid, white.step)
    gain = 1 + _common([pattern(half, valid, white.step) / light for half in halves], valid)
    dark = values["dark"] + _common([half - half[valid].mean() for half in black.halves], valid)
    return gain.astype(np.float32), np.maximum(dark, 0).astype(np.float32)


def _common(halves: Sequence[Map], valid: NDArray[np.bool_]) -> Map:
    """Return the mean of two maps, multiplied by the share of its variance that they share."""
    covariance = float((halves[0] * halves[1])[valid].mean())
    variance = float(np.mean([half[valid].var() for half in halves]))
    share = 2 * covariance / (covariance + variance) if covariance > 0 else 0.0
    return np.asarray(share * (halves[0] + halves[1]) / 2)
