"""Records of a sweep's finished runs, in the folders of runs and in ``records.jsonl``."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from spike_zoo.errors import ConfigError, SpikeZooError, UsageError
from spike_zoo.training.initial_weights import weights_sha256
from spike_zoo.training.provenance import CHECKOUT, OF_FITS, changed_code, config_hash, differences
from spike_zoo.training.result import FILENAME, RunResult
from spike_zoo.training.stored import read_records, store_record
from spike_zoo.utils.locks import file_version

FAILURE_FILENAME = "failure.txt"
OUTPUT_FILENAME = "output.txt"
CHECKPOINTS = "checkpoints"
_NAME_PARAMETERS = ("config", "seed_everything")  # parameters that are always part of a run's name


@dataclass(frozen=True)
class PlannedRun:
    """A planned run of a sweep."""

    name: str  #: unique name in the sweep, from variant, seed and a digest of the other options
    command: tuple[str, ...]  #: the command that starts the run
    run_dir: Path  #: folder of the run
    result: Path  #: path of the ``result.json`` that the run writes
    config: dict[str, Any] = field(repr=False)  #: complete configuration
    #: dotted key -> value, for keys that have their default
    defaults: Mapping[str, Any] = field(repr=False)
    config_hash: str  #: digest of ``config``
    profile: str | None  #: name of the profile
    records: Path  #: the ``records.jsonl`` that stores the record
    #: the archive, or a list or pattern of archives; None for a run without one
    archive: str | list[str] | None = None
    #: digest of the archive; None if it does not exist. A record is then identified by the
    #: configuration alone.
    data_sha256: str | None = None
    #: dotted key of the configuration -> file of initial weights; ``*`` matches any part of the
    #: name
    initial_weights: Mapping[str, str] = field(default_factory=dict)
    #: dotted key -> run of another sweep that writes this file
    weight_sources: Mapping[str, PlannedRun] = field(default_factory=dict, repr=False)
    needs_checkpoint: bool = False  #: whether other runs start from the best checkpoint of this run

    @property
    def is_fit(self) -> bool:
        """Whether the run trains and writes checkpoints."""
        return self.result.parent == self.run_dir

    def writes_checkpoint(self, text: str) -> bool:
        """Return whether a path in the configuration of another run is a checkpoint of this run."""
        checkpoints = self.run_dir.absolute() / CHECKPOINTS
        return checkpoints.match(str(Path(text).absolute().parent))

    @property
    def files(self) -> dict[str, str]:
        """Configured path of initial weights, possibly with ``*`` -> path of the actual file."""
        return {self.initial_weights[key]: str(self._file(key)) for key in self.weight_sources}

    def _file(self, key: str) -> Path:
        if key not in self.weight_sources:
            return Path(self.initial_weights[key])
        return self.weight_sources[key].run_dir / CHECKPOINTS / Path(self.initial_weights[key]).name

    def has_same_initial_weights(self, record: RunResult) -> bool:
        """Return whether a record's run started from the initial weights of this run."""
        return all(self._is_same_origin(key, record) for key in self.initial_weights)

    def _is_same_origin(self, key: str, record: RunResult) -> bool:
        """Compare digests of weights; without both digests compare the folders of the files."""
        file, source = self._file(key), self.weight_sources.get(key)
        source_record = record_of(source) if source is not None else None
        recorded = record.begins_with.get(key, {}).get("sha256")
        current = source_record.checkpoint_sha256 if source_record is not None else None
        if file.is_file():
            current = _weights_sha256(file, file_version(file))
        if source is None or (recorded is not None and current is not None):
            return recorded is None or current is None or recorded == current
        source_dir = str(source_record.config.get("run_dir")) if source_record else None
        folders = {str(source.run_dir), source_dir}
        path = record.begins_with.get(key, {}).get("path")
        return path is not None and str(Path(path).parent.parent) in folders

    @property
    def failure(self) -> Path:
        """The file with the reason of a failure."""
        return self.run_dir / FAILURE_FILENAME

    @property
    def output(self) -> Path:
        """The file with the printed output of the run."""
        return self.run_dir / OUTPUT_FILENAME


def run_name(variant: str, seed: int | None, point: Mapping[str, Any]) -> str:
    """Return the name of a run in its sweep: variant, seed and a digest of the other parameters."""
    parameters = {key: value for key, value in point.items() if key not in _NAME_PARAMETERS}
    text = json.dumps(parameters, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{variant}-{seed}{f'-{digest}' if parameters else ''}"


def with_origins(runs: Sequence[PlannedRun], earlier: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the runs with :attr:`PlannedRun.weight_sources` set to runs of earlier sweeps."""
    linked = []
    for run in runs:
        weight_sources: dict[str, PlannedRun] = {}
        for key, text in run.initial_weights.items():
            sources = [other for other in earlier if other.writes_checkpoint(text)]
            if len(sources) > 1:
                names = ", ".join(other.name for other in sources)
                raise ConfigError(
                    f"{run.name}: {key}: {text} matches checkpoints of several runs ({names}); "
                    "name the run's folder"
                )
            if sources:
                weight_sources[key] = sources[0]
        linked.append(replace(run, weight_sources=weight_sources))
    return linked


def record_of(run: PlannedRun) -> RunResult | None:
    """Return the record of a finished run, from its folder or the sweep's ``records.jsonl``.

    A record is valid if it has the configuration, profile and data of the run, and was made from
    the initial weights that the run would start from now. A parameter that was added later is
    ignored if it has its default.

    Returns:
        The record; None if there is no valid record, or if the required checkpoint is missing.
    """
    record = _folder_record(run)
    if record is None and not run.needs_checkpoint:
        stored = read_records(run.records).get(run.name)
        return stored.result if stored is not None and _is_valid(run, stored.result) else None
    checkpoints = [run.run_dir / CHECKPOINTS / name for name in ("best.ckpt", "last.ckpt")]
    if run.needs_checkpoint and not any(file.is_file() for file in checkpoints):
        return None
    return record


def check_code(runs: Iterable[PlannedRun]) -> None:
    """Raise UsageError if runs would be recorded for a table of this checkout with changed code.

    Runs of the profile smoke, whose records git ignores, and those of other folders are allowed.
    """
    recorded = [run for run in runs if run.records.resolve().is_relative_to(CHECKOUT)]
    if any(run.profile != "smoke" for run in recorded) and (files := changed_code()):
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        raise UsageError(
            f"{recorded[0].records}: the code has changes that are not committed "
            f"({', '.join(files[:3])}{more}), so nobody could repeat these runs; commit them first "
            "('git stash' puts them aside), or use --profile smoke"
        )


def keep_record(run: PlannedRun) -> None:
    """Store the record of a finished run in the sweep's ``records.jsonl``.

    An invalid record, for example of other data, does not replace a stored record. A replaced
    record of another configuration is named in a warning. The caller must hold the run's lock.
    """
    if (record := _folder_record(run)) is None:
        return
    stored = read_records(run.records).get(run.name)
    if stored is not None and differences(stored.result.config, run.config, run.defaults):
        warnings.warn(
            f"{run.records}: {run.name}: the record of {stored.result.config.get('run_dir')} has "
            "another configuration and is replaced; to keep the records of two sweep files, "
            "put them into two folders",
            stacklevel=2,
        )
    if stored is None or stored.result != record:
        store_record(run.records, run.name, run.result.parent)


def rename_invalid_record(run: PlannedRun) -> None:
    """Rename record and checkpoints of a complete run whose record is invalid.

    Otherwise the new run would resume from these checkpoints, train no further step and record the
    old weights as its result.
    """
    if not run.result.is_file():
        return
    checkpoints = run.run_dir / CHECKPOINTS
    if checkpoints.is_dir():
        before = checkpoints.with_name(f"{CHECKPOINTS}.before")
        shutil.rmtree(before, ignore_errors=True)
        checkpoints.rename(before)
    # the record is renamed last: without a record the checkpoints are kept for resuming
    run.result.replace(run.result.with_name(f"{FILENAME}.before"))


def _folder_record(run: PlannedRun) -> RunResult | None:
    """Return the record in the run's folder if it is valid."""
    try:
        record = RunResult.read(run.result)
    except SpikeZooError:  # missing or damaged: the run is not finished
        return None
    return record if _is_valid(run, record) else None


def _is_valid(run: PlannedRun, record: RunResult) -> bool:
    """Return whether a record has profile, data, configuration and initial weights of a run."""
    if not record.metrics or record.profile != run.profile:
        return False
    if run.data_sha256 is not None and record.data_sha256 != run.data_sha256:
        return False
    ignored = () if run.is_fit else OF_FITS
    is_same = record.config_hash == config_hash(run.config, record.begins_with) or not differences(
        record.config, run.config, run.defaults, apart_from=ignored
    )
    return is_same and run.has_same_initial_weights(record)


@lru_cache
def _weights_sha256(file: Path, version: tuple[int, ...]) -> str:
    """Return the digest of a file's weights, cached until the file changes."""
    return weights_sha256(file)
