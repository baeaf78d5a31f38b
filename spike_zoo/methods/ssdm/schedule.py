"""How the learning rate of a stage moves over its run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

from spike_zoo.errors import ConfigError

if TYPE_CHECKING:
    from lightning import Trainer
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

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


def updates_of_run(trainer: Trainer, per_batch: int = 1) -> float:
    """Return how often the weights are updated in a run.

    Args:
        trainer: About to fit.
        per_batch: Updates that a module makes of one batch by itself.

    Raises:
        ConfigError: If the run has no end.
    """
    updates = float(trainer.estimated_stepping_batches)  # counts one for a batch
    if per_batch > 1 and trainer.max_epochs not in (None, -1):
        updates = float(trainer.num_training_batches) * (trainer.max_epochs or 1) * per_batch
        if trainer.max_steps != -1:
            updates = min(updates, trainer.max_steps)
    if not math.isfinite(updates):
        raise ConfigError(
            "the learning rate is scheduled over the run's length: give --trainer.max_epochs or "
            "--trainer.max_steps"
        )
    return max(updates, 1.0)


def scheduler_of(
    optimizer: Optimizer, kind: ScheduleKind, trainer: Trainer, per_batch: int = 1
) -> LambdaLR:
    """Return the schedule of an optimiser, one step for each update.

    Raises:
        ConfigError: If the run has no end.
    """
    from torch.optim.lr_scheduler import LambdaLR

    updates = updates_of_run(trainer, per_batch)
    epochs = max(trainer.max_epochs or 1, 1)
    # a function, not an object: its state would be restored with the length of the old run
    return LambdaLR(optimizer, lambda step: factor_at(kind, step, updates, epochs))
