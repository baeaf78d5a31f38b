"""Tasks in local processes and on a Dask cluster."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import pytest
from distributed import LocalCluster

import spike_zoo
from spike_zoo import SpikeArchive
from spike_zoo.archive import build_archive, verify_archive
from spike_zoo.errors import FormatError, MissingFileError, SpikeZooError, UsageError
from spike_zoo.executor import run_tasks
from spike_zoo.formats import write_recording
from spike_zoo.spikes.take import Take
from tests.helpers.archives import make_take, write_archive
from tests.helpers.streams import random_spikes

PARENT = """
import subprocess, sys, time
worker = "import os, sys, time; from spike_zoo.executor import start_worker;"
worker += "start_worker(os.getppid(), None); print('watching', flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", worker])
time.sleep(60)
"""

BUILD = """
import sys, time, warnings
from spike_zoo.archive import build_archive, verify_archive
from tests.helpers.archives import make_take, write_archive

def growing():
    time.sleep(0.6)
    sys.__dict__.setdefault("held", []).append(b"x" * (400 << 20))
    return make_take(0)

warnings.simplefilter("error")
build_archive(sys.argv[1], {f"take{n}": growing for n in range(12)}, n_jobs=2)
"""


@pytest.mark.skipif(os.name != "posix", reason="orphans are adopted, as only POSIX does")
def test_a_worker_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"watching\n"
        parent.kill()
        output, _ = parent.communicate(timeout=30)  # until the worker has closed the pipe
    assert output == b""


def test_a_worker_with_increased_memory_is_replaced_if_warnings_are_errors(tmp_path: Path) -> None:
    """The warning used to end joblib's thread that distributes the tasks."""
    line = [sys.executable, "-c", BUILD, str(tmp_path / "a.h5")]
    subprocess.run(line, check=True, timeout=90)
    assert len(SpikeArchive(tmp_path / "a.h5").names()) == 12


def test_warnings_of_workers_have_the_format_of_the_command_line(tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = write_recording(random_spikes(5, 6, 16), tmp_path / "set" / "test" / f"{name}.dat")
        path.write_bytes(path.read_bytes()[:-1])  # the last plane is incomplete
    line = [sys.executable, "-m", "spike_zoo", "archive", "build", "set", "set.h5", "--jobs=2"]
    line += ["--height=6", "--width=16", "--allow-partial"]
    done = subprocess.run(
        line, check=True, timeout=90, cwd=tmp_path, capture_output=True, text=True
    )
    message = "dropped the last 11 bytes, an incomplete plane of 6x16 after 4 whole planes"
    for name in ("a", "b"):
        assert f"warning: set/test/{name}.dat: {message}\n" in done.stderr
    assert "UserWarning" not in done.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster of two worker processes, as started by 'dask worker'."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as started:
        yield started


def _slow_take(seconds: float, seed: int) -> Take:
    time.sleep(seconds)
    return make_take(seed)


def _takes(count: int, seconds: float = 0.0) -> dict[str, Callable[[], Take]]:
    return {f"take{n}": partial(_slow_take, seconds, n) for n in range(count)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_results_are_returned_and_the_first_error_ends_the_others(jobs: int) -> None:
    assert sorted(run_tasks([partial(pow, 2, n) for n in range(5)], jobs=jobs)) == [1, 2, 4, 8, 16]
    with pytest.raises(ZeroDivisionError):
        list(run_tasks([partial(divmod, 1, 0), partial(divmod, 1, 1)], jobs=jobs))


def test_a_cluster_builds_the_same_archive_as_local_processes(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    build_archive(tmp_path / "here.h5", _takes(6), n_jobs=1)
    build_archive(tmp_path / "there.h5", _takes(6), cluster=cluster.scheduler_address)
    local, remote = (SpikeArchive(tmp_path / f"{name}.h5") for name in ("here", "there"))
    assert local.names() == remote.names()
    assert local.data_sha256() == remote.data_sha256()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.h5", "there.h5"]


def test_takes_of_killed_workers_are_computed_again(cluster: LocalCluster, tmp_path: Path) -> None:
    build_archive(tmp_path / "quiet.h5", _takes(24), n_jobs=1)
    finished = threading.Event()
    kills: list[int] = []

    def kill_workers() -> None:
        chosen = random.Random(0)
        while not finished.wait(1.0) and len(kills) < 3:
            pids = [worker.pid for worker in cluster.workers.values() if worker.pid]
            if pids:
                kills.append(chosen.choice(pids))
                os.kill(kills[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill_workers)
    killer.start()
    try:
        build_archive(tmp_path / "noisy.h5", _takes(24, 0.3), cluster=cluster.scheduler_address)
    finally:
        finished.set()
        killer.join()
    assert kills
    quiet, noisy = (SpikeArchive(tmp_path / f"{name}.h5") for name in ("quiet", "noisy"))
    assert quiet.data_sha256() == noisy.data_sha256()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy.h5", "quiet.h5"]


def test_a_cluster_and_several_processes_find_the_same_damage_as_one_process(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    path = write_archive(tmp_path / "a.h5", 70)
    with h5py.File(path, "r+") as file:
        for name in ("take3", "take68"):
            file[f"recordings/{name}/spikes"][0] ^= 8
    findings = verify_archive(path)
    damaged = [finding.path.split("/")[1] for finding in findings if finding.code == "E06"]
    assert damaged == ["take3", "take68"]
    assert verify_archive(path, jobs=2) == findings
    assert verify_archive(path, cluster=cluster.scheduler_address) == findings


def _fail(kind: type[SpikeZooError]) -> Take:
    raise kind("x.dat: no recording", code="E01")


@pytest.mark.parametrize("kind", [FormatError, MissingFileError])
def test_the_error_of_a_task_on_a_cluster_is_raised_and_leaves_no_file(
    kind: type[SpikeZooError], cluster: LocalCluster, tmp_path: Path
) -> None:
    jobs: dict[str, Callable[[], Take]] = {**_takes(3), "bad": partial(_fail, kind)}
    with pytest.raises(kind, match="no recording"):
        build_archive(tmp_path / "a.h5", jobs, cluster=cluster.scheduler_address)
    assert not list(tmp_path.iterdir())


def test_workers_with_another_version_or_without_the_files_are_reported(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = cluster.scheduler_address
    with pytest.raises(SpikeZooError, match=r"worker \S+ cannot access .*nowhere"):
        list(run_tasks([time.time], cluster=address, shared=tmp_path / "nowhere"))
    monkeypatch.setattr(spike_zoo, "__version__", "9.9")
    with pytest.raises(SpikeZooError, match=r"worker \S+ has spike-zoo 0\S+, and this process 9.9"):
        list(run_tasks([time.time], cluster=address))


def _start(program: str, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"distributed.cli.{program}", *words, "--no-dashboard"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_the_loss_of_the_scheduler_raises_an_error(tmp_path: Path) -> None:
    """Dask reports the tasks of a lost scheduler as completed."""
    file = str(tmp_path / "dask.json")
    with (
        _start("dask_scheduler", "--scheduler-file", file, "--port", "0") as scheduler,
        _start("dask_worker", "--scheduler-file", file, "--death-timeout", "5") as worker,
    ):
        try:
            while not Path(file).is_file():
                time.sleep(0.1)
            results = run_tasks([partial(time.sleep, 0.2)] * 100, cluster=file)
            next(results)
            scheduler.kill()
            with pytest.raises(SpikeZooError, match="the connection to the scheduler was lost"):
                list(results)
        finally:
            scheduler.kill()
            worker.kill()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere.json", "neither the address of a scheduler"),
        ("slurm:none.yaml", "there is no file none.yaml"),
        ("tcp://127.0.0.1:1", "no scheduler with workers answers"),
    ],
)
def test_an_unreachable_cluster_is_an_error_of_the_option(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spike_zoo.executor._TIMEOUT", 1.0)
    with pytest.raises(SpikeZooError, match=message):
        list(run_tasks([time.time], cluster=address))


def test_a_dask_scheduler_file_is_accepted_as_an_address(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"type": "Scheduler", "address": cluster.scheduler_address}))
    assert list(run_tasks([partial(pow, 2, 3)], cluster=str(file))) == [8]


def test_without_dask_the_option_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'spike-zoo\[cluster\]'"):
        list(run_tasks([time.time], cluster="tcp://127.0.0.1:1"))
