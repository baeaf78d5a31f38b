"""The spike simulator that S-SDM's GOPRO set was made with, to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spike_zoo.simulation.camera.spike_camera import SpikeCamera

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CLOCK: Final = 2 / 10e6  # seconds: two cycles of 10 MHz
_RESPONSIVITY: Final = 1.09e-13
_LIGHT: Final = 1.83e-4
_CAPACITANCE: Final = 15e-15  # farad
CHARGE_PER_CLOCK: Final = _CLOCK * _RESPONSIVITY / (_LIGHT * _CAPACITANCE)
CLOCKS_PER_PLANE: Final = 250.0
SSDM_GAIN: Final = CHARGE_PER_CLOCK * CLOCKS_PER_PLANE
"""Charge gathered from white in one plane."""


def ssdm_camera(draws: NDArray[Any], threshold: float = 2.0, **camera: Any) -> SpikeCamera:
    """Return S-SDM's camera: gain 1.98543, strict, modulo, 20000 planes per second.

    The original gathers one plane of uniform noise first and drops its spikes; here that plane
    is the start. Its inherent noise is :func:`spike_zoo.simulation.spurious_spikes`.

    Args:
        draws: Uniform numbers in [0, 1), ``(H, W)``, as ``rng.random((H, W), np.float32)``.
        threshold: Released value 2, the paper's 1; 4 and 8 are its 2 and 4.
        **camera: Further arguments of :class:`SpikeCamera`.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, released simulator.
    """
    charge = (np.asarray(draws, np.float32) * np.float32(CHARGE_PER_CLOCK)) * np.float32(
        CLOCKS_PER_PLANE
    )
    fires = charge > np.float32(threshold)
    start = np.where(fires, np.fmod(charge, np.float32(threshold)), charge)
    gain = CHARGE_PER_CLOCK, CLOCKS_PER_PLANE
    return SpikeCamera(threshold, gain, reset="modulo", strict=True, start=start, **camera)
