"""Building an archive in parallel: every take makes a shard, the shards are copied in order."""

from __future__ import annotations

import contextlib
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from spike_zoo.archive import schema
from spike_zoo.archive.rewriting import copy_unknown_root
from spike_zoo.archive.writer import ArchiveWriter, check_name, write_take
from spike_zoo.errors import MissingItemError, UsageError
from spike_zoo.executor import run_tasks
from spike_zoo.files import check_absent, temporary_path
from spike_zoo.formats.hdf5_writing import new_archive_file, new_group
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from spike_zoo.spikes.take import Take


def build_archive(
    path: str | Path,
    jobs: Mapping[str, Callable[[], Take]],
    *,
    splits: Mapping[str, Sequence[str]] | None = None,
    n_jobs: int = 1,
    cluster: str | None = None,
    origin: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Path:
    """Write an archive of takes made in several processes; the same bytes however many.

    A failure or Ctrl-C leaves nothing behind; what a killed process leaves is removed when the
    archive is built next.

    Args:
        path: The archive.
        jobs: A function without arguments for every name, that makes the take; with ``n_jobs``
            other than 1 it travels to another process.
        splits: Names of each split.
        n_jobs: Processes; 1 runs in this one, -1 takes a process per core.
        cluster: A Dask cluster that makes the takes instead, see
            :func:`spike_zoo.executor.run_tasks`; it must share the archive's folder.
        origin: An archive that is written again; what its root holds beyond the schema is kept.
        progress: Called with takes done and takes in all, after each.
        options: Of :class:`ArchiveWriter`: ``overwrite``, ``compression``, ``bit_layout``,
            ``generator``, ``label_names``.

    Returns:
        The path written.

    Raises:
        UsageError: If the path has another suffix than an archive's.
        ExistingFileError: If the archive exists and ``overwrite`` is off.
        MissingItemError: If a split names a take that no job makes.
        FormatError: E11, if a name is not allowed.
        RecordingError: If the file cannot be written, as on a full disk.
        SpikeZooError: If a worker process was killed.

    Example:
        >>> from functools import partial
        >>> from spike_zoo.simulation import SceneSpec, simulate_take
        >>> small = partial(SceneSpec, planes=41, height=16, width=24)
        >>> jobs = {f"scene{n}": partial(simulate_take, small(seed=n), margin=10) for n in range(2)}
        >>> build_archive("scenes.h5", jobs, splits={"train": ["scene0"], "test": ["scene1"]}).name
        'scenes.h5'
    """
    path = Path(path)
    if path.suffix.lower() not in ARCHIVE_SUFFIXES:
        raise UsageError(
            f"{path}: an archive is read by its suffix, {' or '.join(ARCHIVE_SUFFIXES)}; give "
            f"{path.with_suffix(ARCHIVE_SUFFIXES[0]).name}"
        )
    writer = ArchiveWriter(path, **options)
    check_absent(path, overwrite=writer.overwrite)
    _check_names(jobs, splits or {})
    storage = {"compression": writer.compression, "bit_layout": writer.bit_layout}
    with writer, _shard_folder(path) as folder:
        tasks = [
            partial(_write_shard, folder / f"{number}.h5", name, job, **storage)
            for number, (name, job) in enumerate(jobs.items())
        ]
        finished = run_tasks(tasks, jobs=n_jobs, cluster=cluster, shared=folder)
        # closing stops the processes before their folder goes
        with contextlib.closing(finished):
            for done, _ in enumerate(finished, start=1):
                if progress is not None:
                    progress(done, len(tasks))
        _join(writer, folder, jobs, splits or {})
        if origin is not None:
            copy_unknown_root(writer.file, origin)
    return path


def _join(
    writer: ArchiveWriter,
    folder: Path,
    jobs: Mapping[str, object],
    splits: Mapping[str, Sequence[str]],
) -> None:
    """Copy the shards into the archive in the order of the jobs, whichever was done first."""
    for number, name in enumerate(jobs):
        shard = folder / f"{number}.h5"
        with h5py.File(shard, "r", locking=False) as source:
            writer.copy(source, name, name)
        shard.unlink()
    for split, names in splits.items():
        writer.put_in_split(split, *names)


def _check_names(jobs: Mapping[str, object], splits: Mapping[str, Sequence[str]]) -> None:
    for name in jobs:
        check_name(name, "recording")
    for split, names in splits.items():
        check_name(split, "split")
        lost = [name for name in names if name not in jobs]
        if lost:
            raise MissingItemError(
                f"split {split!r} names {lost[0]!r}, which no job makes",
                path=f"{schema.SPLITS}/{split}",
            )


@contextlib.contextmanager
def _shard_folder(path: Path) -> Iterator[Path]:
    folder = temporary_path(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_shard(path: Path, name: str, job: Callable[[], Take], **storage: Any) -> None:
    """Make one take and write it to a file of its own; runs in a worker process."""
    take = job()
    part = temporary_path(path)
    with new_archive_file(part) as file:
        write_take(new_group(file, name), take, **storage)
    part.replace(path)  # a task that a cluster starts twice replaces a whole file by the same
