"""The schedule of SCI's training as one table: what learns in each stage, and what is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

Stage = Literal["fem", "motion", "codec", "fam", "joint"]


class StageSpec(NamedTuple):
    """One stage of the training.

    Attributes:
        learns: Parts of :class:`SCICodec` that are trained.
        frozen: Parts that are there and do not change, in evaluation mode.
        absent: Parts that the stage does not have.
        starts_from: Stages whose checkpoints it starts from.
        clip_length: Planes of one sample; of one image in a sample of several.
        loss: What is minimised, for the pages.
    """

    learns: tuple[str, ...]
    frozen: tuple[str, ...]
    absent: tuple[str, ...]
    starts_from: tuple[Stage, ...]
    clip_length: int
    loss: str


STAGES: Final[Mapping[Stage, StageSpec]] = MappingProxyType(
    {
        "fem": StageSpec(
            learns=("fem",),
            frozen=(),
            absent=("motion", "intra", "inter", "gains", "fmvr", "fam"),
            starts_from=(),
            clip_length=13,
            loss="anchor + smoothness_weight * (Lap1 + Lap2)",
        ),
        "motion": StageSpec(
            learns=("motion",),
            frozen=("fem",),
            absent=("intra", "inter", "gains", "fmvr", "fam"),
            starts_from=("fem",),
            clip_length=13,
            loss="MSE of the warped feature + flow_loss_weight * end-point error",
        ),
        "codec": StageSpec(
            learns=("intra", "inter", "gains", "motion"),
            frozen=("fem",),
            absent=("fmvr", "fam"),
            starts_from=("fem", "motion"),
            clip_length=13,
            loss="R + lambda * MSE of features",
        ),
        "fam": StageSpec(
            learns=("fam",),
            frozen=("fem", "motion"),
            absent=("intra", "inter", "gains", "fmvr"),
            starts_from=("fem", "motion"),
            clip_length=41,
            loss="MSE + 0.1 * MSE of the preliminary images; cross-entropy for classes",
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
            loss="R + sum of w_k * D_k + w_F * lambda * MSE of features + w_c * consistency",
        ),
    }
)
"""The paper's stages ``fem``, ``fam`` and ``joint``, and the two that it calls pre-trained.

Source: the paper's three-stage training; ``motion`` names nothing in it.
"""


GIVES: Final[Mapping[Stage, tuple[str, ...]]] = MappingProxyType(
    {
        **{stage: row.learns for stage, row in STAGES.items()},
        "joint": ("fem", "motion", "intra", "inter", "gains", "fmvr"),
    }
)
"""The parts that a later training takes of a stage's checkpoint."""

DECODED: Final = StageSpec(
    learns=("fam",),
    frozen=GIVES["joint"],
    absent=(),
    starts_from=("joint", "fam"),
    clip_length=41,
    loss="cross-entropy, from decoded features",
)
"""Stage ``fam`` of classes, after the codec: what decodes stays as pictures left it."""


def with_part(row: StageSpec, part: str, group: Literal["learns", "frozen", "absent"]) -> StageSpec:
    """Return what a stage does where a switch trains a part, keeps it as it is or leaves it out."""
    groups: dict[str, Any] = {
        name: tuple(one for one in getattr(row, name) if one != part)
        for name in ("learns", "frozen", "absent")
    }
    groups[group] += (part,)
    return row._replace(**groups)


def as_table() -> str:
    """Return the schedule as a Markdown table, for the method's page and the log."""
    titles = ("stage", "trained parts", "frozen", "not used", "starts from", "loss")
    head = f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|"
    rows = [
        f"| `{name}` | {_listed(row.learns)} | {_listed(row.frozen)} | {_listed(row.absent)} | "
        f"{_listed(row.starts_from)} | {row.loss} |"
        for name, row in STAGES.items()
    ]
    return "\n".join([head, *rows])


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"
