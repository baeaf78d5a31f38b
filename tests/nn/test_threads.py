"""Parallel jobs with ordered results."""

from collections.abc import Callable, Iterator

import pytest
import torch

from spike_zoo.nn.threads import computed_ahead, results_in_order, torch_threads


@pytest.fixture(autouse=True)
def _threads_are_restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_order_and_torch_has_one_thread_in_each_worker(count: int) -> None:
    torch.set_num_threads(2)
    started: list[int] = []

    def jobs() -> Iterator[Callable[[], tuple[int, int]]]:
        for number in range(20):
            started.append(number)
            yield lambda number=number: (number, torch.get_num_threads())  # type: ignore[misc]

    results = results_in_order(jobs(), count)
    assert next(results) == (0, 2 if count == 1 else 1)
    assert len(started) <= count + 2, "jobs start as results are consumed"
    assert torch.get_num_threads() == 2
    assert [number for number, _ in results] == list(range(1, 20))
    assert torch.get_num_threads() == 2


def test_an_error_in_a_job_is_raised_in_the_caller() -> None:
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        list(results_in_order([lambda: 1, lambda: 1 // 0], 2))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_items_computed_ahead_come_in_order_with_torchs_threads_divided(threads: int) -> None:
    def numbers() -> Iterator[tuple[int, int]]:
        for number in range(5):
            yield number, torch.get_num_threads()

    with torch_threads(threads):
        items = [(*item, torch.get_num_threads()) for item in computed_ahead(numbers())]
        assert torch.get_num_threads() == threads
    halves = {1: (1, 1), 2: (1, 1), 5: (2, 3)}[threads]
    assert items == [(number, *halves) for number in range(5)]


def test_an_error_in_an_item_computed_ahead_is_raised_in_the_consumer() -> None:
    with torch_threads(2):
        items = computed_ahead(1 // number for number in (1, 0))
        assert next(items) == 1
        with pytest.raises(ZeroDivisionError):
            next(items)
        assert torch.get_num_threads() == 2
