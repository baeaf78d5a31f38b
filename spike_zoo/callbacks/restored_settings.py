"""Train on from another run's checkpoint, with the settings of this run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping

from spike_zoo.errors import ConfigError
from spike_zoo.nn.schedules import RunSchedule

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer
    from torch.optim import Optimizer

_MOVED = {"lr", "momentum", "betas"}  # what schedules change in an optimiser while they run
_PROGRESS = {"last_epoch", "schedulers"}  # constructor arguments that are no settings


class SettingsOfThisRun(Callback):
    """Give a restored optimiser and schedule the settings that this run was configured with.

    A checkpoint holds them too, so that a run in another folder would train with the old ones and
    record the new ones. Averages of the optimiser and the progress of the schedule are restored.
    A schedule that is not of this package cannot be changed while it runs.
    """

    def __init__(self) -> None:
        self._groups: list[list[dict[str, Any]]] = []
        self._schedules: list[dict[str, Any]] = []
        self._patience: dict[EarlyStopping, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note the patience of early stopping before it is restored."""
        stopping = [one for one in trainer.callbacks if isinstance(one, EarlyStopping)]  # type: ignore[attr-defined]  # Lightning's list
        self._patience = {one: one.patience for one in stopping}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the settings of optimisers and schedules before they are restored."""
        self._groups = [
            [{key: value for key, value in group.items() if key != "params"} for group in groups]
            for groups in (optimizer.param_groups for optimizer in trainer.optimizers)
        ]
        self._schedules = [_settings(config.scheduler) for config in trainer.lr_scheduler_configs]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Apply the settings to what was restored; ConfigError if a schedule cannot take them."""
        for callback, patience in self._patience.items():
            callback.patience = patience
        schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
        for schedule, settings in zip(schedules, self._schedules, strict=True):
            _check_settings(schedule, settings, str(trainer.ckpt_path))
        others = [one.optimizer for one in schedules if not isinstance(one, RunSchedule)]
        for optimizer, groups in zip(trainer.optimizers, self._groups, strict=True):
            _apply(optimizer, groups, _MOVED if optimizer in others else set())


def _apply(optimizer: Optimizer, groups: list[dict[str, Any]], kept: set[str]) -> None:
    for group, settings in zip(optimizer.param_groups, groups, strict=True):
        group.update({key: value for key, value in settings.items() if key not in kept})


def _settings(schedule: Any) -> dict[str, Any]:  # noqa: ANN401  (torch's kinds have no common base)
    """Return the settings of a schedule that its state holds; ours holds none."""
    if isinstance(schedule, RunSchedule):
        return {}
    named = {"base_lrs", *inspect.signature(type(schedule).__init__).parameters} - _PROGRESS
    state = schedule.state_dict()
    return {key: value for key, value in state.items() if key.lstrip("_") in named}


def _check_settings(schedule: Any, settings: dict[str, Any], checkpoint: str) -> None:  # noqa: ANN401  (see above)
    restored = _settings(schedule)
    for key, value in settings.items():
        if restored.get(key) != value:
            raise ConfigError(
                f"{type(schedule).__name__}: {key} is {value} in this run and {restored.get(key)} "
                f"in {checkpoint}. This learning-rate schedule cannot be changed while it runs; "
                f"keep its settings, or start a new run with --init_from {checkpoint}"
            )
