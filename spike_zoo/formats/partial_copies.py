"""Local copies of remote files that are fetched in blocks on demand."""

from __future__ import annotations

import gc
import io
import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import FormatError, MissingFileError, RecordingError, SpikeZooError
from spike_zoo.files import new_file
from spike_zoo.formats.remote_files import MARKER, file_system, make_room, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK: Final = 1 << 23
"""Bytes of a block."""
_FETCHED: Final = b"1"

failures: Final[dict[Path, SpikeZooError]] = {}
"""The last error of a :class:`BlockReader` of each path."""


class PartialCopy:
    """A sparse file of full size, whose blocks are fetched before they are read.

    Several processes may share a copy. When all blocks are fetched, the marker file is deleted, and
    the copy is an ordinary file.

    Args:
        path: The copy.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._marker = _marker_of(path)

    def fetch(self, start: int, stop: int) -> None:
        """Fetch the missing blocks of bytes ``[start, stop)``.

        Raises:
            MissingFileError: If the remote file cannot be read, or the copy was removed.
            RecordingError: If the remote file has changed since the copy was started.
        """
        try:
            marker = self._marker.open("r+b")
        except FileNotFoundError as error:
            if self.path.exists():  # complete
                return
            raise MissingFileError.at(
                self.path,
                "was removed from the cache while it was read; set "
                "SPIKE_ZOO_CACHE_GB to more than the total size of the files in use",
            ) from error
        with marker:
            source = json.loads(marker.readline())
            place = marker.tell()
            first, last = start // BLOCK, -(-min(stop, source["size"]) // BLOCK)
            marker.seek(place + first)
            flags = marker.read(max(last - first, 0))
            missing = [first + n for n, flag in enumerate(flags) if flag != _FETCHED[0]]
            if not missing:
                return
            self._fetch(missing, source)
            for number in missing:
                marker.seek(place + number)
                marker.write(_FETCHED)
            marker.flush()
            marker.seek(place)
            if marker.read().count(_FETCHED) == -(-source["size"] // BLOCK):
                self._marker.unlink(missing_ok=True)

    def _fetch(self, missing: list[int], source: Mapping[str, Any]) -> None:
        address, size = source["address"], source["size"]
        system, inside = file_system(address)
        try:
            if version_of(system.info(inside)) != source["version"]:
                raise RecordingError(
                    f"{address}: has changed while it was read; start again", path=address
                )
            with self.path.open("r+b") as copy:
                for _, run in groupby(enumerate(missing), lambda pair: pair[1] - pair[0]):
                    blocks = [number for _, number in run]
                    start, stop = blocks[0] * BLOCK, min((blocks[-1] + 1) * BLOCK, size)
                    data = system.cat_file(inside, start=start, end=stop)
                    if len(data) != stop - start:
                        raise FormatError(f"{address}: ends before byte {stop}", path=address)
                    copy.seek(start)
                    copy.write(data)
        except OSError as error:
            raise MissingFileError(f"{address}: cannot be read ({error})", path=address) from error
        make_room(self.path)


def partial_copy(path: Path) -> PartialCopy | None:
    """Return the incomplete copy of a remote file at a path; None for other files."""
    return PartialCopy(path) if _marker_of(path).is_file() else None


def has_blocks(system: Any, inside: str, size: int | None) -> bool:  # noqa: ANN401  (fsspec's)
    """Return whether a remote file has several blocks and the server supports range requests.

    Args:
        system: File system of fsspec.
        inside: Path in the file system.
        size: Bytes of the file, if known.
    """
    if size is None or size <= BLOCK:
        return False
    if "http" not in system.protocol:
        return True
    try:
        with system.open(inside, block_size=1, cache_type="none") as stream:
            stream.seek(size - 1)
            return len(stream.read(1)) == 1
    except ValueError:  # the server does not support range requests
        return False


def start_copy(path: Path, address: str, size: int, version: str) -> None:
    """Create a copy unless it exists, and fetch its first block."""
    if not path.is_file():
        source = {"address": address, "size": size, "version": version}
        with new_file(_marker_of(path), overwrite=True) as part:
            part.write_bytes(json.dumps(source).encode() + b"\n" + bytes(-(-size // BLOCK)))
        with path.open("ab") as stream:
            stream.truncate(size)
    PartialCopy(path).fetch(0, 1)


def _marker_of(path: Path) -> Path:
    return path.with_name(path.name + MARKER)


class BlockReader(io.RawIOBase):
    """Stream of a partial copy, for h5py.

    Args:
        copy: The copy.
    """

    def __init__(self, copy: PartialCopy) -> None:
        super().__init__()
        self._copy = copy
        self._stream = copy.path.open("rb", buffering=0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the current byte."""
        return self._stream.tell()

    def readinto(self, target: Any) -> int | None:  # noqa: ANN401  (any buffer)
        """Read the next bytes into a buffer."""
        start = self._stream.tell()
        # HDF5's lock is held here, and fsspec works in another thread. If garbage collection in
        # that thread deleted an object of h5py, it would wait for the lock: a deadlock
        collects = gc.isenabled()
        gc.disable()
        try:
            self._copy.fetch(start, start + memoryview(target).nbytes)
        except SpikeZooError as error:  # stored, because HDF5 raises another error instead
            failures[self._copy.path] = error
            raise
        finally:
            if collects:
                gc.enable()
        return self._stream.readinto(target)

    def close(self) -> None:
        """Close the copy."""
        if not self.closed:
            self._stream.close()
        super().close()
