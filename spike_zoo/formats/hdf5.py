"""HDF5 files opened separately by each process, without links to other files."""

import contextlib
import math
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import (
    FormatError,
    MissingFileError,
    MissingItemError,
    RecordingError,
    SpikeZooError,
    first_line,
)
from spike_zoo.formats.remote import missing_file
from spike_zoo.utils.files import memory_map

_CHUNK_CACHE_BYTES = 4 << 20  # two chunks of the largest sensor; a chunk that fits is cached
_MAX_OPEN_GROUPS = 256
_MAX_OPEN_DATASETS = 32  # each has a chunk cache
_MAX_MAPPED_DATASETS = 4096
_MAX_SOFT_LINKS = 16


@contextlib.contextmanager
def hdf5_errors(path: Path, inside: str = "") -> Iterator[None]:
    """Convert errors of h5py for damaged files to a FormatError of one line."""
    try:
        yield
    except SpikeZooError:
        raise
    except PermissionError as error:
        raise RecordingError.at(
            path, "no permission to read this file; change its permissions or those of its folder"
        ) from error
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(
            f"{path}{inside and ': '}{inside}: damaged or cut short ({first_line(error)}), or "
            "another program is writing it; wait for that program to end, or copy or build the "
            "file again",
            code="E01",
            path=inside or str(path),
        ) from error
    except MemoryError as error:
        message = f"{path}: {inside} declares more data than fit into memory"
        raise FormatError(message, path=inside) from error


class MappedDataset:
    """An unfiltered data set on a memory map of its file, for fast crops.

    Args:
        blocks: Arrays on the map, consecutive along the first axis and of equal length; the last
            may exceed the data set.
        length: Length of the first axis.
    """

    def __init__(self, blocks: Sequence[NDArray[Any]], length: int) -> None:
        self._blocks = blocks
        self._block_length = len(blocks[0])
        self.shape = (length, *blocks[0].shape[1:])

    def __getitem__(self, selection: slice | tuple[slice, ...]) -> NDArray[Any]:
        """Return a copy of a range along the first axis, with slices along the others."""
        along, *rest = selection if isinstance(selection, tuple) else (selection,)
        start, stop, step = along.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"a range of planes has step 1, got {step}")
        length = self._block_length
        parts = [
            self._blocks[block][
                (slice(max(0, start - block * length), min(length, stop - block * length)), *rest)
            ]
            for block in range(start // length, -(-stop // length))
        ]
        return _joined_copy(parts or [self._blocks[0][(slice(0), *rest)]])


class Hdf5File:
    """An HDF5 file for reading, opened separately by each process at the first read.

    Other files are never read: external links, soft links through them, virtual data sets and data
    sets stored in other files raise an error. After :meth:`close`, a later read opens the file
    again, if it is unchanged. Pickled as its path, size and time of modification.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._state: tuple[int, int] | None = None  # size and time of the file at first opening
        self._handle: h5py.File | None = None
        self._process = 0
        self._groups: dict[str, h5py.Group] = {}
        self._datasets: dict[str, h5py.Dataset] = {}
        self._map: mmap.mmap | None = None
        self._mapped: dict[str, MappedDataset | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "state": self._state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]  # restores the empty caches
        self._state = state["state"]

    @property
    def handle(self) -> h5py.File:
        """The file, opened by this process and unchanged since it was first opened."""
        if self._handle is None or self._process != os.getpid():
            self.close()  # a handle inherited through a fork belongs to the parent
            with hdf5_errors(self.path):
                self._check_file()
                self._handle = _open(self.path)
            self._process = os.getpid()
            self._compare(os.fstat(self._handle.id.get_vfd_handle()))
        return self._handle

    def _check_file(self) -> None:
        if not self.path.is_file():
            if self.path.exists():
                raise MissingFileError.at(self.path, "is not a file; name an archive")
            raise missing_file(self.path)
        if not h5py.is_hdf5(self.path):
            raise FormatError.at(
                self.path,
                "not an HDF5 file. An archive is made with 'python -m spike_zoo archive build' "
                "from recordings.",
                code="E01",
            )

    def check_unchanged(self) -> None:
        """Raise RecordingError if the file was replaced, modified or removed."""
        if self._state is not None:
            try:
                self._compare(self.path.stat())
            except FileNotFoundError as error:
                raise self._changed("was removed") from error

    def _compare(self, status: os.stat_result) -> None:
        # without the inode, which changes on some network file systems
        state = status.st_size, status.st_mtime_ns
        if self._state not in (None, state):
            self.close()
            raise self._changed("was replaced or modified")
        self._state = state

    def _changed(self, what: str) -> RecordingError:
        message = f"the file {what} while it was in use, by a program that wrote, copied or "
        return RecordingError.at(
            self.path, f"{message}synchronised it; wait for that program to end, then start again"
        )

    def error(self, inside: str, message: str, code: str | None = None) -> FormatError:
        """Return an error about an object in the file."""
        return FormatError(f"{self.path}: {inside}: {message}", code=code, path=inside)

    def close(self) -> None:
        """Close the file in this process."""
        for cache in (self._groups, self._datasets, self._mapped):
            cache.clear()
        self._map = None  # unmapped when the last array on it is deleted
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def dataset(self, inside: str) -> h5py.Dataset:
        """Return the data set at a path inside the file.

        Raises:
            MissingItemError: If the path does not exist.
            FormatError: If the object is not a data set, needs a filter that is not installed, or
                has data in another file or of an object type (E12).
        """
        self.handle  # noqa: B018  (a file that was opened by another process is opened again)
        if inside not in self._datasets:
            dataset = self.find(inside)
            if not isinstance(dataset, h5py.Dataset):
                raise self.error(inside, "is not a data set")
            self._check_storage(inside, dataset)
            _add_to_cache(self._datasets, inside, dataset, _MAX_OPEN_DATASETS)
        return self._datasets[inside]

    def mapped(self, inside: str) -> MappedDataset | None:
        """Return a data set on a memory map of the file; None if it must be read through HDF5.

        HDF5 must read data sets that are filtered, stored in the header, chunked along later axes,
        of another byte order, or in a file with a user block.
        """
        handle = self.handle
        # reading a map beyond the end of the file kills the process with a signal
        if self._map is not None and self._map.size() != len(self._map):
            raise self._changed("was modified")
        if inside not in self._mapped:
            dataset = self.dataset(inside)
            with hdf5_errors(self.path, inside):
                if self._map is None:  # by descriptor: the path may lead to another file now
                    self._map = memory_map(handle.id.get_vfd_handle())
                if self._map is None:
                    return None
                mapped = self._map_dataset(inside, dataset, self._map)
            _add_to_cache(self._mapped, inside, mapped, _MAX_MAPPED_DATASETS)
        return self._mapped[inside]

    def group(self, inside: str) -> h5py.Group:
        """Return the group at a path inside the file; errors as for :meth:`dataset`."""
        group = self.find(inside)
        if not isinstance(group, h5py.Group):
            raise self.error(inside, "is not a group")
        return group

    def members(self, inside: str) -> list[str]:
        """Return the names in a group in the order of creation; empty if there is no group."""
        with hdf5_errors(self.path, inside):
            try:
                group = self.group(inside)
            except MissingItemError:
                return []
            return [text_of(name) for name in group]  # names that are not UTF-8 are bytes

    def holds(self, inside: str) -> bool:
        """Return whether a path inside the file exists."""
        try:
            self.find(inside)
        except MissingItemError:
            return False
        return True

    def find(self, inside: str) -> h5py.Group | h5py.Dataset:
        """Return the object at a path, following only links inside the file."""
        with hdf5_errors(self.path, inside):
            return self._follow(inside)

    def _follow(self, inside: str) -> h5py.Group | h5py.Dataset:
        place: Any = self.handle["/"]
        if (cached := self._groups.get(inside) or self._datasets.get(inside)) is not None:
            return cached
        names, followed, walked = _parts(inside), 0, ""
        parent = "/".join(names[:-1])
        if parent in self._groups:
            place, names, walked = self._groups[parent], names[-1:], parent
        while names:
            name = names.pop(0)
            # not "name in place", which would follow the link
            link = place.get(name, getlink=True) if isinstance(place, h5py.Group) else None
            if link is None:
                raise MissingItemError(f"{self.path}: there is no {inside} in it", path=inside)
            if isinstance(link, h5py.SoftLink):
                followed += 1
                if followed > _MAX_SOFT_LINKS:
                    raise self._outside(inside, "a cycle of soft links")
                place = self.handle["/"] if link.path.startswith("/") else place
                names = _parts(link.path) + names
            elif isinstance(link, h5py.HardLink):
                place, walked = place[name], f"{walked}/{name}".lstrip("/")
                if isinstance(place, h5py.Group) and not followed:
                    # reached by hard links only, so its members can be found in one step
                    _add_to_cache(self._groups, walked, place, _MAX_OPEN_GROUPS)
            else:
                raise self._outside(inside, "an external link")
        return place

    def _outside(self, inside: str, what: str) -> FormatError:
        """Return the error E12 for a link or data set that is not stored in the file."""
        advice = "nothing outside the file is read; build the archive again from the recordings"
        return self.error(inside, f"{what}, and {advice} themselves", "E12")

    def _check_storage(self, inside: str, dataset: h5py.Dataset) -> None:
        with hdf5_errors(self.path, inside):
            creation = dataset.id.get_create_plist()
            if creation.get_layout() == h5py.h5d.VIRTUAL:
                raise self._outside(inside, "a virtual data set")
            if creation.get_external_count():
                raise self._outside(inside, "stored in another file")
            if holds_objects(dataset.dtype):
                raise self._outside(inside, "made of objects or references")
            for number in range(creation.get_nfilters()):
                code, _, _, name = creation.get_filter(number)
                if not h5py.h5z.filter_avail(code) and not plugins_loaded():
                    raise self.error(
                        inside,
                        f"compressed with {text_of(name) or code}; install hdf5plugin "
                        "(pip install 'spike-zoo[cold]') to read it",
                    )

    def _map_dataset(
        self, inside: str, dataset: h5py.Dataset, file_map: mmap.mmap
    ) -> MappedDataset | None:
        creation = dataset.id.get_create_plist()
        is_plain = dataset.dtype.isnative and dataset.dtype.kind in "uif"
        if creation.get_nfilters() or not is_plain or dataset.file.userblock_size:
            return None
        chunks = dataset.chunks or dataset.shape
        if not dataset.size or chunks[1:] != dataset.shape[1:]:
            return None
        stored: list[tuple[int, int | None]] = []  # first plane and place of each chunk
        if dataset.chunks is None:
            stored = [(0, dataset.id.get_offset())]
        else:
            # one pass over the index; get_chunk_info(n) would iterate from the start for each n
            dataset.id.chunk_iter(lambda chunk: stored.append((chunk[0][0], chunk.byte_offset)))
        offsets = [offset for _, offset in sorted(stored) if offset is not None]
        if len(offsets) != -(-dataset.shape[0] // chunks[0]):
            return None  # some chunks were never written; HDF5 handles this
        # reading a map beyond the end of its file kills the process with a signal: check first
        end = max(offsets) + math.prod(chunks) * dataset.dtype.itemsize
        if end > len(file_map):
            message = f"reaches to byte {end}, but the file ends at {len(file_map)}: it is "
            raise self.error(inside, f"{message}truncated; copy or build it again", "E01")
        blocks = [np.ndarray(chunks, dataset.dtype, file_map, offset) for offset in offsets]
        return MappedDataset(blocks, dataset.shape[0])


def _add_to_cache(cache: dict[str, Any], key: str, value: object, most: int) -> None:
    """Add a value to a cache of at most ``most`` values; drop the oldest ones."""
    while len(cache) >= most:
        cache.pop(next(iter(cache)), None)
    cache[key] = value


def _open(path: Path) -> h5py.File:
    """Open a file without locks, because archives are replaced by renaming, not in place."""
    try:
        return h5py.File(path, "r", locking=False, rdcc_nbytes=_CHUNK_CACHE_BYTES)
    except OSError as error:
        if "already open for write" in str(error):
            raise RecordingError.at(
                path,
                "another program has this file open for writing, or was killed while it "
                "had; close that program. If none is running, h5clear -s of the HDF5 tools "
                "releases the file; then check it with 'python -m spike_zoo archive verify'",
            ) from error
        if "locking flag" not in str(error):
            raise
        # this process has the file open with locks, and HDF5 does not allow both ways
        return h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE_BYTES)


def _parts(inside: str) -> list[str]:
    return [part for part in inside.split("/") if part not in ("", ".")]


def holds_objects(dtype: np.dtype[Any]) -> bool:
    """Return whether values of a type are objects other than strings (E12)."""
    if dtype.names:
        return any(holds_objects(dtype[name]) for name in dtype.names)
    return dtype.kind == "O" and h5py.check_string_dtype(dtype) is None


def plugins_loaded() -> bool:
    """Return whether hdf5plugin is installed, after registering its filters."""
    try:
        import hdf5plugin  # noqa: F401  (importing registers its filters)
    except ImportError:
        return False
    return True


def _joined_copy(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return a copy of arrays concatenated along the first axis.

    Contiguous rows are copied as one item each, in half the time of numpy's copy of short rows.
    """
    first = parts[0]
    if first.ndim > 1 and first.size and first.strides[-1] == first.itemsize:
        row = np.dtype((np.void, first.shape[-1] * first.itemsize))
        rows = [part.view(row)[..., 0] for part in parts]
        copy = np.concatenate(rows) if len(rows) > 1 else rows[0].copy()
        return copy.view(first.dtype).reshape(-1, *first.shape[1:])
    return np.concatenate(parts) if len(parts) > 1 else first.copy()


def text_of(text: str | bytes) -> str:
    """Return text with every byte that is not UTF-8 as a hexadecimal escape."""
    stored = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return stored.decode("utf-8", "backslashreplace")
