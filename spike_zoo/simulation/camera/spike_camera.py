"""Simulation of an integrate-and-fire spike camera."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from spike_zoo.simulation.camera.noise import CameraNoise, fixed_patterns, resolve_noise
from spike_zoo.spikes.packing import pack_bits
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.utils.cores import usable_cores

Reset = Literal["soft", "modulo", "hard"]
Start = Literal["uniform", "zero"]

_RESETS: Final = {"soft": 0, "modulo": 1, "hard": 2}  # constants of the kernels
_STREAMS: Final = 6  # start, sensor, light, reset, spurious, missed
_INFINITY_BITS: Final = 0x7F800000
_BAND: Final = 32768  # pixels per band; their state fits into the cache of a core
_SMALL: Final = 1 << 18  # pixels times planes below which one thread is faster

# S-SDM's simulator
_CLOCK: Final = 2 / 10e6  # seconds: two cycles of 10 MHz
_RESPONSIVITY: Final = 1.09e-13
_LIGHT: Final = 1.83e-4
_CAPACITANCE: Final = 15e-15  # farad
CHARGE_PER_CLOCK: Final = _CLOCK * _RESPONSIVITY / (_LIGHT * _CAPACITANCE)
CLOCKS_PER_PLANE: Final = 250.0
SSDM_GAIN: Final = CHARGE_PER_CLOCK * CLOCKS_PER_PLANE
"""Charge gathered from white in one plane."""


class SpikeCamera:
    """Integrate-and-fire camera with optional noise.

    In each plane a pixel adds ``gain * luminance`` to its charge. If the charge reaches the
    threshold, the pixel fires and its charge is reset. All arithmetic is float32. The charge is
    kept between calls of :meth:`expose`, so the spikes do not depend on the chunks of a video. This
    also holds with noise: a draw depends only on the generator's seed, the plane and the pixel.

    Args:
        threshold: Firing threshold, in units of charge.
        gain: Charge of white in one plane. Two factors are multiplied one after the other (charge
            per clock, clocks per plane), for simulators with rounding in between.
        reset: ``"soft"`` subtracts the threshold, which keeps the rate unbiased, and limits the
            rest to the threshold, so that a saturated pixel recovers in one plane; ``"modulo"``
            keeps the remainder of the division by the threshold; ``"hard"`` sets the charge to 0.
        strict: Whether the charge must exceed the threshold; by default it must reach it.
        start: Charge before the first plane: ``"uniform"`` in [0, threshold) per pixel,
            ``"zero"`` (pixels are synchronised), or an array ``(H, W)`` in units of charge.
        clock_steps: Integration steps per plane; a spike is read out if any step fires.
        noise: Noise terms, the name of a preset, or None for an exact camera.
        generator: numpy's generator or a seed, from which the constructor draws the keys.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> camera = SpikeCamera(gain=0.5, start="zero")
        >>> grey = np.full((4, 1, 1), 1.0)
        >>> camera.expose(grey).ravel(), camera.rate_scale
        (array([False,  True, False,  True]), 0.5)
    """

    def __init__(
        self,
        threshold: float = 1.0,
        gain: float | tuple[float, float] = 0.6,
        reset: Reset = "soft",
        strict: bool = False,
        start: Start | NDArray[Any] = "uniform",
        clock_steps: int = 1,
        noise: CameraNoise | str | None = None,
        generator: np.random.Generator | int | None = None,
    ) -> None:
        factors = gain if isinstance(gain, tuple) else (gain, 1.0)
        if not (np.isfinite(threshold) and threshold > 0):
            raise ValueError(f"the threshold must be finite and positive, got {threshold}")
        if len(factors) != 2 or not all(np.isfinite(factor) and factor > 0 for factor in factors):
            raise ValueError(f"the gain must be finite and positive, got {gain}")
        if reset not in _RESETS:
            raise ValueError(f"reset must be one of {list(_RESETS)}, got {reset!r}")
        if int(clock_steps) != clock_steps or clock_steps < 1:
            raise ValueError(f"clock_steps must be a whole number from 1, got {clock_steps}")
        self.threshold = float(threshold)
        self.gain = float(factors[0]) * float(factors[1])
        self.noise = resolve_noise(noise)
        self._factors = np.float32(factors[0]), np.float32(factors[1])
        self._reset, self._strict = _RESETS[reset], strict
        self._clock_steps = int(clock_steps)
        self._start = _checked_start(start)
        rng = np.random.default_rng(generator)
        self._keys = rng.integers(0, 2**64 - 1, _STREAMS, dtype=np.uint64, endpoint=True)
        self._state: _State | None = None
        self.planes = 0
        """Planes exposed so far."""

    @property
    def rate_scale(self) -> float:
        """Spikes per plane at white; above 1 the camera saturates before white."""
        return self.gain / self.threshold

    @property
    def charge(self) -> NDArray[np.float32] | None:
        """Current charge of every pixel, ``(H, W)``; None before the first exposure."""
        return None if self._state is None else self._state.charge.reshape(self._state.shape).copy()

    def expose(self, luminance: NDArray[Any]) -> NDArray[np.bool_]:
        """Return the spikes of the next planes.

        Args:
            luminance: ``(T, H, W)``, floating point, at least 0, white is 1. A C-contiguous
                float32 array is not copied.

        Returns:
            Spikes, bool ``(T, H, W)``.

        Raises:
            ValueError: If the luminance is not a floating-point array ``(T, H, W)``, is negative or
                not finite, or changes its size between calls. The state of the camera is unchanged
                after an error.
        """
        light = _checked_light(luminance)
        state = self._state or self._prepare(light.shape[1:])
        if state.shape != light.shape[1:]:
            raise ValueError(f"this camera has {state.shape} pixels, got {light.shape[1:]}")
        fired = np.empty(light.shape, dtype=np.uint8)
        after = state.copy()
        planes, pixels = light.shape[0], light.shape[1] * light.shape[2]
        flat = light.reshape(planes, pixels), fired.reshape(planes, pixels)
        worst = _in_bands(self._kernel(after, *flat), planes, pixels)
        if worst >= _INFINITY_BITS and not (np.isfinite(light).all() and (light >= 0).all()):
            raise ValueError("luminance must be finite and not negative")  # -0.0 is valid
        self._state, self.planes = after, self.planes + planes
        return fired.view(np.bool_)

    def record(
        self,
        chunks: Iterable[NDArray[Any]],
        *,
        fps: float = 0.0,
        meta: Mapping[str, Any] | None = None,
    ) -> SpikeRecording:
        """Expose all chunks ``(T, H, W)`` and return the packed recording.

        Raises:
            ValueError: As in :meth:`expose`, or if the chunks contain no plane.
        """
        packed = [pack_bits(self.expose(chunk)) for chunk in chunks]
        if self._state is None or not sum(map(len, packed)):
            raise ValueError("a recording needs at least one plane of luminance")
        return SpikeRecording(
            np.concatenate(packed),
            self._state.shape[1],
            fps=fps,
            threshold=self.threshold,
            rate_scale=self.rate_scale,
            meta=meta,
        )

    def _prepare(self, shape: tuple[int, ...]) -> _State:
        """Return the state before the first plane of a sensor ``(H, W)``."""
        pixels, threshold = shape[0] * shape[1], np.float32(self.threshold)
        gain, level, dark = fixed_patterns(self.noise, pixels, int(self._keys[1]))
        maps = gain * self._factors[0], level * threshold, dark * threshold
        if isinstance(self._start, np.ndarray):
            if self._start.shape != shape:
                raise ValueError(f"start is {self._start.shape}, the light {shape}")
            charge = self._start.astype(np.float32).ravel()
        elif self._start == "zero":
            charge = np.zeros(pixels, dtype=np.float32)
        else:
            rng = np.random.default_rng(int(self._keys[0]))
            charge = rng.random(pixels, dtype=np.float32) * maps[1]
        return _State(shape, charge, maps, np.full(pixels, -1.0), np.zeros(pixels, np.uint32))

    def _kernel(
        self, state: _State, light: NDArray[np.float32], fired: NDArray[np.uint8]
    ) -> Callable[[int, int], np.uint32]:
        """Return the function that integrates the pixels ``[first, last)``."""
        from spike_zoo.simulation.camera import kernels

        threshold, above = np.float32(self.threshold), np.float32(np.inf)
        if self.noise.is_silent:
            level = np.nextafter(threshold, above) if self._strict else threshold
            exact = (self._factors, threshold, level, self._reset, self._clock_steps)
            return lambda first, last: kernels.integrate(
                light, exact, state.charge, fired, first, last
            )
        noise, (gains, thresholds, darks) = self.noise, state.maps
        levels = np.nextafter(thresholds, above) if self._strict else thresholds
        maps = gains, thresholds, levels, darks
        rules = self._factors[1], threshold, self._reset, self._clock_steps
        terms = (
            float(noise.electrons),
            float(noise.reset_deviation),
            float(noise.spurious_mean),
            float(noise.spurious_deviation),
            float(noise.missed),
        )
        carried = state.charge, state.spurious_times, state.spurious_counts
        plane, keys = self.planes, self._keys[2:]
        return lambda first, last: kernels.integrate_noisy(
            light, plane, rules, terms, maps, keys, carried, fired, first, last
        )


@dataclass
class _State:
    """State of a camera between planes, with flattened pixels."""

    shape: tuple[int, ...]
    charge: NDArray[np.float32]
    maps: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    spurious_times: NDArray[np.float64]
    spurious_counts: NDArray[np.uint32]

    def copy(self) -> _State:
        """Return a copy whose arrays can be updated; the fixed patterns are shared."""
        times, counts = self.spurious_times.copy(), self.spurious_counts.copy()
        return _State(self.shape, self.charge.copy(), self.maps, times, counts)


def simulate_spikes(luminance: NDArray[Any], **camera: Any) -> NDArray[np.bool_]:
    """Return the spikes, bool ``(T, H, W)``, of a luminance video ``(T, H, W)``.

    Args:
        luminance: Floating point, at least 0, white is 1.
        **camera: Arguments of :class:`SpikeCamera`.

    Example:
        >>> light = np.full((4, 1, 1), 0.25)
        >>> simulate_spikes(light, gain=1.0, start="zero").ravel()
        array([False, False, False,  True])
    """
    return SpikeCamera(**camera).expose(luminance)


def ssdm_camera(draws: NDArray[Any], threshold: float = 2.0, **camera: Any) -> SpikeCamera:
    """Return a camera that reproduces S-SDM's simulator bit by bit.

    The gain is 1.98543, the reset is modulo, the comparison is strict; it has 20000 planes a
    second. The original first integrates one plane of uniform noise and drops its spikes; here the
    resulting charge is the start. Its noise is a separate model
    (:func:`~spike_zoo.simulation.camera.noise.spurious_spikes`, or ``noise="ssdm-v1"``).

    Args:
        draws: Uniform numbers in [0, 1), ``(H, W)``, as ``rng.random((H, W), np.float32)``.
        threshold: Firing threshold; 2 is the released value. 2, 4 and 8 are the paper's 1, 2, 4.
        **camera: Further arguments of :class:`SpikeCamera`.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, released simulator.
    """
    first, second = np.float32(CHARGE_PER_CLOCK), np.float32(CLOCKS_PER_PLANE)
    charge = (np.asarray(draws, np.float32) * first) * second
    fires = charge > np.float32(threshold)
    start = np.where(fires, np.fmod(charge, np.float32(threshold)), charge)
    gain = CHARGE_PER_CLOCK, CLOCKS_PER_PLANE
    return SpikeCamera(threshold, gain, reset="modulo", strict=True, start=start, **camera)


def _checked_start(start: Start | NDArray[Any]) -> Start | NDArray[Any]:
    """Return a valid start; raise an error unless it is ``uniform``, ``zero`` or an array."""
    if isinstance(start, str):
        if start not in ("uniform", "zero"):
            raise ValueError(f"start must be 'uniform', 'zero' or an array, got {start!r}")
        return start
    charge = np.array(start, dtype=np.float32)
    if charge.ndim != 2 or not (np.isfinite(charge).all() and (charge >= 0).all()):
        raise ValueError(
            f"a start array must be (H, W), finite and not negative, got shape {charge.shape}"
        )
    return charge


def _checked_light(luminance: NDArray[Any]) -> NDArray[np.float32]:
    """Check the luminance and return it as C-contiguous float32, without a copy if possible."""
    light = np.asarray(luminance)
    if light.ndim != 3 or min(light.shape[1:]) < 1:
        raise ValueError(f"luminance must be (planes, height, width), got {light.shape}")
    if not np.issubdtype(light.dtype, np.floating):
        raise ValueError(
            f"luminance must be floating point with white at 1, got {light.dtype}; divide 8-bit "
            "images by 255"
        )
    return np.ascontiguousarray(light, dtype=np.float32)


def _in_bands(kernel: Callable[[int, int], np.uint32], planes: int, pixels: int) -> int:
    """Run a kernel over bands of pixels, on several threads for large inputs."""
    threads = min(_threads(), pixels) if planes * pixels >= _SMALL else 1
    count = max(threads, -(-pixels // _BAND))
    edges = [pixels * band // count for band in range(count + 1)]
    bands = list(itertools.pairwise(edges))
    if threads == 1:
        return max(int(kernel(first, last)) for first, last in bands)
    with ThreadPoolExecutor(threads) as pool:
        return max(pool.map(lambda band: int(kernel(*band)), bands))


def _threads() -> int:
    """Return the number of threads: ``NUMBA_NUM_THREADS`` or the number of usable cores."""
    setting = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, int(setting) if setting.isdigit() else usable_cores())
