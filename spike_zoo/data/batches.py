"""Samples put into one batch, and the way of a batch out of a worker.

A pipe copies a batch four times, in pieces of 64 KiB; torch's way, a file in shared memory for
each tensor, takes longer still, because every page of it is new. So workers write large arrays into
slots of memory that they share with the process that forked them.
"""

from __future__ import annotations

import mmap
import os
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary, finalize

import numpy as np
import torch
from torch.utils.data import get_worker_info

from spike_zoo.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LARGE = 4096  # bytes of a sample's array; smaller ones are no trouble to a pipe
PICTURES = ("image", "images", "blur")  # entries of a batch that hold intensities

ALIGNED = 64  # bytes

Place = tuple[tuple[int, ...], str, int]  # shape, type and offset of an array in a slot


_KEYS = count()
_ALIVE: WeakValueDictionary[int, Slots] = WeakValueDictionary()


class Slots:
    """Slots of memory that this process shares with those it forks.

    Each worker has slots of its own. It takes one, and this process sets it free when no array
    shares it any more: one writer and one reader, so that no lock is needed.

    Args:
        workers: Processes that fill slots.
        each: Slots of one worker.
        size: Bytes of a slot. Memory is only used from when it is written.
    """

    def __init__(self, workers: int, each: int, size: int) -> None:
        self.key = next(_KEYS)
        self._owner = os.getpid()
        self.each = each
        self.size = aligned(size)
        slots = workers * each
        self._memory = mmap.mmap(-1, slots * (ALIGNED + self.size))
        flags = np.frombuffer(self._memory, np.uint8, slots * ALIGNED)
        self._is_taken = flags[::ALIGNED]  # a line of the cache each
        self._start = flags.size
        _ALIVE[self.key] = self

    def take(self, size: int) -> int | None:
        """Return a free slot of this worker, now taken.

        None outside workers, if all are taken, and if so many bytes do not fit.
        """
        worker = get_worker_info()
        if worker is None or size > self.size:
            return None
        first = worker.id * self.each
        for slot in range(first, first + self.each):
            if not self._is_taken[slot]:
                self._is_taken[slot] = 1
                return slot
        return None

    def memory(self, slot: int) -> NDArray[np.uint8]:
        """Return the bytes of a slot."""
        # straight over the map: an array over this one keeps it alive, not what it is a part of
        return np.frombuffer(self._memory, np.uint8, self.size, self._start + slot * self.size)

    def filled(self, slot: int) -> NDArray[np.uint8]:
        """Return the bytes of a slot, which is free when no array shares them any more."""
        memory = self.memory(slot)
        finalize(memory, self._set_free, slot).atexit = False
        return memory

    def _set_free(self, slot: int) -> None:
        if os.getpid() == self._owner:  # a worker forked later has arrays of its own over the slot
            self._is_taken[slot] = 0


def aligned(offset: int) -> int:
    """Return the next offset at which an array of any type may begin."""
    return -(-offset // ALIGNED) * ALIGNED


class Left(NamedTuple):
    """What of a batch was left in a slot: key of the slots, number, arrays by name."""

    key: int
    slot: int
    places: dict[str, Place]


class Batch(dict[str, Any]):
    """A batch that arrives from a worker as a plain dict of tensors and texts.

    What is in a slot stays there until the batch arrives; the rest crosses as bytes in the pipe.
    """

    left: Left | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        left = self.left
        sent = {
            key: _bytes_of(value.numpy()) if isinstance(value, torch.Tensor) else value
            for key, value in self.items()
            if left is None or key not in left.places
        }
        return _arrived, (sent, left and tuple(left))


class Collate:
    """Put samples into one batch: arrays and numbers stacked, texts listed.

    Stacked by numpy: torch starts its threads for every stack, which costs more than copying.
    """

    def __init__(self, slots: Slots | None = None) -> None:
        self.slots = slots

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        """Return the batch of some samples.

        Pictures stay bytes where all of them are; otherwise all become float32 in [0, 1].
        """
        columns = {key: [sample[key] for sample in samples] for key in samples[0]}
        for key, column in columns.items():
            _check_sizes(key, column)
            columns[key] = _of_one_type(key, column)
        batch = Batch()
        memory = self._take(batch, columns)
        for key, column in columns.items():
            if isinstance(column[0], str):
                batch[key] = column
            elif batch.left is not None and key in batch.left.places:
                stacked = _view(memory, batch.left.places[key])
                batch[key] = torch.from_numpy(np.stack(column, out=stacked))
            else:
                batch[key] = torch.from_numpy(np.array(column))
        return batch

    def _take(self, batch: Batch, columns: Mapping[str, list[Any]]) -> NDArray[np.uint8]:
        """Take a slot for a batch, if there is one, and return its memory."""
        if self.slots is not None:
            places, size = large_places(columns)
            slot = self.slots.take(size)
            if slot is not None:
                batch.left = Left(self.slots.key, slot, places)
                return self.slots.memory(slot)
        return np.empty(0, np.uint8)


def large_places(columns: Mapping[str, list[Any]]) -> tuple[dict[str, Place], int]:
    """Return where the large arrays of a batch lie, one after the other, and their size in all."""
    places, size = {}, 0
    for key, column in columns.items():
        first = column[0]
        if isinstance(first, np.ndarray) and first.nbytes >= LARGE:
            places[key] = (len(column), *first.shape), first.dtype.str, size
            size = aligned(size + len(column) * first.nbytes)
    return places, size


def _check_sizes(key: str, column: Sequence[Any]) -> None:
    if isinstance(column[0], np.ndarray):
        shapes = {value.shape for value in column}
        if len(shapes) > 1:
            raise ConfigError(
                f"batch: {key} of different sizes {sorted(shapes)} cannot share a batch; set "
                "batch_size or eval_batch_size to 1, or crop"
            )


def _of_one_type(key: str, column: list[Any]) -> list[Any]:
    """Return values of one type, which stacking alone would give without scaling bytes."""
    types = sorted({str(value.dtype) for value in column if isinstance(value, np.ndarray)})
    if len(types) < 2:
        return column
    if key not in PICTURES:
        raise ConfigError(
            f"batch: {key} of the types {', '.join(types)} cannot share a batch; set batch_size or "
            "eval_batch_size to 1"
        )
    return [
        value.astype(np.float32) / np.float32(255 if value.dtype == np.uint8 else 1)
        for value in column
    ]


def _view(memory: Any, place: Place) -> NDArray[Any]:  # noqa: ANN401  # any buffer
    shape, dtype, offset = place
    return np.ndarray(shape, dtype, memory, offset)


def _bytes_of(array: NDArray[Any]) -> tuple[bytearray, Place]:
    # crosses in a third of the time that numpy's own form takes
    return bytearray(array.data), (array.shape, array.dtype.str, 0)


def _arrived(sent: dict[str, Any], left: tuple[Any, ...] | None) -> dict[str, Any]:
    """Return what crossed and what was left, as tensors."""
    batch = {
        key: torch.from_numpy(_view(*value)) if isinstance(value, tuple) else value
        for key, value in sent.items()
    }
    if left is not None:
        key, slot, places = left
        memory = _ALIVE[key].filled(slot)
        batch |= {name: torch.from_numpy(_view(memory, places[name])) for name in places}
    return batch
