"""Sharded archives: folders of HDF5 archives with an index, built in parallel and read as one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.archive import schema
from spike_zoo.archive.build import build_archive
from spike_zoo.archive.contents import IndexRow, digest_of, index_rows
from spike_zoo.archive.datasets import missing_split
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.archive.validate import verify_archive
from spike_zoo.errors import ExistingFileError, FormatError, UsageError
from spike_zoo.formats.hdf5 import Hdf5File
from spike_zoo.formats.hdf5_recording import missing_recording
from spike_zoo.formats.remote import local_path
from spike_zoo.formats.remote_files import INDEX
from spike_zoo.formats.shards import ShardIndex, write_index

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spike_zoo.archive.contents import Facts
    from spike_zoo.archive.schema import Finding
    from spike_zoo.spikes import Take

_MOST_OPEN: Final = 16  # files that are kept open
_BY_NAME: Final = (
    *("__getitem__", "read_packed", "images", "image", "image_index", "motion", "around_index"),
    *("image_motion", "blur", "blurry_image", "image_size", "picture_sizes", "blur_span"),
    *("label", "take"),
)


class ShardedArchive(SpikeArchive):
    """Reader of a folder of archives with an index; ``SpikeArchive(folder)`` creates it.

    Args:
        path: The folder.

    Raises:
        MissingFileError: If the index or a file is missing.
        FormatError: If the index is damaged, or a file differs from the index.
    """

    def __init__(self, path: str | Path) -> None:
        self._index = ShardIndex(local_path(path))
        self._open: OrderedDict[str, SpikeArchive] = OrderedDict()

    @property
    def path(self) -> Path:
        """The folder."""
        return self._index.folder

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum((self.path / name).stat().st_size for name in (*self._index.files, INDEX))

    def close(self) -> None:
        """Close all files in this process."""
        for archive in self._open.values():
            archive.close()
        self._open.clear()

    def check_unchanged(self) -> None:
        """Raise FormatError or MissingFileError if a file was replaced or removed."""
        ShardIndex(self.path)
        for archive in self._open.values():
            archive.check_unchanged()

    def __getstate__(self) -> dict[str, Any]:
        return {"_index": self._index, "_open": OrderedDict()}

    def names(self, split: str | None = None) -> list[str]:
        """Return the names of all recordings, or of one split, as :meth:`SpikeArchive.names`."""
        if split is None:
            return self._index.names()
        if split not in self._index.splits:
            raise missing_split(self.path, split, self.splits())
        return list(self._index.splits[split])

    def splits(self) -> list[str]:
        """Return the names of the splits."""
        return list(self._index.splits)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes by class index; empty if the archive has none."""
        return self._index.label_names

    def __len__(self) -> int:
        return len(self._index.names())

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def facts(self, name: str) -> Facts:
        """Return the metadata of a recording from the index."""
        self._require(name)
        row = self._index.row(name)
        try:
            return IndexRow(*row[2:]).facts
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise FormatError(f"{self.path / INDEX}: {name}: damaged ({error})") from error

    def verify(self, *, deep: bool = True) -> list[Finding]:
        """Check all rules of the schema in all files, and the index."""
        return verify_shards(self.path, deep=deep)

    def data_sha256(self, split: str | None = None) -> str:
        """Return the digest of the contents, equal to that of one file with all recordings."""
        parts = self.splits() if split is None else [split]
        rows = [self._index.row(name)[2] for name in sorted(self.names(split))]
        return digest_of(rows, {part: self.names(part) for part in parts})

    def file_numbers(self, names: Sequence[str]) -> list[int] | None:
        """Return the number of the file of each recording; None if all files stay open."""
        if len(self._index.files) <= _MOST_OPEN:
            return None
        return [self._index.number_of(name) for name in names]

    def _require(self, name: str) -> None:
        if name not in self._index:
            raise missing_recording(self.path, name, self.names())

    def _archive_of(self, name: str) -> SpikeArchive:
        """Open the file of a recording; close the least recently used one above the limit."""
        file = self._index.files[self._index.number_of(name)]
        if file not in self._open:
            self._open[file] = SpikeArchive(self._index.file_of(name))
        self._open.move_to_end(file)
        if len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        return self._open[file]


def _delegate(method: str) -> Callable[..., Any]:
    """Return a method that calls the method of the file that contains the recording."""

    def call(self: ShardedArchive, name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  (the archive's)
        return getattr(self._archive_of(name), method)(name, *arguments, **options)

    call.__doc__ = getattr(SpikeArchive, method).__doc__
    return call


for _method in _BY_NAME:
    setattr(ShardedArchive, _method, _delegate(_method))


def parse_shards(text: str) -> tuple[int, int | None]:
    """Parse "16" or "3/16" into the number of files and the file to build; None for all files.

    Raises:
        UsageError: If the text has another form.
    """
    part, slash, count = text.rpartition("/")
    try:
        number, total = int(part) if slash else None, int(count)
    except ValueError:
        number, total = 0, 0
    if total < 1 or (number is not None and not 1 <= number <= total):
        raise UsageError(f"--shards {text}: expected N, or K/N with K from 1 to N")
    return total, number


def build_shards(
    path: str | Path,
    jobs: Mapping[str, Callable[[], Take]],
    shards: str,
    *,
    splits: Mapping[str, Sequence[str]] | None = None,
    label_names: Sequence[str] = (),
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Path:
    """Write an archive as a folder of files with an index.

    Existing files are kept, so an interrupted build can be resumed, and several processes can build
    different files. The process that completes the last file writes the index.

    Args:
        path: The folder.
        jobs: As for :func:`build_archive`.
        shards: Number of files, such as ``"16"``; or one of them, such as ``"3/16"``.
        splits: As for :func:`build_archive`.
        label_names: Names of the classes by class index.
        overwrite: Rebuild existing files.
        progress: Called with the number of finished takes and of all takes.
        options: Other arguments of :func:`build_archive`.

    Returns:
        The folder.

    Raises:
        UsageError: If there are fewer recordings than files.
        ExistingFileError: If the archive is complete, or a file contains other recordings.
    """
    folder, (count, only) = Path(path), parse_shards(shards)
    if (folder / INDEX).exists() and not overwrite:
        raise ExistingFileError(f"{folder} exists already; pass --overwrite to replace it")
    if len(jobs) < count:
        raise UsageError(f"--shards {shards}: there are {len(jobs)} recordings; use fewer files")
    parts = _distribute(list(jobs), count)
    files = list(parts) if only is None else [f"{only - 1:03d}.h5"]
    total, done = sum(len(parts[file]) for file in files), 0
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        if overwrite or not _is_built(folder / file, parts[file]):
            build_archive(
                folder / file,
                {name: jobs[name] for name in parts[file]},
                splits=_restrict(splits or {}, set(parts[file])),
                label_names=label_names,
                overwrite=overwrite,
                progress=None if progress is None else partial(_add, progress, done, total),
                **options,
            )
        done += len(parts[file])
    if all(_is_built(folder / file, part) for file, part in parts.items()):
        rows = (
            [row.content[0], number, *row]
            for number, file in enumerate(parts)
            for row in _rows_of(folder / file)
        )
        write_index(folder, list(parts), rows, splits or {}, label_names)
    return folder


def verify_shards(
    folder: Path, *, deep: bool = True, jobs: int = 1, cluster: str | None = None
) -> list[Finding]:
    """Return the findings of all files, and rows of the index that differ from the files.

    Args:
        folder: The archive.
        deep: Read all data and compare the checksums.
        jobs: Number of processes; -1 uses one per core.
        cluster: A Dask cluster instead, see :func:`spike_zoo.executor.run_tasks`.
    """
    try:
        index = ShardIndex(folder)
    except FormatError as error:
        return [schema.Finding("E01", INDEX, error.message)]
    findings = []
    for number, file in enumerate(index.files):
        of_file = verify_archive(folder / file, deep=deep, jobs=jobs, cluster=cluster)
        findings += [replace(finding, path=f"{file}:{finding.path}") for finding in of_file]
        if any(finding.severity == "error" for finding in of_file):
            continue
        for row in _rows_of(folder / file):
            name = row.content[0]
            if name not in index or index.row(name)[1:] != [number, *row]:
                findings.append(schema.Finding("E06", INDEX, f"{name} differs from {file}"))
    return findings


def _distribute(names: list[str], count: int) -> dict[str, list[str]]:
    """Distribute recordings over files: name of each file -> its recordings."""
    edges = [len(names) * k // count for k in range(count + 1)]
    return {f"{k:03d}.h5": names[edges[k] : edges[k + 1]] for k in range(count)}


def _is_built(file: Path, names: list[str]) -> bool:
    """Return whether a file exists; raise if it does not contain exactly the given recordings."""
    if not file.exists():
        return False
    with SpikeArchive(file) as archive:
        if sorted(archive.names()) != sorted(names):
            raise ExistingFileError(
                f"{file} contains other recordings than this build would write into it; build "
                "into another folder, or pass --overwrite to replace it",
                path=str(file),
            )
    return True


def _rows_of(path: Path) -> list[IndexRow]:
    with Hdf5File(path) as file:
        return index_rows(file)


def _restrict(splits: Mapping[str, Sequence[str]], names: set[str]) -> dict[str, list[str]]:
    """Restrict splits to some recordings; drop empty ones."""
    kept = {split: [name for name in listed if name in names] for split, listed in splits.items()}
    return {split: listed for split, listed in kept.items() if listed}


def _add(progress: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)
