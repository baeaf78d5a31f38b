"""Noise model of spike cameras, with presets, fixed patterns and spurious spikes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import UsageError
from spike_zoo.utils.yaml_files import parse_dataclass, read_yaml

SPURIOUS_MEAN: Final = 140.0
SPURIOUS_DEVIATION: Final = 50.0


@dataclass(frozen=True)
class CameraNoise:
    """Noise parameters of a camera; every term is off by default.

    Charges are fractions of the firing threshold, rates are per plane.

    Attributes:
        electrons: Number of electrons at the firing threshold, N. Light and dark current then
            have Poisson noise; 0 makes both deterministic.
        dark: Mean dark charge per plane. It doubles about every 6 to 8 kelvin.
        gain_deviation: Fixed pattern of the gain, as a relative standard deviation.
        threshold_deviation: Fixed pattern of the firing threshold, relative.
        dark_deviation: Fixed pattern of the dark charge, standard deviation of its logarithm;
            the mean over the sensor stays ``dark``.
        reset_deviation: Standard deviation of the charge after a reset (kTC noise), relative to
            the pixel's threshold; drawn at each spike.
        spurious_mean: Mean number of planes between two spurious spikes of one pixel; 0 for none.
        spurious_deviation: Standard deviation of that number.
        missed: Probability that a spike is lost in read-out.
        sensor: Seed of the fixed patterns, for several recordings of the same sensor; None draws
            new patterns for each camera.

    Raises:
        ValueError: If a value is negative, not finite or out of its range.
    """

    electrons: float = 0.0
    dark: float = 0.0
    gain_deviation: float = 0.0
    threshold_deviation: float = 0.0
    dark_deviation: float = 0.0
    reset_deviation: float = 0.0
    spurious_mean: float = 0.0
    spurious_deviation: float = 0.0
    missed: float = 0.0
    sensor: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} must be finite and not negative, got {value}")
        if self.missed > 1:
            raise ValueError(f"missed is a probability, got {self.missed}")
        if self.spurious_deviation > self.spurious_mean:
            raise ValueError(
                f"spurious_deviation ({self.spurious_deviation}) may not exceed spurious_mean "
                f"({self.spurious_mean}): the gaps would often be negative"
            )

    @property
    def is_silent(self) -> bool:
        """Whether every term is off, so that the camera is exact and deterministic."""
        return not any(getattr(self, field.name) for field in fields(self)[:-1])


NOISE_PRESETS: Final[Mapping[str, CameraNoise]] = MappingProxyType(
    {
        "none": CameraNoise(),
        "indoor-v1": CameraNoise(
            electrons=2000.0,
            dark=0.001,
            gain_deviation=0.01,
            threshold_deviation=0.01,
            dark_deviation=0.3,
            reset_deviation=0.005,
        ),
        "lowlight-v1": CameraNoise(
            electrons=200.0,
            dark=0.005,
            gain_deviation=0.02,
            threshold_deviation=0.02,
            dark_deviation=0.5,
            reset_deviation=0.02,
            spurious_mean=2000.0,
            spurious_deviation=1000.0,
            missed=0.001,
        ),
        "ssdm-v1": CameraNoise(spurious_mean=SPURIOUS_MEAN, spurious_deviation=SPURIOUS_DEVIATION),
    }
)
"""Noise presets. The values of a name never change; changed values get a new version.

``indoor`` and ``lowlight`` are plausible values chosen for this project, not measurements of a
sensor. ``ssdm`` has the spurious spikes of Chen et al., *SpikeReveal*, NeurIPS 2024.
"""


def resolve_noise(noise: CameraNoise | str | None) -> CameraNoise:
    """Return the noise of a preset, or of a camera file (.yaml) of ``calibrate``; None: no noise.

    Raises:
        UsageError: If the preset does not exist.
        ConfigError: If the file is not one of ``calibrate``.
    """
    if noise is None:
        return NOISE_PRESETS["none"]
    if isinstance(noise, CameraNoise):
        return noise
    if noise.endswith(".yaml"):
        content = read_yaml(Path(noise))
        fields_of_file = content.get("noise") if isinstance(content, dict) else None
        return parse_dataclass(CameraNoise, fields_of_file, f"{noise}: noise")
    if noise not in NOISE_PRESETS:
        raise UsageError(
            f"no noise preset is called {noise!r}; there are {', '.join(NOISE_PRESETS)}, and "
            "camera files (.yaml) of calibrate"
        )
    return NOISE_PRESETS[noise]


def fixed_patterns(
    noise: CameraNoise, pixels: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Draw the fixed-pattern noise of a sensor.

    Returns:
        Relative gain, relative threshold and dark charge (fraction of the threshold) of every
        pixel, float32 ``(pixels,)``. Gains are at least 0, thresholds at least 0.1.
    """
    # all three are always drawn, so that one term does not change the patterns of the others
    rng = np.random.default_rng(seed if noise.sensor is None else noise.sensor)
    gain, threshold, dark = rng.standard_normal((3, pixels), dtype=np.float32)
    spread = noise.dark_deviation
    return (
        np.maximum(np.float32(noise.gain_deviation) * gain + np.float32(1), np.float32(0)),
        np.maximum(
            np.float32(noise.threshold_deviation) * threshold + np.float32(1), np.float32(0.1)
        ),
        # minus half the variance: the mean of the log-normal distribution is then noise.dark
        (noise.dark * np.exp(spread * dark.astype(np.float64) - spread**2 / 2)).astype(np.float32),
    )


def spurious_spikes(
    shape: tuple[int, int, int],
    draws: NDArray[np.float32] | np.random.Generator | int | None = None,
    *,
    mean: float = SPURIOUS_MEAN,
    deviation: float = SPURIOUS_DEVIATION,
) -> NDArray[np.bool_]:
    """Return spurious spikes, drawn as in S-SDM's simulator; combine them with the signal by OR.

    Gaps between spikes are normally distributed. They are summed over all pixels, time first, so
    that a gap may reach from the last plane of one pixel into the first planes of the next. Sums
    are in float32 and truncated to whole planes; a negative sum counts from the end.

    Args:
        shape: ``(T, H, W)``.
        draws: An array of gaps, repeated cyclically if needed, or the generator (or its seed) that
            draws them.
        mean: Mean gap in planes.
        deviation: Standard deviation of the gaps; unused if ``draws`` is an array.

    Returns:
        bool ``(T, H, W)``.

    Raises:
        ValueError: If the mean gap is not positive, or the stream is too long for float32.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, released simulator.
    """
    planes, height, width = shape
    size = planes * height * width
    gaps = _enough_gaps(size, draws, mean, deviation)
    # in float32 as in the original, because rounding affects the plane of late spikes
    ends = np.cumsum(gaps, dtype=np.float32)
    past_end = np.flatnonzero(ends >= np.float32(size - 1))
    if not past_end.size:
        raise ValueError(f"gaps of mean {gaps.mean():.3g} do not reach the end of {size} positions")
    noise = np.zeros(size, dtype=np.bool_)
    # negative ends index from the end, as in the original
    noise[ends[: past_end[0]].astype(np.int64)] = True
    return np.ascontiguousarray(noise.reshape(height, width, planes).transpose(2, 0, 1))


def _enough_gaps(
    size: int,
    draws: NDArray[np.float32] | np.random.Generator | int | None,
    mean: float,
    deviation: float,
) -> NDArray[np.float32]:
    """Return float32 gaps whose sum exceeds ``size`` except with negligible probability."""
    if isinstance(draws, np.ndarray):
        mean = float(np.mean(draws, dtype=np.float64)) if draws.size else 0.0
        deviation = float(np.std(draws, dtype=np.float64)) if draws.size else 0.0
    if not mean > 0:
        raise ValueError(f"gaps between spurious spikes must be positive on average, got {mean:g}")
    # float32 represents integers up to 2^24; gaps are lost in larger sums
    if size > mean * 2**24:
        raise ValueError(f"{size} positions are too many for sums in float32; simulate in parts")
    expected = size / mean
    # twelve standard deviations above the expected number of gaps
    count = math.ceil(expected + 12 * (deviation / mean) * math.sqrt(expected + 1) + 64)
    if isinstance(draws, np.ndarray):
        # np.resize repeats the gaps cyclically
        return np.resize(draws.astype(np.float32, copy=False).ravel(), max(count, draws.size))
    rng = np.random.default_rng(draws)
    return (mean + deviation * rng.standard_normal(count)).astype(np.float32)
