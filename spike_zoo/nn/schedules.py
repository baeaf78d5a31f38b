"""Learning rates that move over the whole length of a run, which is known when training starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from torch.optim.lr_scheduler import LambdaLR

from spike_zoo.errors import ConfigError

if TYPE_CHECKING:
    from lightning import Trainer
    from torch.optim import Optimizer

#: Number of the update, from 0, and updates of the run -> what the learning rate is multiplied by.
Factor: TypeAlias = Callable[[int, float], float]
ScheduleKind = Literal[
    "cosine", "milestones", "milestones_90", "linear", "constant", "per_step_official"
]
#: What a checkpoint does not restore: settings and length are those of the run that continues.
_OWN = ("factor", "count", "updates", "base_lrs", "_last_lr")


def schedule_factor(kind: ScheduleKind, *, warmup: float = 0.0, epochs: int = 1) -> Factor:
    """Return a schedule by name.

    Args:
        kind: ``"cosine"`` and ``"linear"`` fall to 0 at the end of the run; ``"milestones"``
            multiplies by 0.7 after each quarter of it, as STIR was trained, ``"milestones_90"`` by
            0.9, as SSMT was; ``"constant"`` stays.
            ``"per_step_official"`` is what S-SDM's released student was trained with: a cosine
            meant for epochs and stepped every iteration, which swings between 1 and 0 with a
            period of twice the epochs in iterations.
        warmup: Fraction of the run in which the factor rises from 0, before it may fall.
        epochs: Of the whole run.
    """

    def factor(step: int, updates: float) -> float:
        quarters = sum(step / updates >= quarter for quarter in (0.25, 0.5, 0.75))
        left = max((min(step / updates, 1.0) - warmup) / (1.0 - warmup), 0.0)
        factors: dict[ScheduleKind, float] = {
            "cosine": 0.5 * (1.0 + math.cos(math.pi * left)),
            "linear": 1.0 - left,
            "milestones": 0.7**quarters,
            "milestones_90": 0.9**quarters,
            "constant": 1.0,
            "per_step_official": 0.5 * (1.0 + math.cos(math.pi * step / epochs)),
        }
        rising = min(1.0, (step + 1) / (warmup * updates)) if warmup else 1.0
        return rising * factors[kind]

    return factor


def check_schedule(kind: str, learning_rate: float, warmup: float = 0.0) -> None:
    """Reject an unknown schedule, a learning rate that is not positive, a warm-up outside 0 to 1.

    Raises:
        ValueError: If one is outside its range.
    """
    if kind not in get_args(ScheduleKind):
        raise ValueError(f"schedule must be one of {get_args(ScheduleKind)}, got {kind!r}")
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"learning_rate must be a positive number, got {learning_rate}")
    if not 0.0 <= warmup < 1.0:
        raise ValueError(f"warmup is a fraction of the run in [0, 1), got {warmup}")


class RunSchedule(LambdaLR):
    """A learning rate multiplied by a factor of the update and of the run's number of updates.

    Asking a trainer for that number sets its data up. Where a run is resumed this must not happen
    before the loader's position is restored, or the epoch would begin again. So the number is
    asked for when training starts, see :func:`start_schedules`.

    Args:
        optimizer: Whose learning rate moves.
        factor: How it moves, see :func:`schedule_factor`.
        count: Returns the updates of the run; called when training has its data.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> schedule = RunSchedule(optimizer, schedule_factor("linear"), count=lambda: 4)
        >>> schedule.begin()
        >>> [schedule.factor(step, schedule.updates) for step in range(5)]
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: Factor,
        count: Callable[[], float],
    ) -> None:
        self.factor = factor
        self.count = count
        self.updates = 1.0
        super().__init__(optimizer, lambda step: self.factor(step, self.updates))

    def begin(self) -> None:
        """Ask for the number of updates, and set the learning rate of the next one."""
        self.updates = max(self.count(), 1.0)
        scale = self.factor(self.last_epoch, self.updates)
        self._last_lr = [base * scale for base in self.base_lrs]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return the progress, without length and learning rates: those are the new run's."""
        return {name: value for name, value in super().state_dict().items() if name not in _OWN}


def make_scheduler(
    optimizer: Optimizer,
    schedule: ScheduleKind,
    trainer: Trainer,
    per_batch: int = 1,
    *,
    warmup: float = 0.0,
) -> RunSchedule:
    """Return the schedule of an optimiser, one step for each update.

    Args:
        optimizer: Whose learning rate moves.
        schedule: See :func:`schedule_factor`.
        trainer: About to fit.
        per_batch: Updates that the module makes of one batch by itself.
        warmup: Fraction of the run in which the rate rises.

    Raises:
        ConfigError: If the run has no end.
    """
    check_finite_length(trainer)
    factor = schedule_factor(schedule, warmup=warmup, epochs=max(trainer.max_epochs or 1, 1))
    return RunSchedule(optimizer, factor, lambda: total_updates(trainer, per_batch))


def start_schedules(trainer: Trainer) -> None:
    """Set the length of the run for every :class:`RunSchedule` of a trainer with data."""
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, RunSchedule):
            config.scheduler.begin()


def check_finite_length(trainer: Trainer) -> None:
    """Reject a run without an end, of which nothing can be a fraction.

    Raises:
        ConfigError: If neither epochs nor steps are limited.
    """
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        raise ConfigError(
            "the learning rate is scheduled over the run's length: give --trainer.max_epochs or "
            "--trainer.max_steps"
        )


def total_updates(trainer: Trainer, per_batch: int = 1) -> float:
    """Return how often the weights are updated in a run whose data are set up.

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
    if not math.isfinite(updates) or updates < 0:  # -1: batches without number, steps without end
        raise ConfigError(
            "the learning rate is scheduled over the run's length, and the data have none: give "
            "--trainer.max_steps"
        )
    return updates
