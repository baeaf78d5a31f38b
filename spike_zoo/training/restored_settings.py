"""Settings of a run that resumes from another run's checkpoint."""

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

_SCHEDULED = {"lr", "momentum", "betas"}  # options of an optimiser that schedules change
_PROGRESS = {"last_epoch", "schedulers"}  # constructor arguments that are not settings


class SettingsOfThisRun(Callback):
    """Apply this run's settings of optimiser and schedule after a checkpoint has been restored.

    A checkpoint also contains the settings of its run. Without this callback, a run in another
    folder would train with the old settings and record the new ones. Moments of the optimiser and
    progress of the schedule are restored. Settings of schedules from outside this package cannot
    be changed in a resumed run.
    """

    def __init__(self) -> None:
        self._groups: list[list[dict[str, Any]]] = []
        self._schedules: list[dict[str, Any]] = []
        self._patience: dict[EarlyStopping, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Store the patience of early stopping before the checkpoint is restored."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning's list
        stopping = [callback for callback in callbacks if isinstance(callback, EarlyStopping)]
        self._patience = {callback: callback.patience for callback in stopping}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store the settings of optimisers and schedules before the checkpoint is restored."""
        self._groups = [
            [{key: value for key, value in group.items() if key != "params"} for group in groups]
            for groups in (optimizer.param_groups for optimizer in trainer.optimizers)
        ]
        self._schedules = [_settings(config.scheduler) for config in trainer.lr_scheduler_configs]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Apply the settings; raise ConfigError if those of a schedule cannot be changed."""
        for callback, patience in self._patience.items():
            callback.patience = patience
        schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
        for schedule, settings in zip(schedules, self._schedules, strict=True):
            _check_settings(schedule, settings, str(trainer.ckpt_path))
        others = [s.optimizer for s in schedules if not isinstance(s, RunSchedule)]
        for optimizer, groups in zip(trainer.optimizers, self._groups, strict=True):
            _apply(optimizer, groups, _SCHEDULED if optimizer in others else set())


def _apply(optimizer: Optimizer, groups: list[dict[str, Any]], kept: set[str]) -> None:
    for group, settings in zip(optimizer.param_groups, groups, strict=True):
        group.update({key: value for key, value in settings.items() if key not in kept})


def _settings(schedule: Any) -> dict[str, Any]:  # noqa: ANN401  (torch's kinds have no common base)
    """Return the settings in a schedule's state; that of RunSchedule holds none."""
    if isinstance(schedule, RunSchedule):
        return {}
    named = {"base_lrs", *inspect.signature(type(schedule).__init__).parameters} - _PROGRESS
    state = schedule.state_dict()
    return {key: value for key, value in state.items() if key.lstrip("_") in named}


def _check_settings(schedule: Any, settings: dict[str, Any], checkpoint: str) -> None:  # noqa: ANN401  (as in _settings)
    restored = _settings(schedule)
    for key, value in settings.items():
        if restored.get(key) != value:
            raise ConfigError(
                f"{type(schedule).__name__}: {key} is {value} in this run and {restored.get(key)} "
                f"in {checkpoint}. This learning-rate schedule cannot be changed while it runs; "
                f"keep its settings, or start a new run with --init_from {checkpoint}"
            )
