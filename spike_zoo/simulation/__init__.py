"""Scenes, cameras and their noise: recordings with known truth."""

from spike_zoo.simulation.camera import SpikeCamera, simulate_spikes
from spike_zoo.simulation.noise import NOISE_PRESETS, CameraNoise, spurious_spikes
from spike_zoo.simulation.ssdm import ssdm_camera

__all__ = [
    "NOISE_PRESETS",
    "CameraNoise",
    "SpikeCamera",
    "simulate_spikes",
    "spurious_spikes",
    "ssdm_camera",
]
