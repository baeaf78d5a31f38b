"""Parallel build of an archive: each take is written to a file, then the files are joined."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py

from spike_zoo.archive import schema
from spike_zoo.archive.writer import ArchiveWriter, check_name, copy_unknown_root, write_take
from spike_zoo.errors import MissingItemError, UsageError
from spike_zoo.formats.hdf5_writing import new_archive_file
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES
from spike_zoo.spikes.take import Take
from spike_zoo.utils.executor import run_tasks
from spike_zoo.utils.files import check_absent, temporary_path


def build_archive(
    path: str | Path,
    jobs: Mapping[str, Callable[[], Take]],
    *,
    splits: Mapping[str, Sequence[str]] | None = None,
    n_jobs: int = 1,
    cluster: str | None = None,
    origin: Path | None = None,
    part: schema.Part | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Path:
    """Write an archive of takes that are made in parallel; the number of processes has no effect.

    A failure or Ctrl-C removes all temporary files. Temporary files of a killed process are removed
    by the next build of the archive.

    Args:
        path: The archive.
        jobs: Name of each take -> function without arguments that makes the take. If ``n_jobs`` is
            not 1, the function must be picklable.
        splits: Names of each split.
        n_jobs: Number of processes; 1 runs in this process, 0 and -1 use one process per core.
        cluster: A Dask cluster that makes the takes instead, see
            :func:`spike_zoo.utils.executor.run_tasks`; it must share the archive's folder.
        origin: An archive that is rewritten; parts of its root outside the schema are copied.
        part: Place of this archive among those of one build, for :func:`open_archive`.
        progress: Called after each take with the number of finished takes and of all takes.
        options: Arguments of :class:`ArchiveWriter`: ``overwrite``, ``compression``,
            ``bit_layout``, ``generator``, ``label_names``.

    Returns:
        The path.

    Raises:
        UsageError: If the suffix of the path is not that of an archive.
        ExistingFileError: If the archive exists and ``overwrite`` is False.
        MissingItemError: If a split contains a take without a job.
        FormatError: E11, if a name is not allowed.
        RecordingError: If the file cannot be written, for example because the disk is full.
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
            f"{path}: the suffix of an archive must be {' or '.join(ARCHIVE_SUFFIXES)}; use "
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
        # closing stops the processes before their folder is removed
        with contextlib.closing(finished):
            for done, _ in enumerate(finished, start=1):
                if progress is not None:
                    progress(done, len(tasks))
        _join(writer, folder, jobs, splits or {})
        if part is not None:
            writer.file.attrs[schema.PART] = str(part)
        if origin is not None:
            copy_unknown_root(writer.file, origin)
    return path


def _join(
    writer: ArchiveWriter,
    folder: Path,
    jobs: Mapping[str, object],
    splits: Mapping[str, Sequence[str]],
) -> None:
    """Copy the files of the takes into the archive in the order of the jobs."""
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
                f"split {split!r} names {lost[0]!r}, but there is no job for it",
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
    """Make one take and write it to a separate file; runs in a worker process."""
    take = job()
    part = temporary_path(path)
    with new_archive_file(part) as file:
        write_take(file, name, take, **storage)
    part.replace(path)  # atomic: a cluster may run a task twice
