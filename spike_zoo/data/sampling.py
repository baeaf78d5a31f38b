"""Samplers of training and evaluation, with a seed for each training sample."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DistributedSampler, SequentialSampler


class SampleKey(NamedTuple):
    """Index of a sample, and the seed of its random operations."""

    sample: int
    seed: int


class Epochs:
    """Epoch counter: the trainer's epoch, or, without a trainer, one more for each loop.

    Attributes:
        next: Next epoch of a loop without a trainer.
    """

    def __init__(self, of_trainer: Callable[[], int | None] = lambda: None) -> None:
        self.of_trainer = of_trainer
        self.next = 0

    def begin(self) -> int:
        """Start an epoch and return its number."""
        current = self.of_trainer()
        epoch = self.next if current is None else current
        self.next = epoch + 1
        return epoch


class _FinalSampler(DistributedSampler[Any], SequentialSampler):
    """Base class of samplers that Lightning does not replace.

    It replaces others for several processes, and for ``overfit_batches`` all that are not
    sequential.
    """


class SeededSampler(_FinalSampler):
    """Draw every sample once per epoch in random order, each with a separate seed.

    The seeds are part of the keys, so a sample does not depend on its worker, on the number of
    workers, or on the position at which a run is resumed. Several processes share the same draws:
    their batches together are the batch of a single process. If the number of draws is not a
    multiple of the processes, the first draws are repeated.

    Args:
        size: Number of samples.
        seed: Seed of the run.
        epochs: Counter that returns the epoch at the start of an iteration.
        draws: Samples per epoch, by default all. More than ``size`` repeats samples.
        processes: Number of processes that share the draws.
        rank: Number of this process.
        repeats: Whether every epoch has the draws of the first one.

    Attributes:
        epoch: The current epoch.
        skipped: Number of skipped draws at the start of the epoch in which a run is resumed.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        epochs: Epochs,
        draws: int | None = None,
        processes: int = 1,
        rank: int = 0,
        *,
        repeats: bool = False,
    ) -> None:
        super().__init__(range(size), processes, rank, shuffle=False)  # type: ignore[arg-type]  # it has a length
        self.size = size
        self.seed = seed
        self.epochs = epochs
        self.epoch = epochs.next
        self.draws = size if draws is None else draws
        self.repeats = repeats
        self.skipped = 0
        self._resumed: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[SampleKey]:  # type: ignore[override]  # keys with a seed
        self.epoch = self.epochs.begin()
        epoch, skipped = self._resumed or (self.epoch, 0)
        self._resumed = None
        # a checkpoint after the last batch of an epoch continues with the first of the next epoch
        self.skipped = skipped if epoch == self.epoch else 0
        generator = np.random.default_rng((self.seed, 0 if self.repeats else self.epoch))
        rounds = -(-self.draws // self.size)
        order = np.concatenate([generator.permutation(self.size) for _ in range(rounds)])
        seeds = generator.integers(2**62, size=self.draws)
        drawn = zip(order[: self.draws].tolist(), seeds.tolist(), strict=True)
        keys = [SampleKey(index, seed) for index, seed in drawn]
        shared = len(self) * self.num_replicas
        own = itertools.islice(itertools.cycle(keys), self.rank, shared, self.num_replicas)
        yield from itertools.islice(own, self.skipped, None)

    def set_epoch(self, epoch: int) -> None:
        """Draw this epoch next, unless a trainer determines the epoch."""
        self.epoch = self.epochs.next = epoch

    def resume(self, epoch: int, draws: int) -> None:
        """Continue in an epoch after the given number of draws of this process."""
        self.set_epoch(epoch)
        self._resumed = epoch, draws

    def __len__(self) -> int:
        return -(-self.draws // self.num_replicas)


class EvaluationSampler(_FinalSampler):
    """Return samples in order, distributed over the processes in turn.

    Lightning's sampler would repeat samples until all processes have equally many, which would bias
    means.

    Args:
        size: Number of samples.
        count: Number of returned samples, spread evenly over all; by default all.
        processes: Number of processes that share the samples.
        rank: Number of this process.

    Attributes:
        largest_share: Largest number of samples of a process.

    Example:
        >>> list(EvaluationSampler(36, 8))
        [0, 4, 9, 13, 18, 22, 27, 31]
    """

    def __init__(
        self, size: int, count: int | None = None, processes: int = 1, rank: int = 0
    ) -> None:
        super().__init__(range(size), processes, rank, shuffle=False)  # type: ignore[arg-type]  # it has a length
        self.size = size
        self.count = size if count is None else min(count, size)
        self.largest_share = -(-self.count // processes)

    def __iter__(self) -> Iterator[int]:
        return (number * self.size // self.count for number in self._numbers())

    def __len__(self) -> int:
        return len(self._numbers())

    def _numbers(self) -> range:
        return range(self.rank, self.count, self.num_replicas)
