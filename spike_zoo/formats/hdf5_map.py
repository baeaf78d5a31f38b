"""Unfiltered HDF5 data sets read from a memory map of the file, for fast crops."""

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
    """An unfiltered data set that is read from a memory map of the file, not through HDF5.

    Args:
        blocks: Arrays on the map, consecutive along the first axis and of equal length; the last
            may exceed the data set.
        length: Length of the first axis.

    Attributes:
        shape: Shape of the data set.
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
        return joined_copy(parts or [self._blocks[0][(slice(0), *rest)]])


def joined_copy(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
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


def map_dataset(
    path: object, inside: str, dataset: h5py.Dataset, file_map: mmap.mmap
) -> MappedDataset | None:
    """Return a data set on a memory map of its file; None if it must be read through HDF5.

    HDF5 must read data sets that are filtered, stored in the header, chunked along later axes, of
    another byte order, or in a file with a user block.
    """
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
        # one pass over the chunk index; get_chunk_info(n) would iterate from the start for each n
        stored: list[tuple[int, int]] = []
        dataset.id.chunk_iter(
            lambda chunk: stored.append((chunk.chunk_offset[0], chunk.byte_offset))
        )
        # chunks may lie anywhere in the file: sort them by their first plane
        offsets = [offset for _, offset in sorted(stored)]
    if len(offsets) != -(-dataset.shape[0] // length):
        return None  # some chunks were never written; HDF5 handles this
    block = (length, *dataset.shape[1:])
    # reading a map beyond the end of its file kills the process with a signal: check first
    end = max(offsets) + int(np.prod(block)) * dataset.dtype.itemsize
    if end > len(file_map):
        raise FormatError(
            f"{path}: {inside} reaches to byte {end}, but the file ends at {len(file_map)}: it is "
            "truncated; copy or build it again",
            code="E01",
            path=inside,
        )
    blocks = [np.ndarray(block, dataset.dtype, file_map, offset) for offset in offsets]
    return MappedDataset(blocks, dataset.shape[0])
