"""Several archives read as one: a list of files, or a pattern such as ``data/part-*.h5``."""

import glob
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final

from spike_zoo.archive.contents import missing_split
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.archive.schema import Finding, Part
from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.formats.hdf5_recording import missing_recording
from spike_zoo.formats.remote import is_address
from spike_zoo.utils.files import natural_order

_MAX_OPEN: Final = 64  # files that are kept open
_MAX_NAMED: Final = 5
_BY_NAME: Final = (
    *("__getitem__", "facts", "read_packed", "images", "image", "image_index", "motion"),
    *("around_index", "image_motion", "blur", "blurry_image", "image_size", "image_sizes"),
    *("blur_span", "label", "take"),
)


def open_archive(source: str | Path | Sequence[str | Path]) -> SpikeArchive:
    """Open one archive, or several that are read as one.

    Args:
        source: A file, an address, a pattern such as ``data/part-*.h5``, or a list of these.

    Raises:
        MissingFileError: If a file does not exist, or no file matches a pattern.
        FormatError: If a file is not an archive, two of them have a recording of one name or
            different classes, or the files of a pattern are parts of different builds or not all
            parts of one (``archive build --shards``).
    """
    sources = [source] if isinstance(source, str | Path) else source
    groups = list(map(_matching, sources))
    files = list(chain.from_iterable(groups))
    archive = SpikeArchive(files[0]) if len(files) == 1 else JoinedArchive(files)
    parts = iter(archive.parts)
    builds: dict[object, dict[str | Path, Part | None]] = {}
    patterns: dict[object, str | Path] = {}  # build -> the pattern of some of its files
    for item, group in zip(sources, groups, strict=True):
        own = {file: next(parts) for file in group}
        if _is_pattern(item) and (problem := _part_conflict(own)):
            raise FormatError.at(item, problem)
        for file, part in own.items():
            builds.setdefault(part and part[1:], {})[file] = part
            if _is_pattern(item):
                patterns[part and part[1:]] = item
    for build, own in builds.items():
        if problem := _missing_parts(own):
            if build in patterns:
                raise FormatError.at(patterns[build], problem)
            # files that are named may be some parts on purpose
            warnings.warn(f"{next(iter(own))}: {problem}", stacklevel=2)
    return archive


def archive_files(source: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """Return the files and addresses of an archive, without checking that they exist."""
    sources = [source] if isinstance(source, str | Path) else source
    return list(chain.from_iterable(map(_matching, sources)))


def _is_pattern(source: str | Path) -> bool:
    is_magic = not is_address(source) and glob.has_magic(str(source))
    return is_magic and not Path(source).exists()


def _part_conflict(parts: Mapping[str | Path, Part | None]) -> str | None:
    """Describe why files are not different parts of one build; None if they are, or no parts."""
    parts_by_file = {file: part for file, part in parts.items() if part is not None}
    files: dict[Part, str | Path] = {}
    for file, part in parts_by_file.items():
        if (first := files.setdefault(part, file)) != file:
            return f"{first} and {file} are both part {part.number} of {part.total}; remove one"
    for (first, one), (file, other) in pairwise(parts_by_file.items()):
        if one[1:] != other[1:]:
            return (
                f"{first} (part {one.number} of {one.total}) and {file} (part {other.number} of "
                f"{other.total}) were built from other recordings or with other options; remove "
                "the files of the older build, or list a pattern for the files of each build"
            )
    return None


def _missing_parts(parts: Mapping[str | Path, Part | None]) -> str | None:
    """Describe which parts of a build are not among files; None if all are, or for no parts."""
    for part in filter(None, list(parts.values())[:1]):
        numbers = {each.number for each in parts.values() if each}
        missing = sorted({*range(1, part.total + 1)} - numbers)
        if missing:
            more = f" and {len(missing) - _MAX_NAMED} more" if missing[_MAX_NAMED:] else ""
            return (
                f"part {', '.join(map(str, missing[:_MAX_NAMED]))}{more} of {part.total} is "
                f"missing; copy it, or write it with 'archive build --shards {missing[0]}/"
                f"{part.total}' and the options of the others"
            )
    return None


def _matching(source: str | Path) -> list[str | Path]:
    if not _is_pattern(source):
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
        self._parts: list[Part | None] = []
        for number, path in enumerate(paths):
            archive = SpikeArchive(path)
            self._archives.append(archive)
            self._use(number)
            self._parts += archive.parts
            for name in archive.names():
                if name in self._where:
                    self._raise_of_same_name(name, number)
                self._where[name] = number
            for split in archive.splits():
                self._splits.setdefault(split, []).extend(archive.names(split))
            if number == 0:
                self._label_names = archive.label_names
            if archive.label_names != self._label_names:
                raise FormatError.at(
                    archive.path, f"has other classes than {self._archives[0].path}"
                )

    def _raise_of_same_name(self, name: str, number: int) -> None:
        first = self._where[name]
        files: dict[str | Path, Part | None] = {
            self._archives[each].path: self._parts[each] for each in (first, number)
        }
        advice = "archives that are read as one need recordings of different names"
        if None not in files.values() and len(files) > 1:
            advice = _part_conflict(files) or advice
        other = self._archives[first].path
        raise FormatError.at(
            self._archives[number].path, f"recording {name!r} is in {other} too; {advice}"
        )

    @property
    def path(self) -> Path:
        """The folder that contains all files."""
        parents = [archive.path.absolute().parent for archive in self._archives]
        return Path(os.path.commonpath(parents))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(archive.size for archive in self._archives)

    @property
    def parts(self) -> list[Part | None]:
        """Place of each file among those of its build (``archive build --shards``)."""
        return self._parts

    def verify(self) -> list[Finding]:
        """Check all rules and checksums of each file; paths of findings start with the file."""
        return [
            replace(finding, path=f"{archive.path}: {finding.path}")
            for archive in self._archives
            for finding in archive.verify()
        ]

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
