"""Which checkpoint a run begins from, what it says of the model, and whether a run may go on."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.callbacks.checkpoints import BEFORE_LAST, FOLDER, LAST, LOG_STEP, STEPPED
from spike_zoo.checkpoints.artifacts import fetch_artifact, is_artifact
from spike_zoo.checkpoints.saved_model import described, read_checkpoint
from spike_zoo.errors import (
    ConfigError,
    ExistingFileError,
    FormatError,
    MissingFileError,
    UsageError,
    WeightsError,
)
from spike_zoo.loggers.csv import keep_rows_before
from spike_zoo.records.provenance import differences
from spike_zoo.records.result import FILENAME
from spike_zoo.records.run_start import RunStart
from spike_zoo.runs.planning import as_list

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jsonargparse import Namespace

NAMED = ("best", "last")
#: What may differ when a run goes on: it is said, not refused.
_WATCHING = "trainer.callbacks"
_ARCHIVE = "data.init_args.archive"  # another path to the same data; they are compared themselves


def check_no_earlier_fit(run_dir: Path) -> None:
    """Raise ExistingFileError where another fit can be resumed, or has left its record."""
    if (run_dir / FILENAME).exists() and not (run_dir / FOLDER / LAST).exists():
        raise ExistingFileError(
            f"{run_dir}: holds the record of a run whose checkpoints are gone; choose another "
            "--run_dir, or remove the folder"
        )
    if (run_dir / FOLDER / LAST).exists():
        raise ExistingFileError(
            f"{run_dir}: holds a run already. Resume it with --ckpt_path last, or "
            "choose another --run_dir."
        )


def find_checkpoint(named: str, run_dir: Path, *, may_begin: bool) -> Path | None:
    """Return the file of a checkpoint, ``best`` and ``last`` being those of the run's folder.

    Args:
        named: What the command line says.
        run_dir: The run's folder.
        may_begin: Whether a run without a ``last`` starts from the beginning; returns None then.

    Raises:
        MissingFileError: If there is no such file.
        WeightsError: If it cannot be read, or not be fetched.
        ConfigError: If a run would start from the beginning beside checkpoints of another kind.
        ExistingFileError: If it would start from the beginning beside a record.
    """
    folder = run_dir / FOLDER
    if is_artifact(named):
        path = fetch_artifact(named)
    else:
        path = folder / f"{named}.ckpt" if named in NAMED else Path(named)
    if named == "last" and (whole := _whole_last(folder)) is not None:
        return whole
    if path.is_file():
        read_checkpoint(path)
        return path
    if named == "last" and may_begin:
        others = sorted(file.name for file in folder.glob("*.ckpt"))
        if others:
            raise ConfigError(
                f"{folder}: no {LAST} to resume, but {', '.join(others)}; name one with "
                "--ckpt_path, or choose another --run_dir"
            )
        check_no_earlier_fit(run_dir)
        print(f"{run_dir}: nothing to resume, the fit begins")
        return None
    raise MissingFileError(
        f"{path}: there is no such checkpoint; name a file, or --run_dir with 'best' or 'last'",
        path=str(path),
    )


def _whole_last(folder: Path) -> Path | None:
    """Return the newest readable state of a run; None without any."""
    last, before = folder / LAST, folder / BEFORE_LAST
    if not last.is_file():
        return None
    try:
        read_checkpoint(last)
    except WeightsError as error:
        if not before.is_file():
            raise
        read_checkpoint(before)
        print(f"{error.message}; the one before it is taken, {before.name}")
        return before
    return last


def check_has_optimizer(checkpoint: Path) -> None:
    """Raise WeightsError for a file to resume from that holds no more than weights."""
    if "optimizer_states" not in read_checkpoint(checkpoint):
        raise WeightsError(
            f"{checkpoint}: holds weights alone, without the optimiser, so a fit cannot continue "
            f"from it; start a new run from these weights with --init_from {checkpoint}, or name a "
            "checkpoint of a fit, as its last.ckpt",
            path=str(checkpoint),
        )


def check_initial_weights(arguments: Sequence[str]) -> None:
    """Raise UsageError for the option for initial weights of a verb that does not train."""
    if any(argument.partition("=")[0] == "--init_from" for argument in arguments):
        raise UsageError("--init_from is an option of fit; name what is measured with --ckpt_path")


def is_own(checkpoint: Path, run_dir: Path) -> bool:
    """Return whether a checkpoint is one of the run's own, so that a fit resumes from it."""
    return checkpoint.resolve().parent == (run_dir / FOLDER).resolve()


def explicit_arguments(arguments: Sequence[str]) -> set[str]:
    """Return the model's arguments that a command line states itself, not through a file."""
    stated = (re.match(r"--model\.(?:init_args\.)?(\w+)", argument) for argument in arguments)
    return {match[1] for match in stated if match is not None}


def adopt(model: Namespace, checkpoint: Path, explicit: set[str]) -> bool:
    """Take over what a checkpoint says of its module, but for what the command line states.

    Nothing is imported for it: a checkpoint may say anything.

    Args:
        model: ``class_path`` and ``init_args`` as parsed; changed in place.
        checkpoint: The file.
        explicit: Names of arguments that stay.

    Returns:
        Whether anything changed.

    Raises:
        WeightsError: If it belongs to another class or says what is no plain value.
    """
    class_path, arguments = described(read_checkpoint(checkpoint))
    if class_path is not None and class_path not in _names_of(model.class_path):
        raise WeightsError(
            f"{checkpoint}: holds a {class_path}, the configuration names {model.class_path}; name "
            "the configuration it was trained with, or another checkpoint",
            path=str(checkpoint),
        )
    given = model.init_args
    changed = False
    for name, value in arguments.items():
        if name in explicit or (name in given and as_list(given[name]) == as_list(value)):
            continue
        if name not in given or not _is_plain(value):
            raise WeightsError(
                f"{checkpoint}: says {name} = {str(value)[:80]!r}, which {model.class_path} does "
                "not take from a checkpoint",
                path=str(checkpoint),
            )
        given[name] = value
        changed = True
    return changed


def _names_of(class_path: str) -> set[str]:
    """Return the paths of a class that the user named, and of those it derives from."""
    module, _, name = class_path.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    return {class_path, *(f"{one.__module__}.{one.__qualname__}" for one in found.__mro__)}


def _is_plain(value: Any) -> bool:  # noqa: ANN401  (any value of a checkpoint)
    """Return whether a value cannot cause an import."""
    if isinstance(value, dict):
        return "class_path" not in value and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def check_unchanged(run_dir: Path, config: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Reject resuming a run with other settings: its record would state them for old weights.

    Args:
        run_dir: Folder of the run, with the ``config.yaml`` it began with.
        config: Complete configuration now.
        defaults: Dotted key -> value, for keys that stand at their default.

    Raises:
        ConfigError: Naming every difference.
        FormatError: If the file is damaged.
    """
    file = run_dir / "config.yaml"
    if not file.is_file():
        return
    try:
        recorded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        recorded = None
    if not isinstance(recorded, dict):
        raise FormatError(
            f"{file}: not the configuration that a run writes, so it is unknown whether it may be "
            "on; put it back, or choose another --run_dir",
            path=str(file),
        )
    changed = differences(recorded, config, defaults, apart_from=(_WATCHING, _ARCHIVE))
    if changed:
        raise _changed(run_dir, changed)
    before, now = (one.get("trainer", {}).get("callbacks") for one in (recorded, config))
    if before != now:
        print(f"{run_dir}: goes on with other callbacks than it began with")


def check_same_data(run_dir: Path, now: RunStart) -> None:
    """Raise ConfigError if a run is resumed on other data, or with other initial weights."""
    before = RunStart.read(run_dir)
    changed = list(before.changes(now)) if before is not None else []
    if changed:
        raise _changed(run_dir, changed)


def _changed(run_dir: Path, changed: list[str]) -> ConfigError:
    return ConfigError(
        f"{run_dir}: is the run of other settings and cannot go on with these: "
        f"{'; '.join(changed)}. Choose another --run_dir (there --ckpt_path "
        f"{run_dir / FOLDER / LAST} goes on from its weights), or remove the folder.",
        path=str(run_dir),
    )


def cut_log(log: Path, checkpoint: Path | None) -> None:
    """Remove rows of a log that a run is about to write again.

    Args:
        log: ``metrics.csv``.
        checkpoint: From which it resumes; None where it starts from the beginning.
    """
    if checkpoint is None:
        log.unlink(missing_ok=True)
        return
    content = read_checkpoint(checkpoint)
    loops = content.get("loops", {}).get("fit_loop", {})
    stepped = loops.get("epoch_loop.state_dict", {}).get(STEPPED, 0)  # of older checkpoints
    keep_rows_before(log, int(content.get(LOG_STEP, stepped)))
