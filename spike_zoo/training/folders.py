"""Folder of a run: name, lock during training, record of the start, removal after a failure."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from spike_zoo.errors import ExistingFileError, FormatError, UsageError
from spike_zoo.training.provenance import OF_FITS, differences
from spike_zoo.training.result import FILENAME, PREDICTIONS_FILENAME, RunResult
from spike_zoo.utils.files import new_file, open_locked

#: Passes the folder to the processes that a run starts.
PARENT_RUN_DIR = "SPIKE_ZOO_RUN_DIR"
LOCK_FILENAME = ".lock"  # locked during training
#: A sweep passes the folder of a run in this variable and holds the lock of the folder. The folder
#: stays the planned one even if the code is edited before the run starts.
RUN_DIR_VARIABLE = "SPIKE_ZOO_SWEEP_RUN_DIR"
FOLDER, LAST = "checkpoints", "last.ckpt"  # folder of checkpoints, and the last one
START_FILENAME = "start.json"
ARCHIVE = "data.init_args.archive"  # the path may differ: the data are compared by checksum
#: Files that a run writes before training or evaluation starts.
CONFIG = "config.yaml"
_INITIAL_FILES = {CONFIG, "hparams.yaml", START_FILENAME}


def is_child() -> bool:
    """Return whether this process was started by another process of the same run."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


def folder_of(named: str | None, configs: Sequence[str]) -> tuple[Path, bool]:
    """Return the folder of a run, and whether ``--run_dir`` was given (``named``).

    By default it is a new folder in ``runs`` that is named after the first configuration.
    """
    if named is not None:
        folder = Path(named)
        if folder.is_file():
            raise UsageError(f"--run_dir {named}: a file; name a folder", path=named)
    elif is_child() and PARENT_RUN_DIR in os.environ:
        folder = Path(os.environ[PARENT_RUN_DIR])
    else:
        stem = Path(configs[0]).stem if configs else "run"
        run_id = shared_id()
        folder = Path("runs", f"{stem}-{run_id}") if run_id else _new_folder(stem)
    os.environ[PARENT_RUN_DIR] = str(folder)
    return folder, named is not None


def shared_id() -> str | None:
    """Return the id that a launcher gave all processes of a run; None without such a launcher."""
    environment = os.environ
    if "WANDB_RUN_ID" in environment:
        return environment["WANDB_RUN_ID"].replace("/", "-")
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # srun; a job may have many runs
        return f"{environment['SLURM_JOB_ID']}.{environment['SLURM_STEP_ID']}"
    if int(environment.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in environment:
        if environment["TORCHELASTIC_RUN_ID"] == "none":  # torchrun's static rendezvous
            raise UsageError(
                "torchrun gave this run no id, which its processes need to choose the same new "
                "folder; name a folder with --run_dir"
            )
        return environment["TORCHELASTIC_RUN_ID"]
    return None


def _new_folder(stem: str) -> Path:
    """Create a folder named after the UTC time, with a number if it exists already."""
    name = f"{stem}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}"
    Path("runs").mkdir(exist_ok=True)
    for number in itertools.count(1):
        folder = Path("runs", name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


def check_no_earlier_fit(run_dir: Path) -> None:
    """Raise ExistingFileError if a folder has a ``last.ckpt`` or the record of another fit."""
    if (run_dir / FILENAME).exists() and not (run_dir / FOLDER / LAST).exists():
        raise ExistingFileError(
            f"{run_dir}: contains the record of a run, but not its checkpoints; choose another "
            "--run_dir, or remove the folder"
        )
    if (run_dir / FOLDER / LAST).exists():
        raise ExistingFileError(
            f"{run_dir}: contains a run already. Resume it with --ckpt_path last, also with "
            "more --trainer.max_epochs, or choose another --run_dir."
        )


def check_no_predictions(out: Path) -> None:
    """Raise ExistingFileError if the folder contains files of an earlier ``predict``."""
    if any(out.glob("*.png")) or (out / PREDICTIONS_FILENAME).exists():
        raise ExistingFileError.at(
            out,
            "contains the images of an earlier prediction; choose another --run_dir, or remove "
            "the folder",
        )


def check_same_test(
    out: Path, start: RunStart, config: dict[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Raise ExistingFileError if the folder contains the test of other settings, data or weights.

    Newer weights in the same checkpoint, of a fit that became longer, are accepted.
    """
    if not (out / FILENAME).exists():
        return
    record = RunResult.read(out)
    before = RunStart(record.data_sha256, record.begins_with)
    paths = [{k: one.get("path") for k, one in s.begins_with.items()} for s in (before, start)]
    now = replace(start, begins_with=before.begins_with) if paths[0] == paths[1] else start
    has_data = record.data_sha256 and start.data_sha256
    ignored = (*OF_FITS, ARCHIVE) if has_data else OF_FITS
    changed = [
        *before.changes(now),
        *differences(record.config, config, defaults, apart_from=ignored),
    ]
    if changed:
        raise ExistingFileError.at(
            out,
            f"contains the result of another test: {'; '.join(changed)}. Choose another --run_dir, "
            "or remove the folder",
        )


def lock_of(run_dir: Path) -> IO[bytes] | None:
    """Lock a run's folder until the returned file is closed; None if another process holds it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    return open_locked(run_dir / LOCK_FILENAME)


@contextlib.contextmanager
def lock_for_training(run_dir: Path) -> Iterator[None]:
    """Lock a run's folder during training.

    Child processes of a run and runs of a sweep take no lock: their parent holds it.
    """
    if is_child() or RUN_DIR_VARIABLE in os.environ:
        yield
        return
    held = lock_of(run_dir)
    if held is None:
        raise ExistingFileError.at(
            run_dir,
            "another fit is training in this folder; wait until it ends, or choose another "
            "--run_dir",
        )
    with held:
        try:
            yield
        finally:
            (run_dir / LOCK_FILENAME).unlink(missing_ok=True)


def new_folders(run_dir: Path, out: Path) -> list[Path]:
    """Return the folders of a run that are not there yet, or contain no configuration."""
    return [place for place in dict.fromkeys((out, run_dir)) if not (place / CONFIG).exists()]


def remove_failed_run(places: Sequence[Path]) -> None:
    """Remove new folders of a run that failed before training or evaluation.

    A folder with any other file is kept.
    """
    for folder in places:
        if folder.is_dir() and all(
            path.name in _INITIAL_FILES or path.is_dir() for path in folder.rglob("*")
        ):
            shutil.rmtree(folder)


@dataclass(frozen=True)
class RunStart:
    """Digests of the archive and of the checkpoints that the configuration of a run names."""

    data_sha256: str | None = None
    #: Dotted key -> :func:`spike_zoo.training.initial_weights.checkpoint_identity`.
    begins_with: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``start.json`` into a run's folder, atomically."""
        with new_file(folder / START_FILENAME, overwrite=True) as temporary:
            temporary.write_text(f"{json.dumps(asdict(self), indent=2)}\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read ``start.json`` of a run's folder; None without the file."""
        file = folder / START_FILENAME
        if not file.is_file():
            return None
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise FormatError.at(
                file, f"not a record of the start of a run ({error}); start the run again"
            ) from error

    def changes(self, now: RunStart) -> Iterator[str]:
        """Yield a description of each difference between the start of a run and now."""
        if self.data_sha256 and now.data_sha256 and self.data_sha256 != now.data_sha256:
            yield f"the data are {now.data_sha256[:12]}, were {self.data_sha256[:12]}"
        for key in sorted(self.begins_with.keys() | now.begins_with.keys()):
            before, after = (start.begins_with.get(key, {}).get("sha256") for start in (self, now))
            if before != after:
                path = now.begins_with.get(key, self.begins_with.get(key, {})).get("path")
                yield f"{key}: the weights in {path} have changed"
