"""Resumed runs: checkpoint, arguments of its model, checks, and restored settings."""

import importlib
import inspect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from spike_zoo.checkpoints.artifacts import fetch_artifact, is_artifact
from spike_zoo.checkpoints.saved_model import class_and_arguments, plain, read_checkpoint
from spike_zoo.errors import ConfigError, FormatError, MissingFileError, WeightsError
from spike_zoo.nn.schedules import RunSchedule
from spike_zoo.training.checkpoints import LOG_STEP, PREVIOUS_LAST, STEPPED
from spike_zoo.training.csv_logger import keep_rows_before
from spike_zoo.training.folders import ARCHIVE, FOLDER, LAST, RunStart, check_no_earlier_fit
from spike_zoo.training.initial_weights import CKPT_PATH
from spike_zoo.training.provenance import differences
from spike_zoo.utils.files import shipped_weights

_CALLBACKS = "trainer.callbacks"  # may differ in a resumed run, which prints a note
_SCHEDULED = {"lr", "momentum", "betas"}  # options of an optimiser that schedules change
_PROGRESS = {"last_epoch", "schedulers"}  # constructor arguments that are not settings


def find_checkpoint(named: str, run_dir: Path, *, allow_missing: bool) -> Path | None:
    """Return the file of a checkpoint; None for a missing ``last``, if a new fit may start.

    ``named`` is a file, an artifact of W&B, or ``best`` or ``last`` of the run's folder.
    """
    folder = run_dir / FOLDER
    if is_artifact(named):
        path = fetch_artifact(named)
    else:
        path = folder / f"{named}.ckpt" if named in ("best", "last") else Path(named)
    if named == "last" and (whole := _whole_last(folder)) is not None:
        return whole
    if path.is_file():
        read_checkpoint(path)
        return path
    if named == "last" and allow_missing:
        others = sorted(file.name for file in folder.glob("*.ckpt"))
        if others:
            raise ConfigError(
                f"{folder}: no {LAST} to resume, but {', '.join(others)}; name one with "
                "--ckpt_path, or choose another --run_dir"
            )
        check_no_earlier_fit(run_dir)
        print(f"{run_dir}: nothing to resume, starting a new fit")
        return None
    advice = "name a file, or --run_dir with 'best' or 'last'"
    if named in shipped_weights():
        advice = f"--model spike_zoo.tasks.LoadedReconstruction --model.weights {named} tests them"
    raise MissingFileError.at(path, f"there is no such checkpoint; {advice}")


def _whole_last(folder: Path) -> Path | None:
    """Return the newest readable one of ``last`` and its predecessor; None without ``last``."""
    last, before = folder / LAST, folder / PREVIOUS_LAST
    if not last.is_file():
        return None
    try:
        read_checkpoint(last)
    except WeightsError as error:
        if not before.is_file():
            raise
        read_checkpoint(before)
        print(f"{error.message}; using the checkpoint before it, {before.name}")
        return before
    return last


def check_has_optimizer(checkpoint: Path) -> None:
    """Raise WeightsError if a checkpoint to resume from has no optimiser state."""
    if "optimizer_states" not in read_checkpoint(checkpoint):
        raise WeightsError.at(
            checkpoint,
            "contains only weights, no optimiser state, so a fit cannot continue from it; start a "
            f"new run from these weights with --init_from {checkpoint}, or name a checkpoint of a "
            "fit, such as its last.ckpt",
        )


def explicit_arguments(arguments: Sequence[str]) -> set[str]:
    """Return the dotted names of the model's arguments that are options of a command line."""
    options = (re.match(r"--model\.(?:init_args\.)?([\w.]+)", argument) for argument in arguments)
    return {match[1] for match in options if match is not None}


def copy_model_arguments(model: Namespace, checkpoint: Path, explicit: set[str]) -> bool:
    """Copy the arguments of a module from its checkpoint, except those of the command line.

    Nothing that the checkpoint names is imported, because the file is not trusted. Returns whether
    anything in ``model`` (parsed ``class_path`` and ``init_args``) changed.
    """
    class_path, arguments = class_and_arguments(read_checkpoint(checkpoint))
    module, _, name = model.class_path.rpartition(".")
    bases = getattr(importlib.import_module(module), name).__mro__
    accepted = {model.class_path, *(f"{base.__module__}.{base.__qualname__}" for base in bases)}
    if class_path is not None and class_path not in accepted:
        raise WeightsError.at(
            checkpoint,
            f"is a checkpoint of {class_path}, but the configuration names {model.class_path}; "
            "name the configuration of its training, or another checkpoint",
        )
    copied = dict(_differing(arguments, model.init_args, explicit))
    for key, value in copied.items():
        if key not in model.init_args or not _is_plain(value):
            raise WeightsError.at(
                checkpoint,
                f"contains {key} = {str(value)[:80]!r}, which {model.class_path} does not accept "
                "from a checkpoint",
            )
        model.init_args[key] = value
    return bool(copied)


def _differing(
    stored: Mapping[str, Any], parsed: Namespace, explicit: set[str], group: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield dotted key and stored value of the arguments that differ and are not explicit."""
    for name, value in stored.items():
        key, value = f"{group}{name}", _as_stored(value)
        current = parsed.get(name)
        if key in explicit:
            continue
        are_options = isinstance(value, dict) and "class_path" not in value
        if are_options and isinstance(current, Namespace):  # of a dataclass
            yield from _differing(value, current, explicit, f"{key}.")
        elif name not in parsed or _as_stored(current) != value:
            yield key, value


def _as_stored(value: Any) -> Any:  # noqa: ANN401  (any value of a configuration)
    """Return a parsed value as YAML stores it: tuples as lists, arguments of a class as a dict."""
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, list | tuple):
        return [_as_stored(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_stored(item) for key, item in value.items()}
    return plain(value)


def _is_plain(value: Any) -> bool:  # noqa: ANN401  (any value of a checkpoint)
    """Return whether a value contains only plain types and no ``class_path`` to import."""
    if isinstance(value, dict):
        return "class_path" not in value and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def check_unchanged(run_dir: Path, config: dict[str, Any], defaults: Mapping[str, Any]) -> bool:
    """Raise ConfigError if settings differ from those of the run's start.

    The record of the resumed run would not state them correctly. The run may become longer; returns
    whether it does.
    """
    file = run_dir / "config.yaml"
    if not file.is_file():
        return False
    try:
        recorded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        recorded = None
    if not isinstance(recorded, dict) or not isinstance(recorded.get("trainer", {}), dict):
        raise FormatError.at(
            file,
            "not the configuration that a run writes, so its settings cannot be compared; restore "
            "the file, or choose another --run_dir",
        )
    before, now = (content.get("trainer", {}) for content in (recorded, config))
    longer = [
        name
        for name in ("max_epochs", "max_steps")
        if _length(now.get(name)) > _length(before.get(name))
    ]
    apart_from = (_CALLBACKS, ARCHIVE, *(f"trainer.{name}" for name in longer))
    changed = differences(recorded, config, defaults, apart_from=apart_from)
    if changed:
        shorter = [
            f"--trainer.{name} {before[name]}"
            for name in ("max_epochs", "max_steps")
            if _length(now.get(name)) < _length(before.get(name)) < math.inf
        ]
        raise _changed(run_dir, changed, " ".join(shorter))
    if before.get("callbacks") != now.get("callbacks"):
        print(f"{run_dir}: resumed with other trainer.callbacks than at its start")
    for name in longer:
        print(f"{run_dir}: continues with trainer.{name} {now[name]}, was {before.get(name)}")
    return bool(longer)


def _length(limit: int | None) -> float:
    return math.inf if limit in (None, -1) else float(limit)


def earlier_start(run_dir: Path) -> dict[str, Any]:
    """Return the identity of the checkpoint that a run continued from, by option; {} for none."""
    before = RunStart.read(run_dir)
    origins = before.begins_with if before is not None else {}
    return {key: value for key, value in origins.items() if key == CKPT_PATH}


def check_same_data(run_dir: Path, now: RunStart) -> None:
    """Raise ConfigError if a run is resumed on other data, or with other initial weights."""
    before = RunStart.read(run_dir)
    origins = {key: value for key, value in now.begins_with.items() if key != CKPT_PATH}
    now = replace(now, begins_with={**origins, **earlier_start(run_dir)})
    changed = list(before.changes(now)) if before is not None else []
    if changed:
        raise _changed(run_dir, changed)


def _changed(run_dir: Path, changed: list[str], options: str = "") -> ConfigError:
    """Return the error for other settings; the options restore those of a longer run."""
    advice = f"Add {options}. Or: " if options else ""
    return ConfigError.at(
        run_dir,
        f"contains a run with other settings, so it cannot be resumed: {'; '.join(changed)}. "
        f"{advice}Choose another --run_dir (there --ckpt_path {run_dir / FOLDER / LAST} continues "
        "from its weights), or remove the folder.",
    )


def truncate_log(log: Path, checkpoint: Path | None) -> None:
    """Remove the rows of a log that a run resumed from a checkpoint (None: a new run) writes."""
    if checkpoint is None:
        log.unlink(missing_ok=True)
        return
    content = read_checkpoint(checkpoint)
    loops = content.get("loops", {}).get("fit_loop", {})
    stepped = loops.get("epoch_loop.state_dict", {}).get(STEPPED, 0)  # saved by another trainer
    keep_rows_before(log, int(content.get(LOG_STEP, stepped)))


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
            fixed_keys = _SCHEDULED if optimizer in others else set()
            for group, settings in zip(optimizer.param_groups, groups, strict=True):
                group.update(
                    {key: value for key, value in settings.items() if key not in fixed_keys}
                )


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
