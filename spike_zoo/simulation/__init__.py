"""Simulation of scenes and spike cameras, with ground truth and camera noise."""

from spike_zoo.simulation.camera.noise import NOISE_PRESETS, CameraNoise
from spike_zoo.simulation.camera.spike_camera import SpikeCamera, simulate_spikes
from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.simulation.scenes.scene import Scene, SceneSpec

__all__ = [
    "NOISE_PRESETS",
    "CameraNoise",
    "Scene",
    "SceneSpec",
    "SpikeCamera",
    "default_scenes",
    "simulate_spikes",
    "simulate_take",
]
