"""Which samples an epoch draws, and the random numbers each of them is cut with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class SampleKey(NamedTuple):
    """One draw: which sample, and the seed of everything random about it."""

    sample: int
    seed: int


class SeededSampler(Sampler[SampleKey]):
    """Draw every sample once an epoch in random order, each with a seed of its own.

    The seeds travel with the indices, so a sample does not depend on the worker that makes it, on
    the number of workers, or on where a run was resumed.

    Args:
        size: Number of samples.
        seed: Seed of the run.
        epoch: Tells the epoch when an iteration begins.
        draws: Samples of one epoch; all where not given. More than ``size`` begins again.
    """

    def __init__(
        self, size: int, seed: int, epoch: Callable[[], int], draws: int | None = None
    ) -> None:
        self.size = size
        self.seed = seed
        self.epoch = epoch
        self.draws = size if draws is None else draws

    def __iter__(self) -> Iterator[SampleKey]:
        generator = np.random.default_rng((self.seed, self.epoch()))
        rounds = -(-self.draws // self.size)
        order = np.concatenate([generator.permutation(self.size) for _ in range(rounds)])
        seeds = generator.integers(2**62, size=self.draws)
        for index, seed in zip(order[: self.draws].tolist(), seeds.tolist(), strict=True):
            yield SampleKey(index, seed)

    def __len__(self) -> int:
        return self.draws
