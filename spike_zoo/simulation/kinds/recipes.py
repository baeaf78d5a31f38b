"""The kinds of archive that ``simulate`` makes: each is one entry of :data:`RECIPES`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from spike_zoo.errors import UsageError
from spike_zoo.simulation.camera.exposure import EXPOSURE_MARGIN, EXPOSURE_PLANES, SHARP_STRIDE
from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.kinds.conditions import (
    CONDITION_PLANES,
    CONDITIONS_SIMULATOR,
    conditioned_scenes,
)
from spike_zoo.simulation.kinds.deblurring import (
    DEBLUR_SIMULATOR,
    deblur_scenes,
    simulate_exposures,
)
from spike_zoo.simulation.kinds.digits import DIGIT_NAMES, DIGIT_SPLITS, digit_drifts
from spike_zoo.simulation.kinds.footage import FOOTAGE_SIMULATOR, footage_takes
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
from spike_zoo.simulation.scenes.photographs import SPLITS, Split

if TYPE_CHECKING:
    from spike_zoo.simulation.kinds.conditions import ConditionedScene
    from spike_zoo.simulation.kinds.footage import Footage
    from spike_zoo.simulation.kinds.labelled import LabelledDrift
    from spike_zoo.simulation.scenes.scene import SceneSpec
    from spike_zoo.spikes import Take

Options = Mapping[str, Any]
TakesBySplit = dict[str, dict[str, Callable[[], "Take"]]]

#: Options that came after archives had been made: at their defaults they are not written into the
#: archive, so that those made before are still known as made with the same options.
LATER_OPTIONS: Final = ("stride", "margin", "motion", "flow_offset", "training", "testing")

_LEAST: Final = MappingProxyType(
    {"train": 0, "val": 0, "test": 0, "width": 0, "margin": 0, "motion": 0, "flow_offset": 0}
)


class NamedSource(Protocol):
    """What makes a take, by the name of the take."""

    @property
    def name(self) -> str:
        """Name of the take."""


class ArchiveRequest(NamedTuple):
    """What an archive is asked to be, and what makes its takes.

    Attributes:
        asked: The options, as they are written into the archive.
        takes: Returns a function for each take, by split and name.
        label_names: Names of the classes, where takes have one.
    """

    asked: dict[str, Any]
    takes: Callable[[], TakesBySplit]
    label_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A kind of archive of simulated scenes.

    Attributes:
        simulator: Name and version of what makes the takes, written into the archive.
        out: The archive that is written by default.
        sizes: By name: the scenes of each split, and ``height``, ``width`` and ``planes`` of one;
            a width of 0 leaves it to the split.
        options: What else may be asked, and the defaults; every kind has ``noise``.
        least_planes: Returns the fewest planes that a scene may have.
        scenes: Returns the scenes of a split: how many, from which seed, with which options.
        take: Makes the take of a scene of a split.
        label_names: Names of the classes, where takes have one.
    """

    simulator: str
    out: str
    sizes: Mapping[str, Mapping[str, int]]
    options: Options
    least_planes: Callable[[Options], int]
    scenes: Callable[[Split, int, int, Options], Sequence[NamedSource]]
    take: Callable[[Any, Split, Options], Take]
    label_names: tuple[str, ...] = ()

    def request(self, size: str, seed: int, given: Options) -> ArchiveRequest:
        """Return what makes an archive."""
        if size not in self.sizes:
            raise UsageError(f"--size must be one of {', '.join(self.sizes)}, got {size}")
        values = {**self.sizes[size], **self.options, **given}
        self._check_options(given)
        self._check(values)
        kept = {
            name: value
            for name, value in values.items()
            if name not in LATER_OPTIONS or value != self.options.get(name)
        }
        asked = {"simulator": self.simulator, "seed": seed, "noise": kept.pop("noise")} | kept
        takes = functools.partial(self._takes, values, seed)
        return ArchiveRequest(asked, takes, self.label_names)

    def _takes(self, values: Options, seed: int) -> TakesBySplit:
        return {
            split: {
                spec.name: functools.partial(self.take, spec, split, values)
                for spec in self.scenes(split, values[split], seed, values)
            }
            for split in SPLITS
            if values[split]
        }

    def _check_options(self, given: Options) -> None:
        for name in given:
            if not self._knows(name):
                kinds = [kind for kind, recipe in RECIPES.items() if recipe._knows(name)]
                raise UsageError(f"--{name} goes with --kind {' or '.join(kinds)}")

    def _knows(self, name: str) -> bool:
        return name in self.options or any(name in size for size in self.sizes.values())

    def _check(self, values: Options) -> None:
        """Reject options that cannot describe an archive, before any work."""
        for name, value in values.items():
            least = self.least_planes(values) if name == "planes" else _LEAST.get(name, 1)
            if isinstance(value, int) and value < least:
                bound = name == "planes" and "margin" in values
                why = f" with --margin {values['margin']}" if bound else ""
                raise UsageError(f"--{name} must be at least {least}{why}, got {value}")
        if values.get("flow_offset", 0) > values.get("margin", 0):
            raise UsageError(
                f"--flow_offset {values['flow_offset']} leaves the recording at its first image; "
                f"the margin is {values['margin']} planes"
            )
        if not any(values[split] for split in SPLITS):
            raise UsageError("an archive needs a scene: --train, --val and --test are all 0")


def footage_request(video: str, footage: Footage, split: str | None) -> ArchiveRequest:
    """Return what makes an archive of the exposures of a video."""
    if footage.inserted < 1:
        raise UsageError(f"--inserted must be at least 1, got {footage.inserted}")
    found = footage_takes(video, footage, split)
    names = {home: list(named) for home, named in found.items()}
    asked = {"simulator": FOOTAGE_SIMULATOR, "video": Path(video).name, **asdict(footage)}
    return ArchiveRequest(asked | {"takes": names}, lambda: found)


def _made_by(
    make: Callable[..., Sequence[NamedSource]], *names: str
) -> Callable[[Split, int, int, Options], Sequence[NamedSource]]:
    """Return the ``scenes`` of a recipe: those of a function that takes some of the options."""
    taken = ("height", "width", "planes", "noise", *names)
    return lambda split, count, seed, values: make(
        split, count, seed, **{name: values[name] for name in taken}
    )


def _clip(spec: SceneSpec, split: Split, values: Options) -> Take:
    return simulate_take(
        spec,
        image_stride=values["stride"],
        margin=values["margin"],
        motion=values["motion"],
        flow_offset=values["flow_offset"],
        cfa=values.get("cfa"),
    )


def _planes_of_an_image(values: Options) -> int:
    return 2 * int(values["margin"]) + 1


def _exposures(spec: SceneSpec, split: Split, values: Options) -> Take:
    """Expose a scene; those to train on need no sharp image."""
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
    # without a noise every second scene has indoor-v1
    options={
        "noise": None,
        "stride": STRIDE,
        "margin": MARGIN,
        "motion": False,
        "flow_offset": 0,
        "training": "all",
        "testing": "eight",
    },
    least_planes=_planes_of_an_image,
    scenes=_made_by(default_scenes, "training", "testing"),
    take=_clip,
)

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "reconstruction": _CLIPS,
        "colour": replace(
            _CLIPS,
            simulator=COLOUR_SIMULATOR,
            out="data/colour.h5",
            # six of the eight test pictures are in colour
            sizes={**_CLIPS.sizes, "default": {**_CLIPS.sizes["default"], "test": 18}},
            options={
                name: value
                for name, value in (*_CLIPS.options.items(), ("cfa", "RGGB"))
                if name not in ("training", "testing")
            },
            scenes=_made_by(functools.partial(default_scenes, testing="colour")),
        ),
        "conditions": Recipe(
            simulator=CONDITIONS_SIMULATOR,
            out="data/conditions.h5",
            sizes={
                "small": _scenes(0, 0, 1, height=64, width=64, planes=CONDITION_PLANES),
                "default": _scenes(0, 0, 8, height=160, width=208, planes=CONDITION_PLANES),
            },
            options={"noise": "none"},
            least_planes=lambda values: CONDITION_PLANES,
            scenes=conditioned_scenes,
            take=_own_take,
        ),
        "sequence": Recipe(
            simulator=SEQUENCE_SIMULATOR,
            out="data/sequence.h5",
            sizes={
                "small": _scenes(9, 3, 3, height=64, width=64, planes=69),
                "default": _scenes(96, 6, 12, height=128, width=128, planes=SEQUENCE_PLANES),
                "paper": _scenes(2000, 200, 200, height=128, width=128, planes=SEQUENCE_PLANES),
            },
            options={
                "noise": None,
                "stride": SEQUENCE_STRIDE,
                "margin": SEQUENCE_MARGIN,
                "motion": True,
                "flow_offset": 0,
            },
            least_planes=_planes_of_an_image,
            scenes=_made_by(sequence_scenes),
            take=_clip,
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
            },
            least_planes=lambda values: EXPOSURE_PLANES + 2 * values["margin"],
            scenes=_made_by(deblur_scenes, "threshold"),
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
            scenes=_made_by(digit_drifts, "motions"),
            take=_own_take,
            label_names=DIGIT_NAMES,
        ),
    }
)
