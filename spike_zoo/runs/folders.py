"""The folder of a run: which, whose, and nothing left of it where the run did not begin."""

from __future__ import annotations

import contextlib
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.records import run_start as start
from spike_zoo.records.result import PREDICTIONS_FILENAME
from spike_zoo.records.run_start import is_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Passes the folder to the processes that a run starts.
PARENT_RUN_DIR = "SPIKE_ZOO_RUN_DIR"
LOCK_FILENAME = ".lock"  # locked while a run trains in its folder
#: A sweep names here the folder of its run, which it has locked; code that is edited meanwhile
#: cannot send the run elsewhere.
RUN_DIR_VARIABLE = "SPIKE_ZOO_SWEEP_RUN_DIR"
#: Files that a folder may hold before anything is learned or measured.
_BEGINNINGS = {"config.yaml", "hparams.yaml", start.FILENAME}


def folder_of(named: str | None, configs: Sequence[str]) -> tuple[Path, bool]:
    """Return a run's folder, and whether it was named.

    Args:
        named: What the command line says; a new folder below ``runs`` by default.
        configs: Configuration files, as stacked; the first names the new folder.

    Raises:
        UsageError: If a file has that name, or several processes cannot agree on a new folder.
    """
    if named is not None:
        folder = Path(named)
        if folder.is_file():
            raise UsageError(f"--run_dir {named}: a file; name a folder", path=named)
    elif is_child() and PARENT_RUN_DIR in os.environ:
        folder = Path(os.environ[PARENT_RUN_DIR])
    else:
        stem = Path(configs[0]).stem if configs else "run"
        given = shared_id()
        folder = Path("runs", f"{stem}-{given}") if given else _new_folder(stem)
    os.environ[PARENT_RUN_DIR] = str(folder)
    return folder, named is not None


def shared_id() -> str | None:
    """Return the id that a launcher gave all processes of a run; UsageError if it gave none."""
    given = os.environ
    if "WANDB_RUN_ID" in given:
        return given["WANDB_RUN_ID"]
    if int(given.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # srun; a job may have many runs
        return f"{given['SLURM_JOB_ID']}.{given['SLURM_STEP_ID']}"
    if int(given.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in given:
        if given["TORCHELASTIC_RUN_ID"] == "none":  # torchrun's static rendezvous
            raise UsageError(
                "torchrun gave this run no id of its own, by which its processes would agree on a "
                "new folder; name one with --run_dir"
            )
        return given["TORCHELASTIC_RUN_ID"]
    return None


def _new_folder(stem: str) -> Path:
    """Make a folder named after the time; of several runs that begin together each has its own."""
    name = f"{stem}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}"
    Path("runs").mkdir(exist_ok=True)
    number = 1
    while True:
        folder = Path("runs", name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def check_no_predictions(out: Path) -> None:
    """Raise ExistingFileError if ``predict`` would mix its files with an earlier prediction's."""
    if any(out.glob("*.png")) or (out / PREDICTIONS_FILENAME).exists():
        raise ExistingFileError(
            f"{out}: holds an earlier prediction, and pictures of two would be mixed; choose "
            "another --run_dir, or remove the folder",
            path=str(out),
        )


def lock_of(run_dir: Path) -> IO[bytes] | None:
    """Lock a run's folder until the returned file is closed; None where another process has it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    file = (run_dir / LOCK_FILENAME).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextlib.contextmanager
def training_in(run_dir: Path) -> Iterator[None]:
    """Keep other fits out of a run's folder.

    Further processes of the same run, and runs of a sweep, are inside a lock already.

    Raises:
        ExistingFileError: If another fit trains there.
    """
    if is_child() or RUN_DIR_VARIABLE in os.environ:
        yield
        return
    lock = lock_of(run_dir)
    if lock is None:
        raise ExistingFileError(
            f"{run_dir}: another fit is training in this folder; wait for its end, or choose "
            "another --run_dir",
            path=str(run_dir),
        )
    with lock:
        try:
            yield
        finally:
            (run_dir / LOCK_FILENAME).unlink(missing_ok=True)


def remove_beginnings(run_dir: Path, out: Path) -> None:
    """Remove the folders of a run that ended before it learned or measured; other files stay."""
    for folder in dict.fromkeys((out, run_dir)):
        if folder.is_dir() and all(
            path.name in _BEGINNINGS or path.is_dir() for path in folder.rglob("*")
        ):
            _remove(folder)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()
