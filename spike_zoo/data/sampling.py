"""Which samples an epoch draws, and the random numbers each of them is cut with."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from torch.utils.data import DistributedSampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray


FILES_AT_ONCE: Final = 8
"""Files of an archive whose samples are mixed."""


class SampleKey(NamedTuple):
    """One draw: which sample, and the seed of everything random about it."""

    sample: int
    seed: int


class Epochs:
    """Count the epochs that are drawn: a trainer's own, or one more for each loop without one.

    Attributes:
        next: The epoch that a loop without a trainer draws next.
    """

    def __init__(self, of_trainer: Callable[[], int | None] = lambda: None) -> None:
        self.of_trainer = of_trainer
        self.next = 0

    def begin(self) -> int:
        """Return the epoch that begins now."""
        current = self.of_trainer()
        epoch = self.next if current is None else current
        self.next = epoch + 1
        return epoch


class SeededSampler(DistributedSampler[SampleKey]):
    """Draw every sample once an epoch in random order, each with a seed of its own.

    The seeds travel with the indices, so a sample does not depend on the worker that makes it, on
    the number of workers, or on where a run was resumed. Several processes share the same draws:
    a batch of each, put together, is what one process draws as one batch. Where the draws cannot
    be shared out evenly, the first are drawn again. It is a distributed sampler so that Lightning
    leaves the sharing to it, and does not shuffle once more.

    Args:
        size: Number of samples.
        seed: Seed of the run.
        epochs: Returns the epoch when an iteration begins.
        draws: Samples of one epoch, by default all. More than ``size`` begins again.
        processes: How many processes share them.
        rank: Number of this process.
        files: Number of the file of each sample, where they are too many to be open at once: files
            are drawn in random order, and samples in random order of some files at a time.

    Attributes:
        epoch: The epoch that is drawn.
        skipped: How many of its draws are left out because a run was resumed behind them.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        epochs: Epochs,
        draws: int | None = None,
        processes: int = 1,
        rank: int = 0,
        files: Sequence[int] | None = None,
    ) -> None:
        super().__init__(range(size), processes, rank, shuffle=False)  # type: ignore[arg-type]  # it has a length
        self.size = size
        self.seed = seed
        self.epochs = epochs
        self.epoch = epochs.next
        self.draws = size if draws is None else draws
        self.files = files
        self.skipped = 0
        self._resumed: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[SampleKey]:
        self.epoch = self.epochs.begin()
        epoch, skipped = self._resumed or (self.epoch, 0)
        self._resumed = None
        # a checkpoint after the last batch of an epoch continues with the first of the next
        self.skipped = skipped if epoch == self.epoch else 0
        generator = np.random.default_rng((self.seed, self.epoch))
        rounds = -(-self.draws // self.size)
        order = np.concatenate([self._permutation(generator) for _ in range(rounds)])
        seeds = generator.integers(2**62, size=self.draws)
        drawn = zip(order[: self.draws].tolist(), seeds.tolist(), strict=True)
        keys = [SampleKey(index, seed) for index, seed in drawn]
        shared = len(self) * self.num_replicas
        own = itertools.islice(itertools.cycle(keys), self.rank, shared, self.num_replicas)
        yield from itertools.islice(own, self.skipped, None)

    def _permutation(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return all samples in random order, of some files at a time."""
        if self.files is None:
            return generator.permutation(self.size)
        numbers, place = np.unique(self.files, return_inverse=True)
        turn = generator.permutation(len(numbers))[place] // FILES_AT_ONCE
        shuffled = generator.permutation(self.size)
        return shuffled[np.argsort(turn[shuffled], kind="stable")]

    def set_epoch(self, epoch: int) -> None:
        """Draw this epoch next, unless a trainer determines the epoch."""
        self.epoch = self.epochs.next = epoch

    def resume(self, epoch: int, draws: int) -> None:
        """Continue in an epoch behind its first draws of this process."""
        self.set_epoch(epoch)
        self._resumed = epoch, draws

    def __len__(self) -> int:
        return -(-self.draws // self.num_replicas)


class EvaluationSampler(DistributedSampler[int]):
    """Take samples in order; several processes take them in turn.

    Lightning's own would repeat samples until all processes have as many, and means would count
    them twice.

    Args:
        size: Number of samples.
        count: How many are taken, spread evenly over all; by default all.
        processes: How many processes share them.
        rank: Number of this process.

    Attributes:
        largest_share: How many samples a process takes at most.

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
