"""How the learning rate of a stage moves over its run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

from spike_zoo.nn.schedules import RunSchedule, refuse_endless, updates_of_run

if TYPE_CHECKING:
    from lightning import Trainer
    from torch.optim import Optimizer

ScheduleKind = Literal["cosine", "per_step_official", "constant"]


def check_schedule(kind: str, learning_rate: float) -> None:
    """Refuse an unknown schedule and a learning rate that is none.

    Raises:
        ValueError: If either is outside its range.
    """
    if kind not in get_args(ScheduleKind):
        raise ValueError(f"schedule must be one of {get_args(ScheduleKind)}, got {kind!r}")
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"learning_rate must be a positive number, got {learning_rate}")


def factor_at(kind: ScheduleKind, step: int, updates: float, epochs: int) -> float:
    """Return what the learning rate is multiplied with before an update.

    Args:
        kind: ``"cosine"`` falls to 0 at the end of the run. ``"per_step_official"`` is what the
            released student was trained with: a cosine meant for epochs and stepped every
            iteration, which swings between 1 and 0 with a period of twice the epochs in
            iterations. ``"constant"`` stays.
        step: Number of the update, from 0.
        updates: Of the whole run.
        epochs: Of the whole run.
    """
    if kind == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(step / updates, 1.0)))
    if kind == "per_step_official":
        return 0.5 * (1.0 + math.cos(math.pi * step / epochs))
    return 1.0


def scheduler_of(
    optimizer: Optimizer, kind: ScheduleKind, trainer: Trainer, per_batch: int = 1
) -> RunSchedule:
    """Return the schedule of an optimiser, one step for each update.

    Args:
        optimizer: Whose learning rate moves.
        kind: See :func:`factor_at`.
        trainer: About to fit.
        per_batch: Updates that the module makes of one batch by itself.

    Raises:
        ConfigError: If the run has no end.
    """
    refuse_endless(trainer)
    epochs = max(trainer.max_epochs or 1, 1)
    return RunSchedule(
        optimizer,
        lambda step, updates: factor_at(kind, step, updates, epochs),
        lambda: updates_of_run(trainer, per_batch),
    )
