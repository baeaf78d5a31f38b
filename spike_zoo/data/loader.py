"""Loaders whose batches come as they are needed, and the one whose position can be kept."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from spike_zoo.data.batches import Collate, large_places
from spike_zoo.data.sampling import SampleKey
from spike_zoo.data.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EPOCH = "epoch"
HELD = 2  # batches that training holds while a worker fills all it may fill ahead


class EvalLoader(DataLoader[Any]):
    """Load samples one after the other.

    Attributes:
        finish: What is done to each batch; None where Lightning calls a hook for it.
    """

    finish: Callable[[Any], Any] | None = None

    def __iter__(self) -> Any:  # noqa: ANN401  (torch's, or one around it)
        """Return an iterator over finished batches."""
        iterator = super().__iter__()
        return iterator if self.finish is None else map(self.finish, iterator)


class TrainingLoader(StatefulDataLoader):  # type: ignore[misc]  # torchdata has no types
    """Load samples by key; where workers are forked, large arrays cross in shared memory.

    Its state is its position: which epoch, how many batches of it.

    Attributes:
        finish: See :class:`EvalLoader`.
    """

    finish: Callable[[Any], Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator with slots of its own."""
        processes = self.multiprocessing_context or multiprocessing
        if self.num_workers and processes.get_start_method() == "fork":
            self.collate_fn = Collate(self._slots())
        iterator: Iterator[Any] = super().__iter__()
        return iterator if self.finish is None else map(self.finish, iterator)

    def state_dict(self) -> dict[str, Any]:
        """Return the position, for a checkpoint."""
        return {**super().state_dict(), _EPOCH: self.sampler.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position when the next loop begins."""
        if _EPOCH in state:  # checkpoints from before have none, and a trainer tells it
            self.sampler.set_epoch(state[_EPOCH])
        super().load_state_dict({key: state[key] for key in state if key != _EPOCH})

    def _slots(self) -> Slots:
        """Return slots that batches of the first sample's size fit into."""
        sample = self.dataset[SampleKey(0, 0)]
        _, size = large_places({key: [value] * self.batch_size for key, value in sample.items()})
        return Slots(self.num_workers, self.prefetch_factor + HELD, size)
