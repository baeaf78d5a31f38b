"""The default archive of motion deblurring: the same scenes, slower, larger and exposed."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spike_zoo.simulation.camera.exposure import (
    EXPOSURE_MARGIN,
    EXPOSURE_PLANES,
    RATIO,
    SHARP_STRIDE,
    ExposurePlanes,
    covered_light,
)
from spike_zoo.simulation.camera.spike_camera import SSDM_GAIN, ssdm_camera
from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.kinds.takes import FPS, simulated_meta
from spike_zoo.simulation.scenes.scene import Scene
from spike_zoo.simulation.scenes.textures import GREY

if TYPE_CHECKING:
    from spike_zoo.simulation.scenes.photographs import Split
    from spike_zoo.simulation.scenes.scene import SceneSpec
    from spike_zoo.spikes import Take

DEBLUR_SIMULATOR: Final = "spike_zoo.simulation deblur v2"
DEBLUR_PLANES: Final = EXPOSURE_PLANES + 2 * EXPOSURE_MARGIN

_TRAVEL: Final = (7.0, 38.0)  # pixels of the image at peak speed: about 4 to 25 really travelled
_SPEEDS: Final = (0.03, 1.0)  # of the scenes to reconstruct, in pixels per plane
_CHUNK: Final = 8  # colour planes held at once


def deblur_scenes(
    split: Split,
    count: int,
    seed: int = 0,
    *,
    height: int = 96,
    width: int = 96,
    planes: int = DEBLUR_PLANES,
    threshold: float = 2.0,
    noise: str = "ssdm-v1",
) -> list[SceneSpec]:
    """Return the scenes of :func:`default_scenes` as the archive of motion deblurring has them.

    The same photographs, textures and kinds of motion in the same splits. Images have four times
    the height and width of the spikes, and speeds are such that what is seen travels about 4 to
    25 pixels of the image during an exposure.

    Args:
        split: ``"train"``, ``"val"`` or ``"test"``.
        count: How many scenes; the first ones of a longer list are those of a shorter one.
        seed: Seed of everything.
        height: Rows of the spikes.
        width: Columns of the spikes.
        planes: Planes per scene.
        threshold: Firing threshold of S-SDM's camera: 2, 4 or 8; the paper's 1, 2, 4.
        noise: Noise preset of the camera.

    Raises:
        ValueError: If there is no such split, or ``count`` is negative.
    """
    scenes = default_scenes(split, count, seed, height=height, width=width, planes=planes)
    camera: dict[str, Any] = {"rate_scale": SSDM_GAIN / threshold, "noise": noise}
    return [replace(_exposed(spec), **camera) for spec in scenes]


def simulate_exposures(
    spec: SceneSpec,
    *,
    margin: int = EXPOSURE_MARGIN,
    stride: int = SHARP_STRIDE,
) -> Take:
    """Render a scene for a colour camera with long exposures and S-SDM's spike camera.

    Nothing is interpolated: every plane is rendered. A pixel of the spikes gathers the mean light
    of the pixels of the image that it covers.

    Args:
        spec: The scene; its rate scale gives the camera's threshold.
        margin: Planes before the first exposure and after the last.
        stride: Planes from one sharp image of an exposure to the next, from its first plane on;
            0 for none.

    Returns:
        Spikes, blurry and sharp images, R,G,B in 8 bits.

    Raises:
        ValueError: If no exposure fits into the recording.
    """
    scene, chance = Scene(spec), np.random.default_rng(np.random.SeedSequence([spec.seed, 3]))
    draws = chance.random((spec.height, spec.width), np.float32)
    threshold = SSDM_GAIN / spec.rate_scale
    camera = ssdm_camera(draws, threshold, noise=spec.noise, generator=chance)
    light = partial(covered_light, ratio=spec.image_ratio, weights=GREY)
    exposed = ExposurePlanes(spec.planes, margin=margin, stride=stride)
    meta = simulated_meta(DEBLUR_SIMULATOR, spec.seed, spec.name, scene=asdict(spec))
    starts = range(0, spec.planes, _CHUNK)
    chunks = (scene.colour(start, min(start + _CHUNK, spec.planes)) for start in starts)
    return exposed.record(chunks, camera, light, fps=FPS, meta=meta)


def _exposed(spec: SceneSpec) -> SceneSpec:
    """Return a scene that moves as slowly as exposures need, with larger images."""
    return replace(
        spec,
        name=f"blur-{spec.name}",
        speed=_exposed_speed(spec.speed),
        object_speed=_exposed_speed(spec.object_speed),
        image_ratio=RATIO,
    )


def _exposed_speed(speed: float) -> float:
    """Return pixels of the spikes per plane; still scenes become the slowest, order is kept."""
    place = math.log(max(speed, _SPEEDS[0]) / _SPEEDS[0]) / math.log(_SPEEDS[1] / _SPEEDS[0])
    travel = _TRAVEL[0] * (_TRAVEL[1] / _TRAVEL[0]) ** place
    return round(travel / (RATIO * EXPOSURE_PLANES), 5)
