"""Threads that torch computes with on a processor that other processes use too."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from joblib import cpu_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Result = TypeVar("Result")

_LOAD = Path("/proc/loadavg")


def limit_threads() -> None:
    """Limit torch's threads to the cores that are free, unless ``OMP_NUM_THREADS`` is set.

    OpenMP's threads wait for each other in busy loops: with more threads than free cores an
    operation takes many times as long as with one thread.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), free_cores()))


def free_cores() -> int:
    """Return how many cores this process may use and no other process keeps busy, at least 1.

    Affinity and cgroup limits count. Of the average load of the last minute and the processes
    that run now the smaller counts, so that neither work that has ended nor a short peak does.
    """
    usable, total = cpu_count(), os.cpu_count() or 1
    try:
        load, _, _, running, _ = _LOAD.read_text(encoding="ascii").split()
    except OSError:  # not Linux
        return usable
    others = int(running.partition("/")[0]) - 1
    return max(1, min(usable, total - round(min(float(load), others))))


def results_in_order(jobs: Iterable[Callable[[], Result]], threads: int) -> Iterator[Result]:
    """Run jobs in threads, in each of which torch computes with one, and yield their results.

    Jobs are taken a few ahead of the results, in the thread of the caller, with one thread of
    torch too: its threads would keep the cores busy while they wait.

    Args:
        jobs: Mostly spend their time outside of Python.
        threads: How many jobs run at a time; 1: in the thread of the caller.
    """
    if threads == 1:
        for job in jobs:
            yield job()
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        coming = iter(jobs)
        running: deque[Future[Result]] = deque()
        while True:
            with _one_thread():
                wanted = threads + 2 - len(running)
                running.extend(pool.submit(job) for job in islice(coming, wanted))
                if not running:
                    return
                result = running.popleft().result()
            yield result


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
