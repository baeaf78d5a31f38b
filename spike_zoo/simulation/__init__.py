"""Simulation of scenes and spike cameras, with ground truth and camera noise."""

from spike_zoo.simulation.camera.noise import NOISE_PRESETS, CameraNoise, spurious_spikes
from spike_zoo.simulation.camera.spike_camera import SpikeCamera, simulate_spikes, ssdm_camera
from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.kinds.deblurring import deblur_scenes, simulate_exposures
from spike_zoo.simulation.kinds.digits import digit_drifts
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.simulation.scenes.drifting import DriftSpec, simulate_drift
from spike_zoo.simulation.scenes.photograph_sets import PhotographSet, photograph_set
from spike_zoo.simulation.scenes.photographs import PHOTOGRAPHS, photograph
from spike_zoo.simulation.scenes.scene import Scene, SceneSpec
from spike_zoo.simulation.scenes.textures import make_texture
from spike_zoo.simulation.scenes.trajectory import Motion, random_motion

__all__ = [
    "NOISE_PRESETS",
    "PHOTOGRAPHS",
    "CameraNoise",
    "DriftSpec",
    "Motion",
    "PhotographSet",
    "Scene",
    "SceneSpec",
    "SpikeCamera",
    "deblur_scenes",
    "default_scenes",
    "digit_drifts",
    "make_texture",
    "photograph",
    "photograph_set",
    "random_motion",
    "simulate_drift",
    "simulate_exposures",
    "simulate_spikes",
    "simulate_take",
    "spurious_spikes",
    "ssdm_camera",
]
