"""Learning rates that move over the whole length of a run, which is known when training starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import LambdaLR

from spike_zoo.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning import Trainer
    from torch.optim import Optimizer

_OWN = ("factor", "count", "updates")


class RunSchedule(LambdaLR):
    """A learning rate multiplied by a factor of the update and of the run's number of updates.

    Asking a trainer for that number sets its data up. Where a run is resumed this must not happen
    before the loader's position is restored, or the epoch would begin again. So the number is
    asked for when training starts, see :func:`begin_schedules`.

    Args:
        optimizer: Whose learning rate moves.
        factor: Number of the update, from 0, and updates of the run -> factor.
        count: Returns the updates of the run; called when training has its data.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: Callable[[int, float], float],
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
        """Return what a resumed run needs: not the length, which is that of the new run."""
        return {name: value for name, value in super().state_dict().items() if name not in _OWN}


def begin_schedules(trainer: Trainer) -> None:
    """Tell every :class:`RunSchedule` of a trainer whose data are there how long the run is."""
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, RunSchedule):
            config.scheduler.begin()


def refuse_endless(trainer: Trainer) -> None:
    """Refuse a run without an end, of which nothing can be a fraction.

    Raises:
        ConfigError: If neither epochs nor steps are limited.
    """
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        raise ConfigError(
            "the learning rate is scheduled over the run's length: give --trainer.max_epochs or "
            "--trainer.max_steps"
        )


def updates_of_run(trainer: Trainer, per_batch: int = 1) -> float:
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
