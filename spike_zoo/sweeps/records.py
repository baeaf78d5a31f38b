"""Which runs of a sweep are finished: their records, where they were made and where they last."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_zoo.errors import SpikeZooError
from spike_zoo.tracking.provenance import computed_part
from spike_zoo.tracking.result import FILENAME, PER_IMAGE_FILENAME, RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FAILURE_FILENAME = "failure.txt"
OUTPUT_FILENAME = "output.txt"
LOCK_FILENAME = ".lock"
CHECKPOINTS = "checkpoints"
#: Tells a run of a sweep its folder, so that code edited meanwhile cannot send it elsewhere.
RUN_DIR_VARIABLE = "SPIKE_ZOO_SWEEP_RUN_DIR"
#: Tells it the files that it begins with: what its configuration says -> the file, as JSON.
FILES_VARIABLE = "SPIKE_ZOO_SWEEP_FILES"
#: File of a run -> its name among the kept ones; checkpoints are too large to keep.
KEPT_FILES = {
    PER_IMAGE_FILENAME: PER_IMAGE_FILENAME,
    "metrics.csv": "metrics.csv",
    "images/test-0.png": "sample.png",
}


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep, before it begins.

    Attributes:
        name: Name among the runs of its sweep: variant, seed and a digest of its other options.
        command: The command that starts it.
        run_dir: Its folder.
        result: The ``result.json`` it will write.
        config: What it computes, complete.
        defaults: Dotted key -> value, for keys that stand at their default.
        config_hash: Digest of ``config``.
        profile: Its profile.
        data_sha256: Digest of its archive; None where that is not there to be read.
        kept: Folder in which its record lasts; None where it does not.
        reads: Files it begins with, ``*`` for any part of a name.
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
    kept: Path | None = None
    reads: tuple[str, ...] = ()
    needs_checkpoint: bool = False

    @property
    def is_fit(self) -> bool:
        """Whether it leaves checkpoints."""
        return self.result.parent == self.run_dir

    def begins_with(self, other: PlannedRun) -> bool:
        """Return whether it reads a checkpoint that another run makes."""
        made = other.run_dir.absolute() / CHECKPOINTS
        return any(made.match(str(Path(text).absolute().parent)) for text in self.reads)

    @property
    def failure(self) -> Path:
        """The file that says how the run failed."""
        return self.run_dir / FAILURE_FILENAME

    @property
    def output(self) -> Path:
        """The file with what the run printed."""
        return self.run_dir / OUTPUT_FILENAME


def record_of(run: PlannedRun) -> RunResult | None:
    """Return the record of a finished run, made here or kept with the sweep; else None.

    A record counts if it was made with this configuration, profile and data. A parameter that was
    added since and stands at its default changes nothing.
    """
    own = _matching(run, run.result)
    if own is None and run.kept is not None and not run.needs_checkpoint:
        return _matching(run, run.kept / FILENAME)
    if own is not None and run.needs_checkpoint and not _best_checkpoint(run).is_file():
        return None
    return own


def keep_record(run: PlannedRun) -> None:
    """Copy the small files of a finished run to where they last, once; the record comes last."""
    if run.kept is None or not run.result.is_file():
        return
    kept = run.kept / FILENAME
    if kept.is_file() and kept.read_bytes() == run.result.read_bytes():
        return
    part = run.kept.with_name(f".{run.kept.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for source, name in KEPT_FILES.items():
        if (file := run.result.parent / source).is_file():
            shutil.copyfile(file, part / name)
    shutil.copyfile(run.result, part / FILENAME)
    shutil.rmtree(run.kept, ignore_errors=True)
    part.replace(run.kept)


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
    recorded: dict[str, Any], wanted: dict[str, Any], defaults: Mapping[str, Any]
) -> bool:
    """Tell whether two configurations compute the same, whatever parameters came in between.

    Args:
        recorded: Complete configuration of a run.
        wanted: Complete configuration of another.
        defaults: Dotted key -> value, for keys of ``wanted`` that stand at their default.
    """
    before, now = (dict(_leaves(computed_part(config))) for config in (recorded, wanted))
    if any(key in before and not _is_same(before[key], value) for key, value in now.items()):
        return False
    if not all(key in defaults for key in now.keys() - before.keys()):
        return False
    return all(key.startswith("trainer.") for key in before.keys() - now.keys())


def _is_same(recorded: Any, wanted: Any) -> bool:  # noqa: ANN401  (any YAML value)
    """Compare values; a text with names in braces is any file that it may have stood for."""
    if isinstance(wanted, str) and isinstance(recorded, str) and "{" in wanted:
        return recorded == wanted or fnmatchcase(recorded, re.sub(r"\{\w*\}", "*", wanted))
    return bool(recorded == wanted)


def _matching(run: PlannedRun, file: Path) -> RunResult | None:
    try:
        record = RunResult.read(file)
    except SpikeZooError:  # none yet, or damaged: the run is not finished
        return None
    if not record.metrics or record.profile != run.profile:
        return None
    if run.data_sha256 is not None and record.data_sha256 != run.data_sha256:
        return None
    is_same = record.config_hash == run.config_hash
    is_same = is_same or computes_the_same(record.config, run.config, run.defaults)
    return record if is_same else None


def _best_checkpoint(run: PlannedRun) -> Path:
    folder = run.run_dir / CHECKPOINTS
    best = folder / "best.ckpt"
    return best if best.is_file() else folder / "last.ckpt"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  (any YAML value)
    """Yield every dotted key with its value; lists are values."""
    if not isinstance(value, dict):
        yield key, value
        return
    for name, inner in value.items():
        yield from _leaves(inner, f"{key}.{name}" if key else str(name))
