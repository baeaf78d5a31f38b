"""Threads that torch computes with on a processor that other processes use too."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from joblib import cpu_count

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
