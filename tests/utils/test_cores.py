"""Free cores, and torch's number of threads in a command."""

import os
import time
from pathlib import Path

import pytest

from spike_zoo.utils import cores
from spike_zoo.utils.cores import LoadSample, free_cores
from tests.helpers.processes import run_python

#: A module in place of torch, whose import takes as long as the load is measured.
TORCH = """
import time
time.sleep(0.2)
threads = 7
def get_num_threads(): return threads
def set_num_threads(count): globals().update(threads=count)
"""


def _machine(
    monkeypatch: pytest.MonkeyPatch, folder: Path, quota: int, affinity: int, busy: float
) -> LoadSample:
    """Simulate a machine of 8 cores, and return a sample of 10 s ago; ``busy`` is in cores."""
    ticks = round(10 * busy * os.sysconf("SC_CLK_TCK") / affinity)
    lines = [f"cpu{n} {ticks} 0 0 5 5 0 0 0 0 0" for n in range(affinity)]
    others = [f"cpu{n} 99999 0 0 0 0 0 0 0 0 0" for n in range(affinity, 8)]
    (folder / "stat").write_text("\n".join(["cpu  9 9 9", *lines, *others, "intr 3 4"]))
    monkeypatch.setattr(cores, "_STAT", folder / "stat")
    monkeypatch.setattr(cores, "usable_cores", lambda: min(quota, affinity))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    return LoadSample(time.monotonic() - 10, 0.0, time.process_time())


@pytest.mark.skipif(os.name != "posix", reason="/proc/stat exists on Linux only")
@pytest.mark.parametrize(
    ("quota", "affinity", "busy", "free"),
    [
        (8, 8, 0.0, 8),
        (8, 8, 3.1, 5),
        (8, 2, 0.2, 2),  # the load of other cores does not count
        (2, 2, 1.3, 1),  # two busy processes beside this one
        (2, 8, 0.0, 2),  # a quota of the cgroup
        (2, 8, 5.0, 2),
        (4, 8, 8.0, 1),
    ],
)
def test_cores_used_by_other_processes_are_not_free(
    quota: int,
    affinity: int,
    busy: float,
    free: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert free_cores(_machine(monkeypatch, tmp_path, quota, affinity, busy)) == free


def test_time_of_this_process_and_missing_times_are_no_load_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    since = _machine(monkeypatch, tmp_path, 4, 4, 2.0)
    assert free_cores(since._replace(own=since.own - 20)) == 4
    (tmp_path / "stat").unlink()
    assert free_cores(since) == 4


@pytest.mark.parametrize(("user", "threads"), [("5", 7), (None, 2)])
def test_a_command_limits_torchs_threads_unless_the_user_set_the_number(
    user: str | None, threads: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text(TORCH)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")  # joblib's own limit, in place of a quota
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if user is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", user)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from spike_zoo.cli.main import main;"
        "main(['--version']); from spike_zoo.utils import cores; cores._STAT /= 'none';"
        "import torch; print(torch.threads)"
    )
    done = run_python(code)
    assert done.stdout.split()[-1] == str(threads), done.stderr
