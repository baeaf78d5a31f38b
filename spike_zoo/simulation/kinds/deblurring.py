"""Scenes and exposures of the default archive of motion deblurring."""

import math
from dataclasses import replace
from functools import partial
from typing import Final

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
from spike_zoo.simulation.defaults import SHIPPED_PLAN, default_scenes
from spike_zoo.simulation.kinds.takes import FPS, simulated_meta
from spike_zoo.simulation.scenes.photograph_sets import PhotographSet
from spike_zoo.simulation.scenes.photographs import Split
from spike_zoo.simulation.scenes.scene import Scene, SceneSpec
from spike_zoo.simulation.scenes.textures import GREY
from spike_zoo.spikes.take import Take

DEBLUR_SIMULATOR: Final = "spike_zoo.simulation deblur v2"
DEBLUR_PLANES: Final = EXPOSURE_PLANES + 2 * EXPOSURE_MARGIN

# image pixels per exposure at peak speed; the actual displacement is about 4 to 25 pixels
_TRAVEL: Final = (7.0, 38.0)
_SPEEDS: Final = (0.03, 1.0)  # speeds of default_scenes, in pixels per plane
_CHUNK: Final = 8  # colour planes in memory


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
    photographs: PhotographSet | None = None,
) -> list[SceneSpec]:
    """Return the scenes of the archive of motion deblurring, derived from :func:`default_scenes`.

    Photographs, textures and kinds of motion are the same in each split. Images have four times
    the height and width of the spikes. Speeds are scaled so that the displacement during an
    exposure is about 4 to 25 image pixels.

    ``threshold`` is the firing threshold of S-SDM's camera: 2, 4 or 8; the paper's 1, 2, 4. The
    other arguments are those of :func:`default_scenes`; ``photographs`` applies to all splits.
    """
    scenes = default_scenes(
        split,
        count,
        seed,
        height=height,
        width=width,
        planes=planes,
        testing=SHIPPED_PLAN if photographs else "three",
        photographs=photographs,
    )
    return [
        replace(
            spec,
            name=f"blur-{spec.name}",
            speed=_exposed_speed(spec.speed),
            object_speed=_exposed_speed(spec.object_speed),
            image_ratio=RATIO,
            rate_scale=SSDM_GAIN / threshold,
            noise=noise,
        )
        for spec in scenes
    ]


def simulate_exposures(
    spec: SceneSpec, *, margin: int = EXPOSURE_MARGIN, stride: int = SHARP_STRIDE
) -> Take:
    """Simulate a colour camera with long exposures and S-SDM's spike camera on one scene.

    Every plane is rendered; no plane is interpolated. A spike-camera pixel gathers the mean
    luminance of the image pixels that it covers.

    Args:
        spec: The scene; its rate scale determines the camera's threshold.
        margin: Planes before the first exposure and after the last one.
        stride: Planes between sharp images of an exposure, starting at its first plane; 0 stores no
            sharp images.

    Returns:
        Spikes with blurry and sharp images, R,G,B in 8 bits.

    Raises:
        ValueError: If no exposure fits into the recording.
    """
    scene, chance = Scene(spec), np.random.default_rng(np.random.SeedSequence([spec.seed, 3]))
    draws = chance.random((spec.height, spec.width), np.float32)
    threshold = SSDM_GAIN / spec.rate_scale
    camera = ssdm_camera(draws, threshold, noise=spec.noise, generator=chance)
    light = partial(covered_light, ratio=spec.image_ratio, weights=GREY)
    exposures = ExposurePlanes(spec.planes, margin=margin, stride=stride)
    meta = simulated_meta(DEBLUR_SIMULATOR, spec.seed, spec.name, scene=spec.record())
    starts = range(0, spec.planes, _CHUNK)
    chunks = (scene.colour(start, min(start + _CHUNK, spec.planes)) for start in starts)
    return exposures.record(chunks, camera, light, fps=FPS, meta=meta)


def _exposed_speed(speed: float) -> float:
    """Map a speed of default scenes to a speed of exposures, in spike-camera pixels per plane.

    The map is monotonic; static scenes get the slowest speed.
    """
    fraction = math.log(max(speed, _SPEEDS[0]) / _SPEEDS[0]) / math.log(_SPEEDS[1] / _SPEEDS[0])
    travel = _TRAVEL[0] * (_TRAVEL[1] / _TRAVEL[0]) ** fraction
    return round(travel / (RATIO * EXPOSURE_PLANES), 5)
