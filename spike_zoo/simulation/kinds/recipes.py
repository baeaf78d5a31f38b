"""Recipes of the archives that the command ``simulate`` writes, in :data:`RECIPES`."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from spike_zoo.errors import UsageError
from spike_zoo.media.frames import footage_files
from spike_zoo.simulation.camera.exposure import EXPOSURE_MARGIN, EXPOSURE_PLANES, SHARP_STRIDE
from spike_zoo.simulation.defaults import SHIPPED_PLAN, default_scenes
from spike_zoo.simulation.kinds.conditions import (
    CONDITION_PLANES,
    CONDITIONS_SIMULATOR,
    PARALLAX_SIMULATOR,
    SOFTNESS,
    SOFTNESS_SIMULATOR,
    ConditionedScene,
    conditioned_scenes,
    parallax_scenes,
)
from spike_zoo.simulation.kinds.deblurring import (
    DEBLUR_SIMULATOR,
    deblur_scenes,
    simulate_exposures,
)
from spike_zoo.simulation.kinds.digits import DIGIT_NAMES, DIGIT_SPLITS, digit_drifts
from spike_zoo.simulation.kinds.footage import FOOTAGE_SIMULATOR, Footage, footage_takes
from spike_zoo.simulation.kinds.labelled import LabelledDrift
from spike_zoo.simulation.kinds.sequences import (
    SEQUENCE_MARGIN,
    SEQUENCE_PLANES,
    SEQUENCE_SIMULATOR,
    SEQUENCE_STRIDE,
    sequence_scenes,
)
from spike_zoo.simulation.kinds.takes import (
    COLOUR_SIMULATOR,
    MARGIN,
    SIMULATOR,
    STRIDE,
    simulate_take,
)
from spike_zoo.simulation.scenes.drifting import DRIFT_PLANES, DRIFT_SIMULATOR
from spike_zoo.simulation.scenes.photograph_sets import photograph_set
from spike_zoo.simulation.scenes.photographs import SPLITS, Split
from spike_zoo.simulation.scenes.scene import SceneSpec
from spike_zoo.spikes.take import Take
from spike_zoo.utils.files import content_sha256

_MAX_SOFTNESS: Final = 5.0  # pixels

Options = Mapping[str, Any]
TakesBySplit = dict[str, dict[str, Callable[[], "Take"]]]

#: Options that were added later. Their default values are not written into an archive, so that
#: older archives still match a request with the same options.
LATER_OPTIONS: Final = (
    "stride",
    "margin",
    "motion",
    "flow_offset",
    "training",
    "testing",
    "photographs",
    "softness",
)


NamedSource = SceneSpec | ConditionedScene | LabelledDrift
"""A scene or image with the name of its take."""


class ArchiveRequest(NamedTuple):
    """Options of an archive and the functions that simulate its takes."""

    options: dict[str, Any]  #: options that are written into the archive
    #: function that returns one function per take, by split and name
    takes: Callable[[], TakesBySplit]
    label_names: tuple[str, ...] = ()  #: names of the classes; empty for takes without labels


@dataclass(frozen=True)
class Recipe:
    """A kind of archive of simulated scenes."""

    simulator: str  #: name and version of the simulator, written into the archive
    out: str  #: default path of the archive
    #: name of a size -> number of scenes of each split, and ``height``, ``width`` and ``planes`` of
    #: a scene; a width of 0 selects the default of the split
    sizes: Mapping[str, Mapping[str, int]]
    options: Options  #: further options with their defaults; every kind has ``noise``
    #: function that returns the smallest number of planes of a scene
    least_planes: Callable[[Options], int]
    #: function that returns the scenes of a split from their number, seed and options
    scenes: Callable[[Split, int, int, Options], Sequence[NamedSource]]
    #: function that simulates the take of a scene of a split
    take: Callable[[Any, Split, Options], Take]
    label_names: tuple[str, ...] = ()  #: names of the classes; empty for takes without labels

    def request(self, size: str, seed: int, given: Options) -> ArchiveRequest:
        """Return the archive request for a size, a seed and the options of the user."""
        if size not in self.sizes:
            raise UsageError(f"--size must be one of {', '.join(self.sizes)}, got {size}")
        values = {**self.sizes[size], **self.options, **given}
        self._check_options(given)
        self._check(values)
        written = {
            name: value
            for name, value in values.items()
            if name not in LATER_OPTIONS or value != self.options.get(name)
        }
        options = {
            "simulator": self.simulator,
            "seed": seed,
            "noise": written.pop("noise"),
        } | written
        if (source := values.get("photographs")) is not None:
            size_of_scene = values["height"], values["width"] or values["height"]
            chosen = values["photographs"] = photograph_set(source, size_of_scene)
            options |= {"photographs": chosen.name, "photographs_sha256": chosen.sha256}
        takes = functools.partial(self._takes, values, seed)
        return ArchiveRequest(options, takes, self.label_names)

    def _takes(self, values: Options, seed: int) -> TakesBySplit:
        options = {name: value for name, value in values.items() if name != "photographs"}
        return {
            split: {
                spec.name: functools.partial(self.take, spec, split, options)
                for spec in self.scenes(split, values[split], seed, values)
            }
            for split in SPLITS
            if values[split]
        }

    def _check_options(self, given: Options) -> None:
        for name in given:
            if not self._knows(name):
                kinds = [kind for kind, recipe in RECIPES.items() if recipe._knows(name)]
                option = name.replace("_", "-")
                raise UsageError(f"--{option} goes with --kind {' or '.join(kinds)}")

    def _knows(self, name: str) -> bool:
        return name in self.options or any(name in size for size in self.sizes.values())

    def _check(self, values: Options) -> None:
        """Reject options that are out of their range, before the simulation starts."""
        least = self.least_planes(values)
        if values["planes"] < least:
            reason = f" with --margin {values['margin']}" if "margin" in values else ""
            raise UsageError(f"--planes must be at least {least}{reason}, got {values['planes']}")
        _softness_range(values.get("softness"))
        if values.get("flow_offset", 0) > values.get("margin", 0):
            raise UsageError(
                f"--flow-offset {values['flow_offset']} leaves the recording at its first image; "
                f"give at most {values['margin']}, or a larger --margin"
            )
        if not any(values[split] for split in SPLITS):
            raise UsageError("an archive needs a scene: --train, --val and --test are all 0")


def footage_request(video: str, footage: Footage) -> ArchiveRequest:
    """Return the request for exposures of a video; raise UsageError if none fits into it."""
    takes = footage_takes(video, footage)
    names = {take_split: list(takes_of_split) for take_split, takes_of_split in takes.items()}
    source = {"video": Path(video).name, "video_sha256": content_sha256(footage_files(video))}
    options = {"simulator": FOOTAGE_SIMULATOR, **source, **asdict(footage)}
    return ArchiveRequest(options | {"takes": names}, lambda: takes)


def _scenes_function(
    make: Callable[..., Sequence[NamedSource]], *names: str
) -> Callable[[Split, int, int, Options], Sequence[NamedSource]]:
    """Return a function for :attr:`Recipe.scenes` that passes selected options to ``make``.

    ``make`` returns scenes from split, number, seed and options. The names are those of options in
    addition to ``height``, ``width``, ``planes`` and ``noise``.
    """
    options = ("height", "width", "planes", "noise", *names)
    return lambda split, count, seed, values: make(
        split, count, seed, **{name: values[name] for name in options}
    )


def _colour_scenes(split: Split, count: int, seed: int, **values: Any) -> list[SceneSpec]:
    testing = SHIPPED_PLAN if values["photographs"] else "colour"
    return default_scenes(split, count, seed, testing=testing, **values)


def _clip(spec: SceneSpec, split: Split, values: Options) -> Take:
    chance = np.random.default_rng(np.random.SeedSequence([spec.seed, 5]))
    softness = round(float(chance.uniform(*_softness_range(values["softness"]))), 3)
    return simulate_take(
        replace(spec, softness=softness),
        image_stride=values["stride"],
        margin=values["margin"],
        motion=values["motion"],
        flow_offset=values["flow_offset"],
        cfa=values.get("cfa"),
    )


def _softness_range(text: str | None) -> tuple[float, float]:
    given = text or "0"
    try:
        low, high = map(float, given.split(":") if ":" in given else (given, given))
    except ValueError:
        low, high = math.nan, math.nan
    if not 0 <= low <= high <= _MAX_SOFTNESS:
        raise UsageError(
            f"--softness {text}: expected pixels from 0 to {_MAX_SOFTNESS:g}, such as 0.5, or a "
            "range such as 0:0.6"
        )
    return low, high


def _exposures(spec: SceneSpec, split: Split, values: Options) -> Take:
    """Simulate the exposures of a scene; training scenes need no sharp images."""
    stride = 0 if split == "train" else values["stride"]
    return simulate_exposures(spec, margin=values["margin"], stride=stride)


def _own_take(source: LabelledDrift | ConditionedScene, split: Split, values: Options) -> Take:
    return source.take()


def _scenes(train: int, val: int, test: int, **size: int) -> dict[str, int]:
    return {"train": train, "val": val, "test": test, **size}


_CLIPS: Final = Recipe(
    simulator=SIMULATOR,
    out="data/scenes.h5",
    sizes={
        "small": _scenes(10, 2, 3, height=96, width=96, planes=161),
        "default": _scenes(60, 6, 24, height=160, width=0, planes=201),
    },
    # None: every second scene has the noise indoor-v1
    options={
        "noise": None,
        "stride": STRIDE,
        "margin": MARGIN,
        "motion": False,
        "flow_offset": 0,
        "training": "all",
        "testing": "eight",
        "photographs": None,
        "softness": None,
    },
    least_planes=lambda values: 2 * int(values["margin"]) + 1,
    scenes=_scenes_function(default_scenes, "training", "testing", "photographs"),
    take=_clip,
)

_UNPLANNED: Final = {
    name: value for name, value in _CLIPS.options.items() if name not in ("training", "testing")
}

_CONDITIONS: Final = Recipe(
    simulator=CONDITIONS_SIMULATOR,
    out="data/conditions.h5",
    sizes={
        "small": _scenes(0, 0, 1, height=64, width=64, planes=CONDITION_PLANES),
        "default": _scenes(0, 0, 24, height=128, width=160, planes=CONDITION_PLANES),
    },
    options={"noise": "none"},
    least_planes=lambda values: CONDITION_PLANES,
    scenes=conditioned_scenes,
    take=_own_take,
)

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "reconstruction": _CLIPS,
        "colour": replace(
            _CLIPS,
            simulator=COLOUR_SIMULATOR,
            out="data/colour.h5",
            # six of the eight test images are in colour
            sizes={**_CLIPS.sizes, "default": {**_CLIPS.sizes["default"], "test": 18}},
            options={**_UNPLANNED, "cfa": "RGGB"},
            scenes=_scenes_function(_colour_scenes, "photographs"),
        ),
        "conditions": _CONDITIONS,
        "softness": replace(
            _CONDITIONS,
            simulator=SOFTNESS_SIMULATOR,
            out="data/softness.h5",
            scenes=functools.partial(conditioned_scenes, conditions=SOFTNESS),
        ),
        "parallax": replace(
            _CLIPS,
            simulator=PARALLAX_SIMULATOR,
            out="data/parallax.h5",
            sizes={
                "small": _scenes(2, 1, 3, height=96, width=96, planes=161),
                "default": _scenes(0, 0, 24, height=160, width=0, planes=201),
            },
            options=_UNPLANNED,
            scenes=_scenes_function(parallax_scenes, "photographs"),
        ),
        "sequence": replace(
            _CLIPS,
            simulator=SEQUENCE_SIMULATOR,
            out="data/sequence.h5",
            sizes={
                "small": _scenes(9, 3, 3, height=64, width=64, planes=69),
                "default": _scenes(96, 6, 12, height=128, width=128, planes=SEQUENCE_PLANES),
                "paper": _scenes(2000, 200, 200, height=128, width=128, planes=SEQUENCE_PLANES),
            },
            options={
                **_UNPLANNED,
                "stride": SEQUENCE_STRIDE,
                "margin": SEQUENCE_MARGIN,
                "motion": True,
            },
            scenes=_scenes_function(sequence_scenes, "photographs"),
        ),
        "deblur": Recipe(
            simulator=DEBLUR_SIMULATOR,
            out="data/deblur.h5",
            sizes={
                "small": _scenes(8, 2, 2, height=40, width=40, planes=137),
                "default": _scenes(60, 6, 8, height=96, width=96, planes=137),
            },
            options={
                "noise": "ssdm-v1",
                "threshold": 2,
                "stride": SHARP_STRIDE,
                "margin": EXPOSURE_MARGIN,
                "photographs": None,
            },
            least_planes=lambda values: EXPOSURE_PLANES + 2 * values["margin"],
            scenes=_scenes_function(deblur_scenes, "threshold", "photographs"),
            take=_exposures,
        ),
        "labelled": Recipe(
            simulator=DRIFT_SIMULATOR,
            out="data/digits.h5",
            sizes={
                "small": _scenes(30, 20, 20, height=32, width=32, planes=DRIFT_PLANES, motions=2),
                "default": _scenes(
                    *map(len, DIGIT_SPLITS.values()),
                    height=48,
                    width=48,
                    planes=DRIFT_PLANES,
                    motions=4,
                ),
            },
            options={"noise": "none"},
            least_planes=lambda values: 2,
            scenes=_scenes_function(digit_drifts, "motions"),
            take=_own_take,
            label_names=DIGIT_NAMES,
        ),
    }
)
