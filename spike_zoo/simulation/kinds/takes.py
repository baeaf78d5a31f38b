"""From a scene to a take: spikes with the sharp and blurry images that belong to them."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spike_zoo.simulation.camera.exposure import as_levels
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.simulation.scenes.scene import Scene
from spike_zoo.spikes import Take
from spike_zoo.spikes.cfa import cfa_masks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spike_zoo.simulation.camera.noise import CameraNoise
    from spike_zoo.simulation.scenes.scene import SceneSpec
    from spike_zoo.spikes.cfa import Cfa

FPS: Final = 20000.0
"""Planes per second of simulated recordings, the usual rate of real cameras."""

SIMULATOR: Final = "spike_zoo.simulation v1"
COLOUR_SIMULATOR: Final = "spike_zoo.simulation colour v1"
STRIDE: Final = 10
"""Planes from one sharp image to the next."""
MARGIN: Final = 75
"""Planes kept before the first sharp image and after the last: windows to 151 planes are whole."""

_CHUNK: Final = 32  # planes rendered before the camera sees them


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
    """Render a scene, look at it with a spike camera, and keep the truth at chosen planes.

    Args:
        spec: The scene, with the camera's rate scale and noise.
        image_stride: Planes from one sharp image to the next.
        margin: Planes before the first image and, at least, after the last, so that a window of
            ``2 * margin + 1`` planes around each is whole.
        motion: Keep the motion from each sharp image to the one before it.
        flow_offset: Store the flow from each sharp image to the planes this many before and after
            it; 0 stores none.
        cfa: Layout of Bayer filters over the pixels; sharp images are in colour then.
        noise: Noise of the camera instead of the scene's.

    Returns:
        The take. A sharp image is the light of its plane, times 255 and rounded to 8 bits; grey
        ``(N, H', W')``, or R,G,B ``(N, H', W', 3)`` with filters.

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
            f"{spec.name}: {spec.planes} planes hold no image {margin} planes from both ends; ask "
            "for more planes"
        )
    scene, chance = Scene(spec), np.random.default_rng(np.random.SeedSequence([spec.seed, 2]))
    camera = SpikeCamera(gain=spec.rate_scale, noise=noise or spec.noise, generator=chance)
    meta = simulated_meta(SIMULATOR, spec.seed, spec.name, scene=asdict(spec))
    recording = camera.record(_chunks(scene, cfa), fps=FPS, meta=meta)
    recording.cfa = cfa
    in_colour = cfa is not None
    images = np.stack([_sharp(scene, int(plane), colour=in_colour) for plane in index])
    moved: dict[str, Any] = {"motion": _motion(scene, index.tolist())} if motion else {}
    if flow_offset:
        moved["around_index"] = index[:, None] + np.array([-flow_offset, flow_offset])
        moved["around"] = _around(scene, index, moved["around_index"])
    return Take(recording, images, index, **moved)


def _chunks(scene: Scene, cfa: Cfa | None) -> Iterator[NDArray[np.float32]]:
    """Yield the light of a scene behind the filters, some planes at a time."""
    for start in range(0, scene.spec.planes, _CHUNK):
        stop = min(start + _CHUNK, scene.spec.planes)
        if cfa is None:
            yield scene.luminance(start, stop)
        else:
            masks = cfa_masks(cfa, scene.spec.height, scene.spec.width)
            yield (scene.colour(start, stop) * masks).sum(axis=1)


def _motion(scene: Scene, planes: list[int]) -> NDArray[np.float16]:
    """Return the motion from each plane to the one before it; the first has none."""
    motion = np.full((len(planes), 2, scene.spec.height, scene.spec.width), np.nan, np.float16)
    for number, (earlier, plane) in enumerate(itertools.pairwise(planes), start=1):
        motion[number] = scene.motion(plane, earlier)
    return motion


def _around(
    scene: Scene, planes: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.float16]:
    """Return the motion from each plane to its others, ``(N, F, 2, H, W)``."""
    pairs = zip(planes.tolist(), others.tolist(), strict=True)
    moved = [[scene.motion(plane, other) for other in row] for plane, row in pairs]
    return np.array(moved, np.float16)


def _sharp(scene: Scene, plane: int, *, colour: bool) -> NDArray[np.uint8]:
    """Return the image of one plane in 8 bits."""
    if colour:
        return as_levels(scene.colour(plane, plane + 1)[0])
    if scene.spec.image_ratio > 1:
        return as_levels(scene.render(plane)[0].numpy())
    return as_levels(scene.luminance(plane, plane + 1)[0])


def simulated_meta(simulator: str, seed: int, source: str, **further: Any) -> dict[str, Any]:
    """Return what is kept with a simulated recording so that it can be made again."""
    fields = {"simulator": simulator, "seed": seed, "source": source}
    return fields | {"source_format": "simulated"} | further
