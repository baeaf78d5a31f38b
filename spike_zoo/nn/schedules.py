"""Learning-rate schedules over the total number of updates of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from spike_zoo.errors import ConfigError
from spike_zoo.nn.options import check_choice

if TYPE_CHECKING:
    from lightning import Trainer

#: Index of the update, from 0, and total number of updates -> factor of the learning rate.
Factor: TypeAlias = Callable[[int, float], float]
ScheduleKind = Literal["cosine", "milestones", "linear", "constant", "per_step_official"]
#: Attributes that a checkpoint does not contain: a resumed run uses its own settings and length.
_NOT_SAVED = ("factor", "count", "updates", "base_lrs", "_last_lr")


def schedule_factor(kind: ScheduleKind, *, warmup: float = 0.0, epochs: int = 1) -> Factor:
    """Return a schedule by name.

    Args:
        kind: ``"cosine"`` and ``"linear"`` decrease to 0 at the end of the run. ``"milestones"``
            multiplies by 0.7 after each quarter of the run, as for STIR. ``"constant"`` is
            constant.
            ``"per_step_official"`` is the schedule of S-SDM's released student: a cosine defined
            over epochs but stepped every iteration, which oscillates between 1 and 0 with a period
            of ``2 * epochs`` iterations.
        warmup: Fraction of the run in which the factor rises linearly from 0. Cosine and linear
            decrease after it.
        epochs: Number of epochs of the run.
    """

    def factor(step: int, updates: float) -> float:
        quarters = sum(step / updates >= quarter for quarter in (0.25, 0.5, 0.75))
        progress = max((min(step / updates, 1.0) - warmup) / (1.0 - warmup), 0.0)
        factors: dict[ScheduleKind, float] = {
            "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
            "linear": 1.0 - progress,
            "milestones": 0.7**quarters,
            "constant": 1.0,
            "per_step_official": 0.5 * (1.0 + math.cos(math.pi * step / epochs)),
        }
        rising = min(1.0, (step + 1) / (warmup * updates)) if warmup else 1.0
        return rising * factors[kind]

    return factor


def check_schedule(kind: str, learning_rate: float, warmup: float = 0.0) -> None:
    """Check the settings of a schedule.

    Raises ValueError if it is unknown, the learning rate is not positive, or the warm-up is outside
    [0, 1).
    """
    check_choice("schedule", kind, ScheduleKind)
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"learning_rate must be a positive number, got {learning_rate}")
    if not 0.0 <= warmup < 1.0:
        raise ValueError(f"warmup is a fraction of the run in [0, 1), got {warmup}")


class RunSchedule(LambdaLR):
    """Learning-rate schedule whose factor depends on the update and the run's number of updates.

    Reading the number of updates from a trainer sets up its data. In a resumed run, this must not
    happen before the loader's position is restored; otherwise the epoch would start again. So the
    number is read when training starts, see :func:`start_schedules`.

    Args:
        optimizer: Optimiser of the learning rate.
        factor: Factor of the learning rate, see :func:`schedule_factor`.
        count: Returns the number of updates of the run; called after the data are set up.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> schedule = RunSchedule(optimizer, schedule_factor("linear"), count=lambda: 4)
        >>> schedule.begin()
        >>> [schedule.factor(step, schedule.updates) for step in range(5)]
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    def __init__(self, optimizer: Optimizer, factor: Factor, count: Callable[[], float]) -> None:
        self.factor = factor
        self.count = count
        self.updates = 1.0
        super().__init__(optimizer, lambda step: self.factor(step, self.updates))

    def begin(self) -> None:
        """Read the number of updates, and set the learning rate of the next update."""
        self.updates = max(self.count(), 1.0)
        scale = self.factor(self.last_epoch, self.updates)
        self._last_lr = [base * scale for base in self.base_lrs]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return the progress without length and learning rates, which a resumed run sets."""
        return {
            name: value for name, value in super().state_dict().items() if name not in _NOT_SAVED
        }


def make_scheduler(
    optimizer: Optimizer,
    schedule: ScheduleKind,
    trainer: Trainer,
    per_batch: int = 1,
    *,
    warmup: float = 0.0,
) -> RunSchedule:
    """Return the schedule of an optimiser by :func:`schedule_factor`, with one step per update.

    ``per_batch`` and errors are those of :func:`total_updates`.
    """
    check_finite_length(trainer)
    if schedule == "per_step_official" and (trainer.max_epochs or 0) < 1:
        raise ConfigError("schedule per_step_official follows epochs: set trainer.max_epochs")
    factor = schedule_factor(schedule, warmup=warmup, epochs=max(trainer.max_epochs or 1, 1))
    return RunSchedule(optimizer, factor, lambda: total_updates(trainer, per_batch))


def start_schedules(trainer: Trainer) -> None:
    """Start every :class:`RunSchedule` of a trainer whose data are set up."""
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, RunSchedule):
            config.scheduler.begin()


def check_finite_length(trainer: Trainer) -> None:
    """Raise ConfigError if neither epochs nor steps of a run are limited, which schedules need."""
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        raise ConfigError(
            "the learning rate is scheduled over the run's length: give --trainer.max_epochs or "
            "--trainer.max_steps"
        )


def total_updates(trainer: Trainer, per_batch: int = 1) -> float:
    """Return the number of weight updates of a run whose data are set up.

    ``per_batch`` is the updates per batch, for modules with manual optimisation. Raises ConfigError
    if the run has no finite length.
    """
    updates = float(trainer.estimated_stepping_batches)  # with one update per batch
    if per_batch > 1 and trainer.max_epochs not in (None, -1):
        updates = float(trainer.num_training_batches) * (trainer.max_epochs or 1) * per_batch
        if trainer.max_steps != -1:
            updates = min(updates, trainer.max_steps)
    if not math.isfinite(updates) or updates < 0:  # -1: neither batches nor steps are limited
        raise ConfigError(
            "the learning rate is scheduled over the run's length, but the data have no length: "
            "give --trainer.max_steps"
        )
    return updates
