"""Index of a sharded archive: the file and the metadata of each recording.

``index.json`` is a JSON array with one element per line, so that one recording can be parsed
without the others: first the files and splits, then for each recording its name, the number of its
file and its row in the table of contents.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.files import new_file
from spike_zoo.formats.remote import fetch_shard, is_remote
from spike_zoo.formats.remote_files import INDEX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VERSION: Final = 1


def is_sharded(path: str | Path) -> bool:
    """Return whether a path is a folder with the index of an archive."""
    return (Path(path) / INDEX).is_file()


def write_index(
    folder: Path,
    files: Sequence[str],
    rows: Iterable[Sequence[Any]],
    splits: Mapping[str, Sequence[str]],
    label_names: Sequence[str],
) -> None:
    """Write or replace the index of a folder.

    Args:
        folder: The folder of the files.
        files: Names of the files.
        rows: For each recording its name, the number of its file, and its row in the table of
            contents.
        splits: Names of each split.
        label_names: Names of the classes by class index.
    """
    head = {
        "version": VERSION,
        "files": {name: (folder / name).stat().st_size for name in files},
        "splits": {split: list(names) for split, names in splits.items()},
        "label_names": list(label_names),
    }
    lines = [json.dumps(head), *(json.dumps(row) for row in rows)]
    with new_file(folder / INDEX, overwrite=True) as part:
        part.write_text("[" + ",\n".join(lines) + "\n]\n", encoding="ascii")


class ShardIndex:
    """Reader of an index, which parses lines on demand.

    Args:
        folder: The folder of the index.

    Raises:
        MissingFileError: If the index or one of the files does not exist.
        FormatError: If the index is damaged or of another version, or a file has another size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / INDEX
        if not path.is_file():
            raise MissingFileError.at(
                folder,
                f"a folder without {INDEX} is not an archive; if a build with --shards was "
                "stopped, the same command builds the missing files",
            )
        self._lines = path.read_bytes().split(b"\n")
        try:
            head = json.loads(self._lines[0].removeprefix(b"[").removesuffix(b","))
            version, sizes = head["version"], dict(head["files"])
            self.splits: dict[str, list[str]] = dict(head["splits"])
            if not all(isinstance(listed, list) for listed in self.splits.values()):
                raise TypeError("a split is not a list of names")
            self.label_names = tuple(head["label_names"])
            self._where = {
                self._name_in(self._lines[number]): number
                for number in range(1, len(self._lines) - 2)
            }
        except (ValueError, LookupError, TypeError) as error:
            raise FormatError.at(path, f"damaged ({error}); build it again") from error
        if version != VERSION:
            raise FormatError(f"{path}: version {version}, this package reads {VERSION}")
        self.files: list[str] = list(sizes)
        self._numbers: dict[str, int] = {}  # cache of the file numbers of recordings
        self._sizes = sizes
        self._check_files(sizes)

    def _check_files(self, sizes: Mapping[str, object]) -> None:
        for name, size in sizes.items():
            file = self.folder / name
            if Path(name).name != name:
                raise FormatError(f"{self.folder / INDEX}: {name!r} is not in this folder")
            if not file.is_file():
                if is_remote(self.folder):
                    continue  # copied when it is read
                raise MissingFileError.at(
                    file,
                    "this part of the archive is missing; copy it again, or build it with "
                    "the command that built the archive",
                )
            if file.stat().st_size != size:
                raise FormatError.at(
                    file,
                    f"has {file.stat().st_size} bytes and not the {size} of {INDEX}: it is "
                    "truncated or from another build; copy or build it again",
                )

    @staticmethod
    def _name_in(line: bytes) -> str:
        start = line.index(b'"') + 1
        return line[start : line.index(b'"', start)].decode("ascii")

    def names(self) -> list[str]:
        """Return the names of all recordings in the order of the index."""
        return list(self._where)

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def row(self, name: str) -> list[Any]:
        """Return the line of a recording: name, number of the file, row in the table of contents.

        Raises:
            FormatError: If the line is damaged.
        """
        line = self._lines[self._where[name]]
        try:
            row = json.loads(line.removesuffix(b","))
            if not (isinstance(row, list) and row[0] == name and row[1] in range(len(self.files))):
                raise ValueError("not a row of this recording")
        except (ValueError, LookupError, TypeError) as error:
            raise FormatError(f"{self.folder / INDEX}: {name}: damaged ({error})") from error
        return row

    def number_of(self, name: str) -> int:
        """Return the number of the file with a recording.

        Raises:
            MissingItemError: If the archive has no such recording.
        """
        if name not in self._numbers:
            if name not in self._where:
                from spike_zoo.formats.hdf5_recording import missing_recording

                raise missing_recording(self.folder, name, self.names())
            self._numbers[name] = self.row(name)[1]
        return self._numbers[name]

    def file_of(self, name: str) -> Path:
        """Return the file with a recording, copied if it is remote; errors as :meth:`number_of`."""
        file = self.folder / self.files[self.number_of(name)]
        if is_remote(self.folder):
            fetch_shard(file, self._sizes[file.name])
        return file

    def only_name(self) -> str:
        """Return the name of the only recording.

        Raises:
            MissingItemError: If the archive does not have exactly one recording.
        """
        names = self.names()
        if len(names) != 1:
            from spike_zoo.formats.hdf5_recording import missing_recording

            raise missing_recording(self.folder, None, names)
        return names[0]
