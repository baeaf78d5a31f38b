"""The scenes of the default archive: which photographs, textures, speeds and cameras."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spike_zoo.simulation.photographs import PHOTOGRAPHS, Split
from spike_zoo.simulation.scenes import SceneSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

PACES: Final = {"slow": 0.08, "medium": 0.3, "fast": 0.8}
"""Peak speed of the background in pixels per plane, for the scenes that are judged."""

_TRAIN_CYCLE: Final = (
    "photo", "leaves+", "photo", "text", "photo", "leaves+", "photo", "leaves", "photo", "noise",
    "photo", "leaves+", "photo", "stripes", "photo", "leaves+", "photo", "leaves", "photo",
    "checker",
)  # fmt: skip
_OBJECTS: Final = (0.6, 0.15, 0.05, 0.1, 0.1)  # photograph, leaves, noise, stripes, text
_TEST_PLAN: Final = (
    ("astronaut", "slow"),
    ("astronaut", "medium"),
    ("astronaut", "fast"),
    ("chelsea", "slow"),
    ("chelsea", "medium"),
    ("chelsea", "fast"),
    ("coins", "medium"),
    ("coins", "fast"),
)
_VAL_PLAN: Final = (
    ("camera", "slow"),
    ("camera", "medium"),
    ("camera", "fast"),
    ("gravel", "medium"),
    ("camera", "medium"),
    ("camera", "fast"),
)


def default_scenes(
    split: Split,
    count: int,
    seed: int = 0,
    *,
    height: int = 160,
    width: int | None = None,
    planes: int = 201,
    noise: str | None = None,
) -> list[SceneSpec]:
    """Return the scenes of one split of the default archive.

    Photographs are never shared between splits. Training mixes photographs, dead leaves cut from
    them, and procedural textures, at speeds from still to one pixel per plane, with random tone.
    Validation and test show photographs, at paces that the names tell. Every second scene is
    seen by a camera with the noise ``indoor-v1``, and every second one at a rate scale of 0.6.

    Args:
        split: ``"train"``, ``"val"`` or ``"test"``.
        count: How many scenes; the first ones of a longer list are those of a shorter one.
        seed: Seed of everything.
        height: Rows.
        width: Columns; by default 160 for training and 208 else.
        planes: Planes per scene.
        noise: Noise preset for all scenes instead.

    Raises:
        ValueError: If there is no such split, or ``count`` is negative.
    """
    if split not in PHOTOGRAPHS or count < 0:
        raise ValueError(f"no {count} scenes of split {split!r}; splits are {list(PHOTOGRAPHS)}")
    makers = {"train": _training, "val": _judged, "test": _judged}
    scenes = []
    for index, (rng, values) in enumerate(_drawn(split, count, seed)):
        values |= makers[split](split, index, rng)
        columns = width or (160 if split == "train" else 208)
        if noise is not None:
            values["noise"] = noise
        scenes.append(SceneSpec(planes=planes, height=height, width=columns, **values))
    return scenes


def _drawn(
    split: Split, count: int, seed: int
) -> Iterator[tuple[np.random.Generator, dict[str, Any]]]:
    """Yield for each scene its source of chance, and what all splits draw alike."""
    for index in range(count):
        sequence = np.random.SeedSequence([seed, zlib.crc32(split.encode()), index])
        rng = np.random.default_rng(sequence)
        rate_scale = 0.6 if index % 4 < 2 else round(float(rng.uniform(0.3, 0.9)), 3)
        yield (
            rng,
            {
                "seed": int(rng.integers(2**31)),
                "rate_scale": rate_scale,
                "noise": "indoor-v1" if index % 2 else "none",
            },
        )


def _training(split: Split, index: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw what a training scene shows."""
    photographs = PHOTOGRAPHS[split]
    kind = _TRAIN_CYCLE[index % len(_TRAIN_CYCLE)]
    background = kind
    if kind == "photo":
        background = f"photo:{photographs[(index // 2) % len(photographs)]}"
    elif kind == "leaves+":
        background = f"leaves:{'+'.join(rng.choice(photographs, 3, replace=False))}"
    objects = tuple(
        rng.choice(
            [f"photo:{rng.choice(photographs)}", "leaves", "noise", "stripes", "text"], p=_OBJECTS
        )
        for _ in range(rng.choice([0, 1, 2, 3], p=[0.25, 0.35, 0.25, 0.15]))
    )
    speed = 0.0 if rng.random() < 0.06 else math.exp(rng.uniform(math.log(0.03), 0.0))
    return {
        "name": f"train-{kind.rstrip('+')}-{index:03d}",
        "background": background,
        "objects": tuple(map(str, objects)),
        "speed": round(speed, 4),
        "object_speed": round(math.exp(rng.uniform(math.log(0.05), 0.0)), 4),
        "tone": True,
    }


def _judged(split: Split, index: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw what a validation or test scene shows: photographs only, half with a moving object."""
    plan = _TEST_PLAN if split == "test" else _VAL_PLAN
    photo, pace = plan[index % len(plan)]
    others = [name for name in PHOTOGRAPHS[split] if name != photo]
    objects = (f"photo:{rng.choice(others)}",) if index % 2 else ()
    return {
        "name": f"{split}-{photo}-{pace}-{index:02d}",
        "background": f"photo:{photo}",
        "objects": objects,
        "speed": PACES[pace],
        "object_speed": round(1.25 * PACES[pace], 4),
    }
