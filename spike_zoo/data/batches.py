"""Collation of samples into batches, their transfer by shared memory, and their unpacking.

A pipe copies a batch four times, in pieces of 64 KiB. Torch's transfer, a file in shared memory
for each tensor, is even slower, because every page is newly allocated. So workers write large
arrays into slots of memory that they share with their parent process.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakValueDictionary, finalize

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from spike_zoo.errors import ConfigError
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.turning import apply_modes, turn_flows

LARGE = 4096  # bytes of a sample's array; smaller arrays are sent by the pipe
IMAGES = ("image", "images", "blur")  # entries of a batch that hold intensities
_OF_PACKING = ("packed", "width", "mode")

ALIGNED = 64  # bytes

Place = tuple[tuple[int, ...], str, int]  # shape, type and offset of an array in a slot

_KEYS = count()
_ALIVE: WeakValueDictionary[int, Slots] = WeakValueDictionary()


class Slots:
    """Slots of memory shared by this process and its forked workers.

    Each worker has separate slots. A slot is taken only by its worker and freed only by this
    process, when no array uses it any more; so no lock is needed.

    Args:
        workers: Number of worker processes.
        each: Slots per worker.
        size: Bytes of a slot. The system allocates memory when it is first written.
    """

    def __init__(self, workers: int, each: int, size: int) -> None:
        self.key = next(_KEYS)
        self._owner = os.getpid()
        self.each = each
        self.size = aligned(size)
        slots = workers * each
        self._memory = mmap.mmap(-1, slots * (ALIGNED + self.size))
        flags = np.frombuffer(self._memory, np.uint8, slots * ALIGNED)
        self._is_taken = flags[::ALIGNED]  # each flag in a separate cache line
        self._start = flags.size
        _ALIVE[self.key] = self

    def take(self, size: int) -> int | None:
        """Take a free slot of this worker and return its number.

        None outside workers, if all slots are taken, or if ``size`` exceeds a slot.
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
        # a new array on the map, not a slice: arrays that use this slot keep exactly it alive
        return np.frombuffer(self._memory, np.uint8, self.size, self._start + slot * self.size)

    def filled(self, slot: int) -> NDArray[np.uint8]:
        """Return the bytes of a slot, and free the slot when no array uses them any more."""
        memory = self.memory(slot)
        finalize(memory, self._set_free, slot).atexit = False
        return memory

    def _set_free(self, slot: int) -> None:
        if os.getpid() == self._owner:  # not in workers forked later, which inherit the arrays
            self._is_taken[slot] = 0


def aligned(offset: int) -> int:
    """Return the next aligned offset, at which an array of any type may start."""
    return -(-offset // ALIGNED) * ALIGNED


class SlotContents(NamedTuple):
    """Arrays of a batch in a slot: key of the slots, number of the slot, arrays by name."""

    key: int
    slot: int
    places: dict[str, Place]


class Batch(dict[str, Any]):
    """A batch that is unpickled as a plain dict of tensors and strings.

    Arrays in a slot remain there; the others are pickled as bytes.
    """

    in_slot: SlotContents | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        in_slot = self.in_slot
        pickled = {
            key: _bytes_of(value.numpy()) if isinstance(value, torch.Tensor) else value
            for key, value in self.items()
            if in_slot is None or key not in in_slot.places
        }
        return _restore_batch, (pickled, in_slot and tuple(in_slot))


class Collate:
    """Collate samples into one batch: arrays and numbers are stacked, strings listed.

    Numpy stacks them: torch starts threads for every stack, which costs more than the copy.
    """

    def __init__(self, slots: Slots | None = None) -> None:
        self.slots = slots

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        """Return the batch of samples.

        Images remain uint8 if all of them are; otherwise all become float32 in [0, 1].
        """
        columns = {key: [sample[key] for sample in samples] for key in samples[0]}
        for key, column in columns.items():
            _check_sizes(key, column)
            columns[key] = _convert_to_one_type(key, column)
        batch = Batch()
        memory = self._take_slot(batch, columns)
        for key, column in columns.items():
            if isinstance(column[0], str):
                batch[key] = column
            elif batch.in_slot is not None and key in batch.in_slot.places:
                stacked = _view(memory, batch.in_slot.places[key])
                batch[key] = torch.from_numpy(np.stack(column, out=stacked))
            else:
                batch[key] = torch.from_numpy(np.array(column))
        return batch

    def _take_slot(self, batch: Batch, columns: Mapping[str, list[Any]]) -> NDArray[np.uint8]:
        """Take a slot for a batch and return its memory; an empty array if no slot is free."""
        if self.slots is not None:
            places, size = large_places(columns)
            slot = self.slots.take(size)
            if slot is not None:
                batch.in_slot = SlotContents(self.slots.key, slot, places)
                return self.slots.memory(slot)
        return np.empty(0, np.uint8)


def large_places(columns: Mapping[str, list[Any]]) -> tuple[dict[str, Place], int]:
    """Return the consecutive places of a batch's large arrays in a slot, and their total size."""
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
                "batch_size or eval_batch_size to 1, or set crop"
            )


def _convert_to_one_type(key: str, column: list[Any]) -> list[Any]:
    """Convert values to one type; uint8 is scaled to [0, 1], which stacking would not do."""
    types = sorted({str(value.dtype) for value in column if isinstance(value, np.ndarray)})
    if len(types) < 2:
        return column
    if key not in IMAGES:
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
    # transferred in a third of the time of a pickled numpy array
    return bytearray(array.data), (array.shape, array.dtype.str, 0)


def _restore_batch(pickled: dict[str, Any], in_slot: tuple[Any, ...] | None) -> dict[str, Any]:
    """Return a batch with the pickled arrays and those in the slot as tensors."""
    batch = {
        key: torch.from_numpy(_view(*value)) if isinstance(value, tuple) else value
        for key, value in pickled.items()
    }
    if in_slot is not None:
        key, slot, places = in_slot
        memory = _ALIVE[key].filled(slot)
        batch |= {name: torch.from_numpy(_view(memory, places[name])) for name in places}
    return batch


def unpacked(batch: Mapping[str, Any], spikes: torch.dtype = torch.float32) -> Any:  # noqa: ANN401  (the task's batch)
    """Unpack a batch into planes and images in [0, 1], and rotate and flip both by ``mode``.

    ``packed``, ``width`` and ``mode`` become ``spikes`` of the given type. Entries in
    :data:`IMAGES` are converted to [0, 1] and turned, ``flow`` is turned
    including its vectors, ``hidden_packed`` becomes ``hidden_spikes``, and all others are
    unchanged. A batch without ``packed`` is returned unchanged. See :mod:`spike_zoo.tasks.batch`.
    """
    if "packed" not in batch:
        return batch
    modes = batch["mode"]
    planes = apply_modes(unpack_tensor(batch["packed"], int(batch["width"][0])), modes)
    images = {name: apply_modes(unit_range(batch[name]), modes) for name in IMAGES if name in batch}
    others = {name: value for name, value in batch.items() if name not in _OF_PACKING}
    if (hidden := others.pop("hidden_packed", None)) is not None:
        others["hidden_spikes"] = unpack_tensor(hidden, int(batch["width"][0])).to(spikes)
    if "flow" in batch:
        others["flow"] = turn_flows(batch["flow"].float(), modes)
    return {**others, "spikes": planes.to(spikes), **images}


def unit_range(image: Tensor) -> Tensor:
    """Return an image as float32 in [0, 1]; bytes are divided by 255."""
    return image.float() / 255 if image.dtype == torch.uint8 else image
