"""Scenes of image sequences at three speeds, with ground truth every seven planes."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.scenes.photograph_sets import BUNDLED, PhotographSet
from spike_zoo.simulation.scenes.photographs import Split
from spike_zoo.simulation.scenes.scene import SceneSpec

SEQUENCE_SIMULATOR: Final = "spike_zoo.simulation sequence v1"
SEQUENCE_PLANES: Final = 97
SEQUENCE_STRIDE: Final = 7
"""Planes from one image to the next; neighbouring windows of 13 planes overlap by six planes."""
SEQUENCE_MARGIN: Final = 6
"""Planes before the first image and after the last, enough for complete windows of 13 planes."""

BANDS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"slow": (0.02, 0.2), "medium": (0.2, 0.7), "fast": (0.7, 3.0)}
)
"""Range of peak speeds in pixels per plane (upper bound exclusive), by the name of the speed."""

_REACH: Final = 1.25  # largest ratio of the speed of an object's points to the specified speed
_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0  # multiples modulo 1 are evenly distributed
#: Whether a scene has an object; the cycle balances objects over noise presets and speeds.
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
    photographs: PhotographSet | None = None,
) -> list[SceneSpec]:
    """Return the scenes of one split of the archive of sequences.

    Contents are those of :func:`default_scenes`: no photograph is in two splits; training scenes
    also contain procedural textures and up to three objects; validation and test scenes contain
    photographs, half of them with an object. Successive scenes have the three speeds in turn. The
    name of a scene states its speed; every point of the scene is slower than the upper bound of its
    range in :data:`BANDS`.

    The arguments are those of :func:`default_scenes`; ``photographs`` applies to all splits.
    """
    scenes = default_scenes(
        split,
        count,
        seed,
        height=height,
        width=width,
        planes=planes,
        noise=noise or "none",
        photographs=photographs,
    )
    if noise is None:
        # kinds of training scenes alternate too: the order of the presets changes every 12 scenes,
        # so that each kind occurs with both
        presets = ("none", "indoor-v1")
        scenes = [replace(spec, noise=presets[(n + n // 12) % 2]) for n, spec in enumerate(scenes)]
    names = (photographs or BUNDLED).names[split]
    return [_with_speed(spec, split, index, seed, names) for index, spec in enumerate(scenes)]


def _with_speed(
    spec: SceneSpec, split: Split, index: int, seed: int, photographs: tuple[str, ...]
) -> SceneSpec:
    """Return a scene with the speed for its index and a name that states the speed."""
    entropy = [seed, zlib.crc32(f"sequence-{split}".encode()), index]
    rng = np.random.default_rng(np.random.SeedSequence(entropy))
    speed = tuple(BANDS)[index % len(BANDS)]
    low, high = BANDS[speed]
    first = np.random.default_rng(np.random.SeedSequence(entropy[:2])).random()
    fraction = (first + index // len(BANDS) * _GOLDEN) % 1.0
    spec = replace(
        spec,
        speed=_speed(fraction, low, high),
        object_speed=_speed(rng.random(), low, high / _REACH),
    )
    if split == "train":
        kind = spec.background.partition(":")[0]
        return replace(spec, name=f"train-{kind}-{speed}-{index:04d}")
    photo = photographs[index // len(BANDS) % len(photographs)]
    others = [name for name in photographs if name != photo]
    objects = (f"photo:{rng.choice(others)}",) if _OBJECTS[index % len(_OBJECTS)] else ()
    name = f"{split}-{photo.rpartition('/')[2]}-{speed}-{index:03d}"
    return replace(spec, name=name, background=f"photo:{photo}", objects=objects)


def _speed(fraction: float, low: float, high: float) -> float:
    """Interpolate geometrically between two speeds: ``low`` at a fraction of 0, ``high`` at 1."""
    return max(low, math.floor(low * (high / low) ** fraction * 1e4) / 1e4)
