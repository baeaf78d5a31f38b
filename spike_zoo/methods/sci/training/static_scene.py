"""Flicker of the images of a simulated static scene, measured after a test."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from spike_zoo.methods.sci.features.fem import CLIP, STEP
from spike_zoo.metrics import smoothness
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.simulation.scenes.scene import SceneSpec
from spike_zoo.tasks.protocols import Reconstructs

STATIC_SCENE: Final = SceneSpec(
    name="at rest", height=64, width=64, planes=97, speed=0, object_speed=0
)


def static_scene_deviation(method: Reconstructs) -> Tensor:
    """Measure the flicker of a method's images of a static scene, see :func:`frame_deviation`.

    The paper states that the dual pathway reduces the deviation of luminance between frames. The
    scene is simulated and equal for all methods: dead leaves, with the camera's noise only.
    """
    recording = simulate_take(STATIC_SCENE, image_stride=STATIC_SCENE.planes, margin=0).recording
    margin = CLIP // 2
    centers = list(range(margin, len(recording) - margin, STEP))
    return smoothness.frame_deviation(method.reconstruct(recording, centers))
