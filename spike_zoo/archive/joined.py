"""Several archives read as one: a list of files, or a pattern such as ``data/part-*.h5``."""

from __future__ import annotations

import glob
import os
from collections import OrderedDict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.archive.contents import missing_split
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.formats.hdf5_recording import missing_recording
from spike_zoo.formats.remote import is_address
from spike_zoo.utils.files import natural_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_MAX_OPEN: Final = 64  # files that are kept open
_BY_NAME: Final = (
    *("__getitem__", "facts", "read_packed", "images", "image", "image_index", "motion"),
    *("around_index", "image_motion", "blur", "blurry_image", "image_size", "picture_sizes"),
    *("blur_span", "label", "take"),
)


def open_archive(source: str | Path | Sequence[str | Path]) -> SpikeArchive:
    """Open one archive, or several that are read as one.

    Args:
        source: A file, an address, a pattern such as ``data/part-*.h5``, or a list of these.

    Raises:
        MissingFileError: If a file does not exist, or no file matches a pattern.
        FormatError: If a file is not an archive, or two of them have a recording of one name or
            different classes.
    """
    files = archive_files(source)
    return SpikeArchive(files[0]) if len(files) == 1 else JoinedArchive(files)


def archive_files(source: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """Return the files and addresses of an archive, without checking that they exist."""
    listed = [source] if isinstance(source, str | Path) else source
    return list(chain.from_iterable(map(_matching, listed)))


def _matching(source: str | Path) -> list[str | Path]:
    if is_address(source) or not glob.has_magic(str(source)) or Path(source).exists():
        return [source if is_address(source) else Path(source)]
    names = glob.glob(str(source), recursive=True)  # noqa: PTH207  (also absolute)
    files = sorted(map(Path, names), key=natural_order)
    if not files:
        raise MissingFileError.at(source, "no archive matches this pattern")
    return list(files)


class JoinedArchive(SpikeArchive):
    """Reader of several archives with different recordings as one archive.

    Args:
        paths: Files or addresses, in the order of their recordings.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._archives: list[SpikeArchive] = []
        self._open: OrderedDict[int, None] = OrderedDict()
        self._where: dict[str, int] = {}
        self._splits: dict[str, list[str]] = {}
        for number, path in enumerate(paths):
            archive = SpikeArchive(path)
            self._archives.append(archive)
            self._use(number)
            for name in archive.names():
                if name in self._where:
                    other = self._archives[self._where[name]].path
                    raise FormatError.at(
                        archive.path,
                        f"recording {name!r} is in {other} too; archives that are read as one "
                        "need recordings of different names",
                    )
                self._where[name] = number
            for split in archive.splits():
                self._splits.setdefault(split, []).extend(archive.names(split))
            if number == 0:
                self._label_names = archive.label_names
            if archive.label_names != self._label_names:
                raise FormatError.at(
                    archive.path, f"has other classes than {self._archives[0].path}"
                )

    @property
    def path(self) -> Path:
        """The folder that contains all files."""
        parents = [archive.path.absolute().parent for archive in self._archives]
        return Path(os.path.commonpath(parents))

    def close(self) -> None:
        """Close all files in this process."""
        for archive in self._archives:
            archive.close()
        self._open.clear()

    def check_unchanged(self) -> None:
        """Raise RecordingError if a file was replaced, modified or removed."""
        for archive in self._archives:
            archive.check_unchanged()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def names(self, split: str | None = None) -> list[str]:
        """Return the names of all recordings, or of one split, file by file."""
        if split is None:
            return list(self._where)
        if split not in self._splits:
            raise missing_split(self.path, split, self.splits())
        return list(self._splits[split])

    def splits(self) -> list[str]:
        """Return the names of the splits."""
        return list(self._splits)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes by class index; empty if the archives have none."""
        return self._label_names

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def _content_rows(self, names: set[str]) -> dict[str, list[Any]]:
        rows: dict[str, list[Any]] = {}
        for number, archive in enumerate(self._archives):
            self._use(number)
            rows |= archive._content_rows(names.intersection(archive))
        return rows

    def _use(self, number: int) -> SpikeArchive:
        """Return an archive; close the least recently used one above the limit."""
        self._open[number] = None
        self._open.move_to_end(number)
        if len(self._open) > _MAX_OPEN:
            self._archives[self._open.popitem(last=False)[0]].close()
        return self._archives[number]


def _delegate(method: str) -> Callable[..., Any]:
    """Return a method that calls the method of the archive that contains the recording."""

    def call(self: JoinedArchive, name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  (the archive's)
        if name not in self:
            raise missing_recording(self.path, name, self.names())
        return getattr(self._use(self._where[name]), method)(name, *arguments, **options)

    call.__doc__ = getattr(SpikeArchive, method).__doc__
    return call


for _method in _BY_NAME:
    setattr(JoinedArchive, _method, _delegate(_method))
