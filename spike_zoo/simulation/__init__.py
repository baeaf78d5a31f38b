"""Scenes, cameras and their noise: recordings with known truth."""

from spike_zoo.simulation.camera import SpikeCamera, simulate_spikes
from spike_zoo.simulation.deblurring import deblur_scenes, simulate_exposures
from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.digits import digit_drifts
from spike_zoo.simulation.drifting import DriftSpec, simulate_drift
from spike_zoo.simulation.exposure import expose_image, exposure_spans
from spike_zoo.simulation.motion import Motion, random_motion
from spike_zoo.simulation.noise import NOISE_PRESETS, CameraNoise, spurious_spikes
from spike_zoo.simulation.photographs import PHOTOGRAPHS, photograph
from spike_zoo.simulation.scenes import Scene, SceneSpec
from spike_zoo.simulation.ssdm import ssdm_camera
from spike_zoo.simulation.takes import simulate_take
from spike_zoo.simulation.textures import make_texture

__all__ = [
    "NOISE_PRESETS",
    "PHOTOGRAPHS",
    "CameraNoise",
    "DriftSpec",
    "Motion",
    "Scene",
    "SceneSpec",
    "SpikeCamera",
    "deblur_scenes",
    "default_scenes",
    "digit_drifts",
    "expose_image",
    "exposure_spans",
    "make_texture",
    "photograph",
    "random_motion",
    "simulate_drift",
    "simulate_exposures",
    "simulate_spikes",
    "simulate_take",
    "spurious_spikes",
    "ssdm_camera",
]
