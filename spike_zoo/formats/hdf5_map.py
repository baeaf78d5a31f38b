"""Data sets read straight from a map of their file: a crop costs what copying its bytes costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from spike_zoo.errors import FormatError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence

    from numpy.typing import NDArray


class MappedDataset:
    """An unfiltered data set whose bytes are taken from a map of the file, not through HDF5.

    Args:
        blocks: Arrays over the map that make up the data set along its first axis, equally long
            but for the last, which may reach beyond the end.
        length: Of the first axis.

    Attributes:
        shape: Of the data set.
    """

    def __init__(self, blocks: Sequence[NDArray[Any]], length: int) -> None:
        self._blocks = blocks
        self._block_length = len(blocks[0])
        self.shape = (length, *blocks[0].shape[1:])

    def __getitem__(self, selection: slice | tuple[slice, ...]) -> NDArray[Any]:
        """Return a copy of a range along the first axis, cut by slices along the others."""
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
        return joined_copy(parts or [self._blocks[0][(slice(0), *rest)]])


def joined_copy(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return a copy of arrays of one shape but for the first axis, one after the other.

    Where rows lie in one piece they are copied as one item each: in half of the time that numpy
    takes to copy short rows byte by byte.
    """
    first = parts[0]
    if first.ndim > 1 and first.size and first.strides[-1] == first.itemsize:
        row = np.dtype((np.void, first.shape[-1] * first.itemsize))
        rows = [part.view(row)[..., 0] for part in parts]
        copy = np.concatenate(rows) if len(rows) > 1 else rows[0].copy()
        return copy.view(first.dtype).reshape(-1, *first.shape[1:])
    return np.concatenate(parts) if len(parts) > 1 else first.copy()


def map_dataset(
    path: object, inside: str, dataset: h5py.Dataset, file_map: mmap.mmap
) -> MappedDataset | None:
    """Return a data set over a map of its file; None where HDF5 itself has to read it.

    HDF5 reads what is filtered, stored in the header, cut across the later axes, of another byte
    order, or in a file that begins with a foreign block.
    """
    # a map shows the bytes on disk: only what is stored plain and whole may go past HDF5
    creation = dataset.id.get_create_plist()
    is_plain = dataset.dtype.isnative and dataset.dtype.kind in "uif"
    if creation.get_nfilters() or not is_plain or dataset.file.userblock_size or not dataset.size:
        return None
    if dataset.chunks is None:
        length, offset = dataset.shape[0], dataset.id.get_offset()
        offsets = [] if offset is None else [offset]
    else:
        length = dataset.chunks[0]
        if dataset.chunks[1:] != dataset.shape[1:]:
            return None
        # one pass over the chunk index: get_chunk_info(n) would walk it from the start for every n
        stored: list[tuple[int, int]] = []
        dataset.id.chunk_iter(
            lambda chunk: stored.append((chunk.chunk_offset[0], chunk.byte_offset))
        )
        # chunks may lie anywhere in the file: sort them by their first plane
        offsets = [offset for _, offset in sorted(stored)]
    if len(offsets) != -(-dataset.shape[0] // length):
        return None  # parts that were never written: only HDF5 can read them
    block = (length, *dataset.shape[1:])
    # reading a map beyond the end of its file kills the process with a signal: check first
    end = max(offsets) + int(np.prod(block)) * dataset.dtype.itemsize
    if end > len(file_map):
        raise FormatError(
            f"{path}: {inside} reaches to byte {end}, the file ends at {len(file_map)}: it was cut "
            "short; copy or build it again",
            code="E01",
            path=inside,
        )
    blocks = [np.ndarray(block, dataset.dtype, file_map, offset) for offset in offsets]
    return MappedDataset(blocks, dataset.shape[0])
