"""Order and seeds of training samples."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from spike_zoo.data.loader import EvalLoader
from spike_zoo.data.sampling import Epochs, EvaluationSampler, SeededSampler


@given(size=st.integers(1, 40), seed=st.integers(0, 2**31), epoch=st.integers(0, 5))
def test_an_epoch_draws_every_sample_once_and_repeats_by_seed(
    size: int, seed: int, epoch: int
) -> None:
    keys = list(SeededSampler(size, seed, Epochs(lambda: epoch)))
    assert sorted(key.sample for key in keys) == list(range(size))
    assert keys == list(SeededSampler(size, seed, Epochs(lambda: epoch)))


def test_epochs_differ_in_order_and_in_seeds() -> None:
    epoch = 0
    sampler = SeededSampler(50, 0, Epochs(lambda: epoch))
    first = list(sampler)
    epoch = 1
    second = list(sampler)
    assert [key.sample for key in first] != [key.sample for key in second]
    assert not {key.seed for key in first} & {key.seed for key in second}


@given(size=st.integers(1, 10), draws=st.integers(1, 35))
def test_more_draws_than_samples_repeat_all_samples_evenly(size: int, draws: int) -> None:
    sampler = SeededSampler(size, 3, Epochs(lambda: 0), draws)
    indices = [key.sample for key in sampler]
    assert len(indices) == len(sampler) == draws
    counts = [indices.count(index) for index in range(size)]
    assert max(counts) - min(counts) <= 1


@given(
    size=st.integers(1, 20),
    batches=st.integers(1, 5),
    batch=st.integers(1, 4),
    processes=st.integers(2, 4),
)
def test_batches_of_several_processes_together_equal_larger_batches_of_one_process(
    size: int, batches: int, batch: int, processes: int
) -> None:
    draws = batches * batch * processes
    whole = list(SeededSampler(size, 1, Epochs(lambda: 2), draws))
    shares = [
        list(SeededSampler(size, 1, Epochs(lambda: 2), draws, processes, rank))
        for rank in range(processes)
    ]
    for number in range(batches):
        keys = [key for share in shares for key in share[number * batch : (number + 1) * batch]]
        expected = whole[number * batch * processes : (number + 1) * batch * processes]
        assert sorted(keys) == sorted(expected)


@given(size=st.integers(1, 20), draws=st.integers(1, 30), processes=st.integers(1, 5))
def test_every_process_has_the_same_number_of_samples(
    size: int, draws: int, processes: int
) -> None:
    shares = [
        SeededSampler(size, 1, Epochs(lambda: 0), draws, processes, rank)
        for rank in range(processes)
    ]
    assert {len(list(share)) for share in shares} == {len(shares[0])} == {-(-draws // processes)}
    keys = set(SeededSampler(size, 1, Epochs(lambda: 0), draws))
    assert {key for share in shares for key in share} == keys


@given(
    size=st.integers(1, 40),
    count=st.none() | st.integers(1, 50),
    processes=st.integers(1, 9),
    batch=st.integers(1, 5),
)
def test_processes_share_the_evaluated_samples_and_have_equally_many_batches(
    size: int, count: int | None, processes: int, batch: int
) -> None:
    samplers = [EvaluationSampler(size, count, processes, rank) for rank in range(processes)]
    shares = [list(sampler) for sampler in samplers]
    assert sorted(itertools.chain(*shares)) == list(EvaluationSampler(size, count))
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]
    loaders = [
        EvalLoader(
            TensorDataset(torch.arange(size)), collate_fn=list, batch_size=batch, sampler=sampler
        )
        for sampler in samplers
    ]
    for loader, sampler in zip(loaders, samplers, strict=True):
        loader.batches = -(-sampler.largest_share // batch)
        batches = list(loader)
        assert len(batches) == len(loader) == loader.batches
        assert all(len(part) for part in batches[: -(-len(sampler) // batch)])
        assert all(part == {} for part in batches[-(-len(sampler) // batch) :])
