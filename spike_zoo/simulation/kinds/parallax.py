"""Scenes with parallax: layers at several depths before a hand-held, moving camera."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spike_zoo.simulation.defaults import SHIPPED_PLAN, SPEEDS, default_scenes
from spike_zoo.simulation.scenes.photograph_sets import PhotographSet, shipped_photographs

if TYPE_CHECKING:
    from spike_zoo.simulation.scenes.photographs import Split
    from spike_zoo.simulation.scenes.scene import SceneSpec

PARALLAX_SIMULATOR: Final = "spike_zoo.simulation parallax v1"

_LAYERS: Final = (2, 3, 4)  # layers before the background, in turn
_DEPTHS: Final = (0.35, 0.85)  # range of their depths; the background has 1
_SHAKE: Final = 0.15  # speed of each oscillation, of the speed of the background


def parallax_scenes(
    split: Split, count: int, seed: int = 0, photographs: PhotographSet | None = None, **values: Any
) -> list[SceneSpec]:
    """Return scenes of two to four layers at different depths before a photograph.

    The layers are pieces of other photographs of the split, by default of the shipped ones. The
    camera translates and shakes, and half of the layers move by themselves. Successive scenes are
    slow, medium and fast: without the shake, the background moves at most at half of
    :data:`SPEEDS`, a layer at depth d 1 / d times as fast.

    ``values`` are further arguments of :func:`default_scenes`, which also states ``split``,
    ``count`` and ``seed``.
    """
    chosen = photographs or shipped_photographs()
    values |= {"testing": SHIPPED_PLAN, "photographs": chosen}
    names = chosen.names[split]
    layered = []
    for index, spec in enumerate(default_scenes(split, count, seed, **values)):
        rng = np.random.default_rng(np.random.SeedSequence([spec.seed, 7]))
        photograph, speed = names[index % len(names)], tuple(SPEEDS)[index % len(SPEEDS)]
        others = [name for name in names if name != photograph]
        layers = _LAYERS[index // len(SPEEDS) % len(_LAYERS)]
        objects = rng.choice(others, layers, replace=len(others) < layers)
        layered.append(
            replace(
                spec,
                name=f"{split}-{photograph.rpartition('/')[2]}-{speed}-{index:02d}",
                background=f"photo:{photograph}",
                objects=tuple(f"photo:{name}" for name in objects),
                depths=tuple(np.sort(rng.uniform(*_DEPTHS, layers))[::-1].round(3).tolist()),
                speed=SPEEDS[speed] / 2,
                object_speed=SPEEDS[speed],
                shake=_SHAKE * SPEEDS[speed] / 2,
            )
        )
    return layered
