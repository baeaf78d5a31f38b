"""Scenes of the default archive: photographs, textures, speeds and cameras of each split."""

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from spike_zoo.simulation.scenes.photograph_sets import BUNDLED, PhotographSet, shipped_photographs
from spike_zoo.simulation.scenes.photographs import SPLITS, TEST_IMAGES, Split
from spike_zoo.simulation.scenes.scene import SceneSpec

SPEEDS: Final = {"slow": 0.08, "medium": 0.3, "fast": 0.8}
"""Peak speed of the background in pixels per plane, for validation and test scenes."""


@dataclass(frozen=True)
class TrainingMix:
    """Distribution of textures, objects, speeds and cameras of the training scenes."""

    #: backgrounds of successive scenes, repeated: ``photo``, ``leaves+`` (leaves cut from
    #: photographs) or a kind of :func:`make_texture`
    cycle: tuple[str, ...] = (
        "photo", "leaves+", "photo", "text", "photo", "leaves+", "photo", "leaves", "photo",
        "noise", "photo", "leaves+", "photo", "stripes", "photo", "leaves+", "photo", "leaves",
        "photo", "checker",
    )  # fmt: skip
    #: probabilities of the texture of an object: photograph, leaves, noise, stripes, text
    objects: tuple[float, ...] = (0.6, 0.15, 0.05, 0.1, 0.1)
    counts: tuple[float, ...] = (0.25, 0.35, 0.25, 0.15)  #: probabilities of 0, 1, 2 and 3 objects
    fastest: float = 1.0  #: fastest movement, in pixels per plane
    #: fields of :class:`SceneSpec` with a fixed value for the cameras of all scenes
    camera: Mapping[str, Any] = field(default_factory=dict)
    #: spikes per plane at white of successive scenes, repeated; empty keeps the default values
    rate_scales: tuple[float, ...] = ()


TRAINING_MIXES: Final[Mapping[str, TrainingMix]] = MappingProxyType(
    {
        "all": TrainingMix(),
        "photographs": TrainingMix(cycle=("photo",), objects=(1.0, 0.0, 0.0, 0.0, 0.0)),
        "textures": TrainingMix(
            cycle=("leaves", "text", "leaves", "noise", "leaves", "stripes", "leaves", "checker"),
            objects=(0.0, 0.4, 0.1, 0.25, 0.25),
        ),
        "unoccluded": TrainingMix(counts=(1.0, 0.0, 0.0, 0.0)),
        "slow": TrainingMix(fastest=0.3),
        "faster": TrainingMix(fastest=3.0),
        "one-camera": TrainingMix(camera={"rate_scale": 0.6, "noise": "none"}),
        "light-levels": TrainingMix(
            camera={"noise": "none"}, rate_scales=(0.05, 0.6, 0.1, 0.3, 0.2, 1.0, 0.6)
        ),
    }
)
"""Training scenes by name; validation and test scenes do not depend on the name."""

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


def _at_each_speed(images: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return all images at three speeds; the first three have different speeds."""
    return tuple(
        (image, tuple(SPEEDS)[(number + turn) % len(SPEEDS)])
        for turn in range(len(SPEEDS))
        for number, image in enumerate(images)
    )


_EIGHT_PLAN: Final = _at_each_speed(tuple(TEST_IMAGES))
#: Scenes of the eight-image plan that are in colour.
_COLOUR_PLAN: Final = tuple(entry for entry in _EIGHT_PLAN if not entry[0].startswith("coins"))
TEST_PLANS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {"eight": _EIGHT_PLAN, "three": _TEST_PLAN, "colour": _COLOUR_PLAN}
)
"""Images and speeds of the test scenes, by the name of the plan."""
SHIPPED_PLAN: Final = "photographs"
"""Name of the plan with the test photographs that ship with this package."""
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
    training: str = "all",
    testing: str = "three",
    photographs: PhotographSet | None = None,
) -> list[SceneSpec]:
    """Return the scenes of one split of the default archive.

    Photographs are never shared between splits. Training scenes contain photographs, dead leaves
    cut from photographs, and procedural textures, at speeds from 0 to one pixel per plane, with
    random tone. Validation and test scenes contain photographs; the names of the scenes state the
    speeds. Every second scene has a camera with the noise ``indoor-v1``. Half of the scenes have a
    rate scale of 0.6, the others a random one from 0.3 to 0.9.

    Args:
        split: ``"train"``, ``"val"`` or ``"test"``.
        count: Number of scenes; a shorter list is the beginning of a longer one.
        seed: Seed of all random draws.
        height: Rows.
        width: Columns; by default 160 for training, otherwise 208.
        planes: Planes per scene.
        noise: Noise preset of all scenes; by default ``none`` and ``indoor-v1`` in turn.
        training: Training scenes, one of :data:`TRAINING_MIXES`.
        testing: Test scenes, one of :data:`TEST_PLANS`: ``"three"`` photographs at up to three
            speeds, ``"eight"`` images at three speeds each, or ``"colour"``, the colour images
            among these eight; or ``"photographs"``, the 24 shipped ones at three speeds each.
        photographs: Photographs for training and validation; by default those of scikit-image.

    Raises:
        ValueError: If split, mix or plan do not exist, or ``count`` is negative.
    """
    if split not in SPLITS or count < 0:
        raise ValueError(
            f"expected a split of {list(SPLITS)} and a count of at least 0, got {split!r} and "
            f"{count}"
        )
    if training not in TRAINING_MIXES:
        raise ValueError(f"training must be one of {list(TRAINING_MIXES)}, got {training!r}")
    if testing not in (plans := [*TEST_PLANS, SHIPPED_PLAN]):
        raise ValueError(f"testing must be one of {plans}, got {testing!r}")
    mix, plan = TRAINING_MIXES[training], _plan(split, testing, photographs)
    scenes = []
    for index in range(count):
        sequence = np.random.SeedSequence([seed, zlib.crc32(split.encode()), index])
        rng = np.random.default_rng(sequence)
        rate_scale = 0.6 if index % 4 < 2 else round(float(rng.uniform(0.3, 0.9)), 3)
        values: dict[str, Any] = {"seed": int(rng.integers(2**31)), "rate_scale": rate_scale}
        values["noise"] = "indoor-v1" if index % 2 else "none"
        values |= (
            _training(mix, photographs or BUNDLED, index, rng)
            if split == "train"
            else _evaluation(split, plan, index, rng)
        )
        columns = width or (160 if split == "train" else 208)
        if noise is not None:
            values["noise"] = noise
        scenes.append(SceneSpec(planes=planes, height=height, width=columns, **values))
    return scenes


def _plan(
    split: Split, testing: str, photographs: PhotographSet | None
) -> tuple[tuple[str, str], ...]:
    if split == "test":
        plan = TEST_PLANS.get(testing)
        return plan or _at_each_speed(shipped_photographs().names["test"])
    return _at_each_speed(photographs.names["val"]) if photographs else _VAL_PLAN


def _training(
    mix: TrainingMix, chosen: PhotographSet, index: int, rng: np.random.Generator
) -> dict[str, Any]:
    photographs = chosen.names["train"]
    kind = mix.cycle[index % len(mix.cycle)]
    background = kind
    if kind == "photo":
        background = f"photo:{photographs[(index // 2) % len(photographs)]}"
    elif kind == "leaves+":
        background = f"leaves:{'+'.join(rng.choice(photographs, 3, replace=False))}"
    count = rng.choice([0, 1, 2, 3], p=mix.counts)
    camera = dict(mix.camera)
    if mix.rate_scales:
        camera["rate_scale"] = mix.rate_scales[index % len(mix.rate_scales)]
    objects = tuple(_object(mix, chosen, rng) for _ in range(count))
    fastest = math.log(mix.fastest)
    speed = 0.0 if rng.random() < 0.06 else math.exp(rng.uniform(math.log(0.03), fastest))
    return {
        "name": f"train-{kind.rstrip('+')}-{index:03d}",
        "background": background,
        "objects": objects,
        "speed": round(speed, 4),
        "object_speed": round(math.exp(rng.uniform(math.log(0.05), fastest)), 4),
        "tone": True,
        **camera,
    }


def _object(mix: TrainingMix, chosen: PhotographSet, rng: np.random.Generator) -> str:
    """Draw the texture of a moving object; half of the photographs are replaced by cut-outs."""
    photo = f"photo:{rng.choice(chosen.names['train'])}"
    if chosen.cutouts and rng.random() < 0.5:
        photo = f"cutout:{rng.choice(chosen.cutouts)}"
    kinds = [photo, "leaves", "noise", "stripes", "text"]
    return str(rng.choice(kinds, p=mix.objects))


def _evaluation(
    split: Split, plan: tuple[tuple[str, str], ...], index: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Draw the values of a validation or test scene; every second scene has a moving object.

    Of the shipped photographs, those with an object have the noise ``none`` or ``indoor-v1``
    equally often at each speed, and a photograph has another pair of these at each speed.
    """
    photo, speed = plan[index % len(plan)]
    names = tuple(dict(plan))
    others = [name for name in names if name.split("-")[0] != photo.split("-")[0]]
    has_object, camera = index % 2 == 1, {}
    if photo.startswith("default/"):
        number = index + index // len(names)
        has_object = number % 4 in (1, 2)
        camera["noise"] = "indoor-v1" if number % 2 else "none"
    return {
        "name": f"{split}-{photo.rpartition('/')[2]}-{speed}-{index:02d}",
        "background": f"photo:{photo}",
        "objects": (f"photo:{rng.choice(others)}",) if has_object else (),
        **camera,
        "speed": SPEEDS[speed],
        "object_speed": round(1.25 * SPEEDS[speed], 4),
    }
