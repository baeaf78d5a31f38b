"""Parallel jobs with one torch thread each and ordered results."""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar, cast

import torch

Result = TypeVar("Result")


def results_in_order(jobs: Iterable[Callable[[], Result]], threads: int) -> Iterator[Result]:
    """Run jobs in parallel threads with one torch thread each, and yield their results in order.

    The iterable of jobs is consumed in the caller's thread, a few jobs ahead of the results, also
    with one torch thread: waiting torch threads would keep the cores busy.

    Args:
        jobs: Functions that release the GIL most of the time.
        threads: Number of jobs that run in parallel. With 1, jobs run in the caller's thread.
    """
    if threads == 1:
        for job in jobs:
            yield job()
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        remaining = iter(jobs)
        submitted: deque[Future[Result]] = deque()
        while True:
            with torch_threads(1):
                count = threads + 2 - len(submitted)
                submitted.extend(pool.submit(job) for job in islice(remaining, count))
                if not submitted:
                    return
                result = submitted.popleft().result()
            yield result


def computed_ahead(items: Iterator[Result], ahead: int = 8) -> Generator[Result]:
    """Yield items that another thread computes in advance with half of torch's threads.

    The consumer has the other half: two jobs with half of the threads each are faster than one
    after the other. With one torch thread, items are computed when they are needed.

    Args:
        items: Iterator that releases the GIL most of the time. It is consumed in the other thread.
        ahead: Number of items in advance.
    """
    threads, end = torch.get_num_threads(), object()
    if threads == 1:
        yield from items
        return
    others = threads // 2
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(others,)) as pool:
        submitted = deque(pool.submit(next, items, end) for _ in range(ahead))
        with torch_threads(threads - others):
            while (item := submitted.popleft().result()) is not end:
                submitted.append(pool.submit(next, items, end))
                yield cast("Result", item)


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set torch's number of threads; several are slower for small tensors and parallel jobs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
