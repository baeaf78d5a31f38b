"""Scenes at known paces, with truth often enough to follow every point from image to image."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.scenes.photographs import PHOTOGRAPHS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spike_zoo.simulation.scenes.photographs import Split
    from spike_zoo.simulation.scenes.scene import SceneSpec

SEQUENCE_SIMULATOR: Final = "spike_zoo.simulation sequence v1"
SEQUENCE_PLANES: Final = 97
SEQUENCE_STRIDE: Final = 7
"""Planes from one image to the next: windows of 13 planes share six with their neighbour."""
SEQUENCE_MARGIN: Final = 6
"""Planes before the first image and after the last: windows of 13 planes are whole."""

BANDS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"slow": (0.02, 0.2), "medium": (0.2, 0.7), "fast": (0.7, 3.0)}
)
"""Peak speed of a scene by pace, in pixels per plane: from the first, below the second."""

_REACH: Final = 1.25  # points of an object move at most so much faster than those that are held
_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0  # its multiples fill a band evenly from the first on
#: Whether a scene has an object, so that each noise and each pace has them equally often.
_OBJECTS: Final = (False, True, True, False)


def sequence_scenes(
    split: Split,
    count: int,
    seed: int = 0,
    *,
    height: int = 128,
    width: int = 128,
    planes: int = SEQUENCE_PLANES,
    noise: str | None = None,
) -> list[SceneSpec]:
    """Return the scenes of one split of the archive of sequences.

    Contents are those of :func:`default_scenes`: no photograph is in two splits, training also
    shows procedural textures and up to three objects, validation and test show photographs, half
    of them with an object. The three speeds follow one another in every split; a name states the
    pace, and nothing in the scene is as fast as the end of its band (:data:`BANDS`).

    Args:
        split: ``"train"``, ``"val"`` or ``"test"``.
        count: How many scenes; the first ones of a longer list are those of a shorter one.
        seed: Seed of everything.
        height: Rows.
        width: Columns.
        planes: Planes per scene.
        noise: Noise preset for all scenes, instead of ``indoor-v1`` for every second one.
    """
    camera = noise or "none"
    scenes = default_scenes(
        split, count, seed, height=height, width=width, planes=planes, noise=camera
    )
    if noise is None:
        scenes = [replace(spec, noise=_noise(index)) for index, spec in enumerate(scenes)]
    return [_paced(spec, split, index, seed) for index, spec in enumerate(scenes)]


def _noise(index: int) -> str:
    """Return the noise of a camera: in turn, and turned round now and then.

    Contents of training alternate too, and each should be seen by both cameras.
    """
    return "indoor-v1" if (index + index // 12) % 2 else "none"


def _paced(spec: SceneSpec, split: Split, index: int, seed: int) -> SceneSpec:
    """Return a scene at the speed of its turn, under a name that states it."""
    entropy = [seed, zlib.crc32(f"sequence-{split}".encode()), index]
    rng = np.random.default_rng(np.random.SeedSequence(entropy))
    pace = tuple(BANDS)[index % len(BANDS)]
    low, high = BANDS[pace]
    first = np.random.default_rng(np.random.SeedSequence(entropy[:2])).random()
    place = (first + index // len(BANDS) * _GOLDEN) % 1.0
    spec = replace(
        spec,
        speed=_speed(place, low, high),
        object_speed=_speed(rng.random(), low, high / _REACH),
    )
    if split == "train":
        kind = spec.background.partition(":")[0]
        return replace(spec, name=f"train-{kind}-{pace}-{index:04d}")
    photographs = PHOTOGRAPHS[split]
    photo = photographs[index // len(BANDS) % len(photographs)]
    others = [name for name in photographs if name != photo]
    objects = (f"photo:{rng.choice(others)}",) if _OBJECTS[index % len(_OBJECTS)] else ()
    name = f"{split}-{photo}-{pace}-{index:03d}"
    return replace(spec, name=name, background=f"photo:{photo}", objects=objects)


def _speed(place: float, low: float, high: float) -> float:
    """Return the speed at a place of [0, 1) of a band whose logarithm is even."""
    return max(low, math.floor(low * (high / low) ** place * 1e4) / 1e4)
