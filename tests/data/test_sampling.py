"""Order and seeds of training samples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.data.sampling import SeededSampler


@given(size=st.integers(1, 40), seed=st.integers(0, 2**31), epoch=st.integers(0, 5))
def test_an_epoch_draws_every_sample_once_and_repeats_by_seed(
    size: int, seed: int, epoch: int
) -> None:
    keys = list(SeededSampler(size, seed, lambda: epoch))
    assert sorted(key.sample for key in keys) == list(range(size))
    assert keys == list(SeededSampler(size, seed, lambda: epoch))


def test_epochs_differ_in_order_and_in_seeds() -> None:
    epoch = 0
    sampler = SeededSampler(50, 0, lambda: epoch)
    first = list(sampler)
    epoch = 1
    second = list(sampler)
    assert [key.sample for key in first] != [key.sample for key in second]
    assert not {key.seed for key in first} & {key.seed for key in second}


@given(size=st.integers(1, 10), draws=st.integers(1, 35))
def test_more_draws_than_samples_begin_again_evenly(size: int, draws: int) -> None:
    sampler = SeededSampler(size, 3, lambda: 0, draws)
    indices = [key.sample for key in sampler]
    assert len(indices) == len(sampler) == draws
    counts = [indices.count(index) for index in range(size)]
    assert max(counts) - min(counts) <= 1
