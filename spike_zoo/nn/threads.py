"""Number of torch's CPU threads on shared machines, and parallel jobs with ordered results."""

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
    """Limit torch's threads to the number of free cores, unless ``OMP_NUM_THREADS`` is set.

    OpenMP threads wait for each other in busy loops. With more threads than free cores, an
    operation takes many times as long as with one thread.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), free_cores()))


def free_cores() -> int:
    """Return the number of cores available to this process and not used by others, at least 1.

    Affinity and cgroup limits are respected. The load of other processes is the smaller of the
    average load of the last minute and the number of processes running now, so that finished work
    and short peaks are ignored.
    """
    usable, total = cpu_count(), os.cpu_count() or 1
    try:
        load, _, _, running, _ = _LOAD.read_text(encoding="ascii").split()
    except OSError:  # not Linux
        return usable
    others = int(running.partition("/")[0]) - 1
    return max(1, min(usable, total - round(min(float(load), others))))


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
            with _one_thread():
                count = threads + 2 - len(submitted)
                submitted.extend(pool.submit(job) for job in islice(remaining, count))
                if not submitted:
                    return
                result = submitted.popleft().result()
            yield result


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
