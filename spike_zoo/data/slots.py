"""Memory in which workers leave batches, used again and again."""

from __future__ import annotations

import mmap
import os
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary, finalize

import numpy as np
from torch.utils.data import get_worker_info

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIGNED = 64  # bytes
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


def filled(key: int, slot: int) -> NDArray[np.uint8]:
    """Return what a worker left in a slot of those with a key, in the process that made them."""
    return _ALIVE[key].filled(slot)


def aligned(offset: int) -> int:
    """Return the next offset at which an array of any type may begin."""
    return -(-offset // ALIGNED) * ALIGNED
