"""Table of SCI's training stages: trained, frozen and absent parts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

Stage = Literal["fem", "motion", "codec", "fam", "joint"]


class StageSpec(NamedTuple):
    """One stage of the training.

    Attributes:
        learns: Parts of :class:`SCICodec` that are trained.
        frozen: Parts that are used but not trained, in evaluation mode.
        absent: Parts that are not built.
        starts_from: Stages whose checkpoints the stage starts from.
        clip_length: Planes of a sample, or of each image in a sample of several images.
    """

    learns: tuple[str, ...]
    frozen: tuple[str, ...]
    absent: tuple[str, ...]
    starts_from: tuple[Stage, ...]
    clip_length: int


STAGES: Final[Mapping[Stage, StageSpec]] = MappingProxyType(
    {
        "fem": StageSpec(
            learns=("fem",),
            frozen=(),
            absent=("motion", "intra", "inter", "gains", "fmvr", "fam"),
            starts_from=(),
            clip_length=13,
        ),
        "motion": StageSpec(
            learns=("motion",),
            frozen=("fem",),
            absent=("intra", "inter", "gains", "fmvr", "fam"),
            starts_from=("fem",),
            clip_length=13,
        ),
        "codec": StageSpec(
            learns=("intra", "inter", "gains", "motion"),
            frozen=("fem",),
            absent=("fmvr", "fam"),
            starts_from=("fem", "motion"),
            clip_length=13,
        ),
        "fam": StageSpec(
            learns=("fam",),
            frozen=("fem", "motion"),
            absent=("intra", "inter", "gains", "fmvr"),
            starts_from=("fem", "motion"),
            clip_length=41,
        ),
        "joint": StageSpec(
            learns=(
                "intra.synthesis",
                "inter.motion_synthesis",
                "inter.contexts",
                "inter.synthesis",
                "gains.decoder",
                "fmvr",
                "fam",
            ),
            frozen=(
                "fem",
                "motion",
                "intra.analysis",
                "inter.analysis",
                "gains.encoder",
                "intra.entropy",
                "inter.entropy",
            ),
            absent=(),
            starts_from=("fem", "codec", "fam"),
            clip_length=41,
        ),
    }
)
"""All stages, in order.

Source: the paper's three stages of training, ``fem``, ``fam`` and ``joint``. ``motion`` and
``codec`` are ours, for the parts that the paper calls pre-trained.
"""


TRAINED_PARTS: Final[Mapping[Stage, tuple[str, ...]]] = MappingProxyType(
    {
        **{stage: row.learns for stage, row in STAGES.items()},
        "joint": ("fem", "motion", "intra", "inter", "gains", "fmvr"),
    }
)
"""Parts of a stage's checkpoint that later stages load."""

DECODED: Final = StageSpec(
    learns=("fam",),
    frozen=TRAINED_PARTS["joint"],
    absent=(),
    starts_from=("joint", "fam"),
    clip_length=41,
)
"""Stage ``fam`` for classes from decoded features; the networks of stage ``joint`` are frozen."""


def with_part(row: StageSpec, part: str, group: Literal["learns", "frozen", "absent"]) -> StageSpec:
    """Return a stage with a part moved to another group: trained, frozen or absent."""
    groups: dict[str, Any] = {
        name: tuple(other for other in getattr(row, name) if other != part)
        for name in ("learns", "frozen", "absent")
    }
    groups[group] += (part,)
    return row._replace(**groups)
