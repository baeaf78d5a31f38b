"""Which runs of a sweep are finished: their records, where they were made and where they last."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, SpikeZooError
from spike_zoo.records.initial_weights import weights_sha256
from spike_zoo.records.provenance import config_hash, differences
from spike_zoo.records.result import FILENAME, RunResult
from spike_zoo.records.stored import read_records, store_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FAILURE_FILENAME = "failure.txt"
OUTPUT_FILENAME = "output.txt"
CHECKPOINTS = "checkpoints"

#: Keys that decide nothing where nothing is trained.
OF_FITS = tuple(
    f"trainer.{name}"
    for name in (
        *("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time"),
        *("limit_train_batches", "limit_val_batches", "num_sanity_val_steps"),
        *("val_check_interval", "check_val_every_n_epoch"),
        *("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"),
    )
)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep, before it begins.

    Attributes:
        name: Name among the runs of its sweep: variant, seed and a digest of its other options.
        command: The command that starts it.
        run_dir: Its folder.
        result: The ``result.json`` it will write.
        config: What it computes, complete.
        defaults: Dotted key -> value, for keys that have their default.
        config_hash: Digest of ``config``.
        profile: Its profile.
        data_sha256: Digest of its archive; None where that is not there to be read.
        records: The ``records.jsonl`` that stores its record; None for searches.
        reads: Dotted key of its configuration -> file it begins with, ``*`` for any part of a name.
        begins: Dotted key -> the run of another sweep that makes this file.
        needs_checkpoint: Whether other runs begin with its best checkpoint.
    """

    name: str
    command: tuple[str, ...]
    run_dir: Path
    result: Path
    config: dict[str, Any] = field(repr=False)
    defaults: Mapping[str, Any] = field(repr=False)
    config_hash: str
    profile: str | None
    data_sha256: str | None = None
    records: Path | None = None
    reads: Mapping[str, str] = field(default_factory=dict)
    begins: Mapping[str, PlannedRun] = field(default_factory=dict, repr=False)
    needs_checkpoint: bool = False

    @property
    def is_fit(self) -> bool:
        """Whether it leaves checkpoints."""
        return self.result.parent == self.run_dir

    def makes(self, text: str) -> bool:
        """Return whether a file that another run names is one of its checkpoints."""
        made = self.run_dir.absolute() / CHECKPOINTS
        return made.match(str(Path(text).absolute().parent))

    @property
    def files(self) -> dict[str, str]:
        """What it says of files with ``*`` in their names -> the file that is meant."""
        return {self.reads[key]: str(self._file(key)) for key in self.begins}

    def _file(self, key: str) -> Path:
        if key not in self.begins:
            return Path(self.reads[key])
        return self.begins[key].run_dir / CHECKPOINTS / Path(self.reads[key]).name

    def begins_alike(self, record: RunResult) -> bool:
        """Return whether a record's run began with the weights that this one would begin with."""
        return all(self._is_same_origin(key, record) for key in self.reads)

    def _is_same_origin(self, key: str, record: RunResult) -> bool:
        """Compare weights where both digests are known, else the folders they lie in."""
        file, maker = self._file(key), self.begins.get(key)
        made = record_of(maker) if maker is not None else None
        noted = record.begins_with.get(key, {}).get("sha256")
        wanted = made.checkpoint_sha256 if made is not None else None
        if file.is_file():
            wanted = _weights_sha256(file, file.stat().st_mtime_ns)
        if maker is None or (noted is not None and wanted is not None):
            return noted is None or wanted is None or noted == wanted
        folders = {str(maker.run_dir), str(made.config.get("run_dir")) if made else None}
        path = record.begins_with.get(key, {}).get("path")
        return path is not None and str(Path(path).parent.parent) in folders

    @property
    def failure(self) -> Path:
        """The file that says how the run failed."""
        return self.run_dir / FAILURE_FILENAME

    @property
    def output(self) -> Path:
        """The file with what the run printed."""
        return self.run_dir / OUTPUT_FILENAME


def with_origins(runs: Sequence[PlannedRun], earlier: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return runs that know which runs of earlier sweeps make what they begin with.

    Raises:
        ConfigError: If several of them may have made one file.
    """
    found = []
    for run in runs:
        begins: dict[str, PlannedRun] = {}
        for key, text in run.reads.items():
            makers = [other for other in earlier if other.makes(text)]
            if len(makers) > 1:
                names = ", ".join(other.name for other in makers)
                raise ConfigError(f"{run.name}: {key}: {text} may be of any of {names}")
            if makers:
                begins[key] = makers[0]
        found.append(replace(run, begins=begins))
    return found


def record_of(run: PlannedRun) -> RunResult | None:
    """Return the record of a finished run, made here or stored with the sweep; else None.

    A record counts if it was made with this configuration, profile and data, and began with the
    weights that the run would start from now. A parameter that was added since and has its
    default changes nothing.
    """
    own = _own_record(run)
    if own is None and run.records is not None and not run.needs_checkpoint:
        stored = read_records(run.records).get(run.name)
        return stored.result if stored is not None and _counts(run, stored.result) else None
    kept = [run.run_dir / CHECKPOINTS / name for name in ("best.ckpt", "last.ckpt")]
    if run.needs_checkpoint and not any(file.is_file() for file in kept):
        return None
    return own


def keep_record(run: PlannedRun) -> None:
    """Store the record of a finished run beside the sweep.

    A record that does not count, as one of other data, never replaces a stored one. The caller
    holds the run's lock.
    """
    record = None if run.records is None else _own_record(run)
    if run.records is None or record is None:
        return
    stored = read_records(run.records).get(run.name)
    if stored is None or stored.result != record:
        store_record(run.records, run.name, run.result.parent)


def set_aside(run: PlannedRun) -> None:
    """Rename record and checkpoints of a complete run that does not count, as one on other data.

    A run that resumed them would have nothing left to train, and record old weights as its own.
    """
    if not run.result.is_file():
        return
    checkpoints = run.run_dir / CHECKPOINTS
    if checkpoints.is_dir():
        before = checkpoints.with_name(f"{CHECKPOINTS}.before")
        shutil.rmtree(before, ignore_errors=True)
        checkpoints.rename(before)
    # last: what is made from here on may be interrupted and resumed
    run.result.replace(run.result.with_name(f"{FILENAME}.before"))


def computes_the_same(
    recorded: dict[str, Any],
    wanted: dict[str, Any],
    defaults: Mapping[str, Any],
    *,
    is_fit: bool = True,
) -> bool:
    """Return whether two configurations compute the same, apart from added or removed parameters.

    Args:
        recorded: Complete configuration of a run.
        wanted: Complete configuration of another.
        defaults: Dotted key -> value, for keys of ``wanted`` that stand at their default.
        is_fit: Whether they train; else how that would be done does not count.
    """
    return not differences(recorded, wanted, defaults, apart_from=() if is_fit else OF_FITS)


def _own_record(run: PlannedRun) -> RunResult | None:
    """Return the record in the run's folder if it counts."""
    try:
        record = RunResult.read(run.result)
    except SpikeZooError:  # none yet, or damaged: the run is not finished
        return None
    return record if _counts(run, record) else None


def _counts(run: PlannedRun, record: RunResult) -> bool:
    """Return whether a record is one of this run as it is planned now."""
    if not record.metrics or record.profile != run.profile:
        return False
    if run.data_sha256 is not None and record.data_sha256 != run.data_sha256:
        return False
    is_same = record.config_hash == config_hash(run.config, record.begins_with)
    is_same = is_same or computes_the_same(
        record.config, run.config, run.defaults, is_fit=run.is_fit
    )
    return is_same and run.begins_alike(record)


@lru_cache
def _weights_sha256(file: Path, changed: int) -> str:
    """Return the digest of a file's weights, read once as long as it does not change."""
    return weights_sha256(file)
