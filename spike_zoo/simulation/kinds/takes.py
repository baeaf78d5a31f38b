"""Simulation of a take: the spikes of a scene with sharp images and motion as ground truth."""

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.simulation.camera.exposure import as_levels
from spike_zoo.simulation.camera.noise import CameraNoise
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.simulation.scenes.scene import Scene, SceneSpec
from spike_zoo.spikes.cfa import Cfa, cfa_masks
from spike_zoo.spikes.take import Take

FPS: Final = 20000.0
"""Planes per second of simulated recordings, as of real spike cameras."""

SIMULATOR: Final = "spike_zoo.simulation v1"
COLOUR_SIMULATOR: Final = "spike_zoo.simulation colour v1"
STRIDE: Final = 10
"""Planes from one sharp image to the next."""
MARGIN: Final = 75
"""Planes before the first sharp image and after the last, for windows of up to 151 planes."""

_CHUNK: Final = 32  # planes per call of the camera


def simulate_take(
    spec: SceneSpec,
    *,
    image_stride: int = STRIDE,
    margin: int = MARGIN,
    motion: bool = False,
    flow_offset: int = 0,
    cfa: Cfa | None = None,
    noise: CameraNoise | None = None,
) -> Take:
    """Simulate the spike camera on a scene, with ground truth at every ``image_stride`` planes.

    Args:
        spec: The scene, with the camera's rate scale and noise.
        image_stride: Planes from one sharp image to the next.
        margin: Planes before the first image and at least as many after the last one, so that each
            image has a complete window of ``2 * margin + 1`` planes.
        motion: Whether the motion from each sharp image to the previous one is stored.
        flow_offset: Number of planes before and after each sharp image to which flow is stored;
            0 stores no flow.
        cfa: Layout of the Bayer filters; None is a sensor without filters.
        noise: Noise of the camera; by default the noise of the scene.

    Returns:
        The take. A sharp image is the luminance of its plane before the blur of the lens, times 255
        and rounded to 8 bits; grey ``(N, H', W')``, or R,G,B ``(N, H', W', 3)`` with filters.

    Raises:
        ValueError: If no image fits into the recording.

    Example:
        >>> from spike_zoo.simulation import SceneSpec
        >>> take = simulate_take(SceneSpec(planes=61, height=16, width=24, seed=1), margin=20)
        >>> take.recording.shape, take.image_index
        ((61, 16, 24), array([20, 30, 40]))
    """
    index = np.arange(margin, spec.planes - margin, image_stride, dtype=np.int64)
    if not index.size:
        raise ValueError(
            f"{spec.name}: {spec.planes} planes hold no image {margin} planes from both ends; "
            f"simulate at least {2 * margin + 1} planes"
        )
    scene, chance = Scene(spec), np.random.default_rng(np.random.SeedSequence([spec.seed, 2]))
    camera = SpikeCamera(gain=spec.rate_scale, noise=noise or spec.noise, generator=chance)
    softness = {"softness": spec.softness} if spec.softness else {}
    meta = simulated_meta(SIMULATOR, spec.seed, spec.name, scene=spec.record(), **softness)
    recording = camera.record(_chunks(scene, cfa), fps=FPS, meta=meta)
    recording.cfa = cfa
    in_colour = cfa is not None
    images = np.stack([_sharp(scene, int(plane), colour=in_colour) for plane in index])
    flow: dict[str, Any] = {"motion": _motion(scene, index.tolist())} if motion else {}
    if flow_offset:
        flow["around_index"] = index[:, None] + np.array([-flow_offset, flow_offset])
        flow["around"] = _around(scene, index, flow["around_index"])
    return Take(recording, images, index, **flow)


def _chunks(scene: Scene, cfa: Cfa | None) -> Iterator[NDArray[np.float32]]:
    """Yield the luminance of a scene behind the filters, in chunks of planes."""
    for start in range(0, scene.spec.planes, _CHUNK):
        stop = min(start + _CHUNK, scene.spec.planes)
        if cfa is None:
            yield scene.luminance(start, stop, is_soft=True)
        else:
            masks = cfa_masks(cfa, scene.spec.height, scene.spec.width)
            yield (scene.colour(start, stop, is_soft=True) * masks).sum(axis=1)


def _motion(scene: Scene, planes: list[int]) -> NDArray[np.float16]:
    """Return the motion from each plane to the previous one; NaN for the first plane."""
    motion = np.full((len(planes), 2, scene.spec.height, scene.spec.width), np.nan, np.float16)
    for number, (earlier, plane) in enumerate(itertools.pairwise(planes), start=1):
        motion[number] = scene.motion(plane, earlier)
    return motion


def _around(
    scene: Scene, planes: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.float16]:
    """Return the motion from each plane to each of its other planes, ``(N, F, 2, H, W)``."""
    pairs = zip(planes.tolist(), others.tolist(), strict=True)
    motions = [[scene.motion(plane, other) for other in row] for plane, row in pairs]
    return np.array(motions, np.float16)


def _sharp(scene: Scene, plane: int, *, colour: bool) -> NDArray[np.uint8]:
    if colour:
        return as_levels(scene.colour(plane, plane + 1)[0])
    return as_levels(scene.luminance(plane, plane + 1)[0])


def simulated_meta(simulator: str, seed: int, source: str, **further: Any) -> dict[str, Any]:
    """Return the metadata of a simulated recording."""
    base = {"simulator": simulator, "seed": seed, "source": source}
    return base | {"source_format": "simulated"} | further
