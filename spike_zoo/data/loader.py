"""The training loader: its position is part of a checkpoint, its workers leave batches in slots."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

from torchdata.stateful_dataloader import StatefulDataLoader

from spike_zoo.data.batches import Collate, large_places
from spike_zoo.data.sampling import SampleKey
from spike_zoo.data.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Iterator

HELD = 2  # batches that training holds while a worker fills all it may fill ahead


class TrainingLoader(StatefulDataLoader):  # type: ignore[misc]  # torchdata has no types
    """Load samples by key; where workers are forked, large arrays cross in shared memory."""

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator with slots of its own."""
        processes = self.multiprocessing_context or multiprocessing
        if self.num_workers and processes.get_start_method() == "fork":
            self.collate_fn = Collate(self._slots())
        iterator: Iterator[Any] = super().__iter__()
        return iterator

    def _slots(self) -> Slots:
        """Return slots that batches of the first sample's size fit into."""
        sample = self.dataset[SampleKey(0, 0)]
        _, size = large_places({key: [value] * self.batch_size for key, value in sample.items()})
        return Slots(self.num_workers, self.prefetch_factor + HELD, size)
