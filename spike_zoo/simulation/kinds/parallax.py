"""Scenes with parallax: layers at several depths before a hand-held, moving camera."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from spike_zoo.simulation.defaults import SHIPPED_PLAN, SPEEDS, default_scenes
from spike_zoo.simulation.scenes.photograph_sets import shipped_photographs

if TYPE_CHECKING:
    from spike_zoo.simulation.scenes.photographs import Split
    from spike_zoo.simulation.scenes.scene import SceneSpec

PARALLAX_SIMULATOR: Final = "spike_zoo.simulation parallax v1"

_LAYERS: Final = (2, 3, 4)  # layers before the background, in turn
_DEPTHS: Final = (0.35, 0.85)  # range of their depths; the background has 1
_SHAKE: Final = 0.15  # speed of each oscillation, of the speed of the background


def parallax_scenes(
    split: Split,
    count: int,
    seed: int = 0,
    *,
    height: int = 160,
    width: int | None = None,
    planes: int = 201,
    noise: str | None = None,
) -> list[SceneSpec]:
    """Return scenes of two to four layers at different depths before a photograph.

    The layers are pieces of other shipped photographs of the split. The camera translates and
    shakes, and half of the layers move by themselves. Successive scenes are slow, medium and
    fast: the background moves at most at half of :data:`SPEEDS` without the shake, a layer at depth
    d 1 / d times as fast.

    Args:
        split: ``"train"``, ``"val"`` or ``"test"``.
        count: Number of scenes; a shorter list is the beginning of a longer one.
        seed: Seed of all random draws.
        height: Rows.
        width: Columns; by default 160 for training, otherwise 208.
        planes: Planes per scene.
        noise: Noise preset of all scenes; by default as in :func:`default_scenes`.
    """
    shipped = shipped_photographs()
    scenes = default_scenes(
        split,
        count,
        seed,
        height=height,
        width=width,
        planes=planes,
        noise=noise,
        testing=SHIPPED_PLAN,
        photographs=shipped,
    )
    names = shipped.names[split]
    layered = []
    for index, spec in enumerate(scenes):
        rng = np.random.default_rng(np.random.SeedSequence([spec.seed, 7]))
        photograph, speed = names[index % len(names)], tuple(SPEEDS)[index % len(SPEEDS)]
        others = [name for name in names if name != photograph]
        layers = _LAYERS[index // len(SPEEDS) % len(_LAYERS)]
        chosen = rng.choice(others, layers, replace=len(others) < layers)
        layered.append(
            replace(
                spec,
                name=f"{split}-{photograph.rpartition('/')[2]}-{speed}-{index:02d}",
                background=f"photo:{photograph}",
                objects=tuple(f"photo:{name}" for name in chosen),
                depths=tuple(np.sort(rng.uniform(*_DEPTHS, layers))[::-1].round(3).tolist()),
                speed=SPEEDS[speed] / 2,
                object_speed=SPEEDS[speed],
                shake=_SHAKE * SPEEDS[speed] / 2,
            )
        )
    return layered
