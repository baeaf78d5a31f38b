"""Processor cores that this process may use and that are free, and torch's number of threads."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_STAT: Final = Path("/proc/stat")
_MIN_LENGTH: Final = 0.2  # seconds over which the load is measured at least


def usable_cores() -> int:
    """Return the number of cores for this process, limited by affinity and the cgroup's quota."""
    from joblib import cpu_count  # loads slowly

    return int(cpu_count())


class LoadSample(NamedTuple):
    """Processor time used until one moment, in seconds."""

    time: float  #: the moment
    busy: float  #: time of all processes on the cores of this process; 0 except on Linux
    own: float  #: time of this process

    @classmethod
    def now(cls) -> LoadSample:
        """Return the sample of this moment."""
        return cls(time.monotonic(), _busy_seconds(), time.process_time())


def free_cores(since: LoadSample) -> int:
    """Return the number of usable cores that other processes left free since a sample, at least 1.

    The load average is not used: it reaches a new load only after a minute.
    """
    time.sleep(max(0.0, since.time + _MIN_LENGTH - time.monotonic()))
    now = LoadSample.now()
    others = (now.busy - since.busy - now.own + since.own) / (now.time - since.time)
    return max(1, min(usable_cores(), len(_affinity()) - round(max(others, 0.0))))


def limit_threads_of_torch() -> None:
    """Limit torch's threads to the free cores as soon as torch is imported.

    OpenMP threads wait for each other in busy loops. With more threads than free cores, an
    operation takes many times as long as with one thread. ``OMP_NUM_THREADS`` sets another number.
    Torch is not imported here, because many commands do not need it.
    """
    # short busy loops, for a load that begins later; the default is about a millisecond
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if "OMP_NUM_THREADS" not in os.environ and "torch" not in sys.modules:
        sys.meta_path.insert(0, _TorchHook(LoadSample.now()))


class _TorchHook(MetaPathFinder):
    """Import hook that limits torch's threads after the import of torch, and removes itself."""

    def __init__(self, start: LoadSample) -> None:
        self._start = start

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return torch's specification with a loader that then limits the threads."""
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_limit(torch: ModuleType) -> None:
                execute(torch)
                torch.set_num_threads(min(torch.get_num_threads(), free_cores(self._start)))

            spec.loader.exec_module = execute_and_limit  # type: ignore[assignment]
        return spec


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _busy_seconds() -> float:
    names = {f"cpu{number}" for number in _affinity()}
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return 0.0
    # user nice system (idle iowait) irq softirq steal
    rows = [line.split()[1:] for line in lines if line.partition(" ")[0] in names]
    return sum(int(word) for row in rows for word in row[:3] + row[5:8]) / os.sysconf("SC_CLK_TCK")
