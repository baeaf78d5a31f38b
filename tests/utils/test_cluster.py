"""Tasks on a Dask cluster."""

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
from spike_zoo.spikes.take import Take
from spike_zoo.utils.executor import run_tasks
from tests.helpers.archives import make_take, write_archive


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


def test_a_cluster_builds_the_same_archive_as_local_processes(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    build_archive(tmp_path / "here.h5", _takes(6), n_jobs=1)
    build_archive(tmp_path / "there.h5", _takes(6), cluster=cluster.scheduler_address)
    local, remote = (SpikeArchive(tmp_path / f"{name}.h5") for name in ("here", "there"))
    assert local.names() == remote.names()
    assert local.data_sha256() == remote.data_sha256()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.h5", "there.h5"]


@pytest.mark.slow
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


@pytest.mark.slow
def test_several_processes_find_the_same_damage_as_one_process(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5", 70)
    with h5py.File(path, "r+") as file:
        for name in ("take3", "take68"):
            file[f"recordings/{name}/spikes"][0] ^= 8
    findings = verify_archive(path)
    damaged = [finding.path.split("/")[1] for finding in findings if finding.code == "E06"]
    assert damaged == ["take3", "take68"]
    assert verify_archive(path, jobs=2) == findings


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


@pytest.mark.slow
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


# a constructor of dask_jobqueue that fails leaves an object without a way to close it
@pytest.mark.filterwarnings("ignore:unclosed cluster:ResourceWarning")
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere.json", "neither the address of a scheduler"),
        ("half.json", "half.json: not a complete scheduler file"),
        ("empty.json", "empty.json: not a complete scheduler file"),
        ("slurm:none.yaml", "there is no file none.yaml"),
        ("slurm:no-cores.yaml", "no-cores.yaml: You must specify how much cores and memory"),
        ("slurm:misspelt.yaml", "misspelt.yaml: Got unexpected keyword argument 'queu'"),
        ("slurm:no-jobs.yaml", "no-jobs.yaml: needs 'jobs: N'"),
        ("slurm:list.yaml", "list.yaml: needs 'jobs: N'"),
        ("slurm:wrong.yaml", "sbatch rejected a job: sbatch: error: invalid partition"),
        ("tcp://127.0.0.1:1", "no scheduler with workers answers"),
    ],
)
def test_an_unreachable_cluster_is_an_error_of_the_option(
    address: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A job that sbatch rejected was waited for without a limit."""
    job = "cores: 1\nmemory: 2GB\n"
    files = {
        "half.json": '{"type": "Scheduler", "addr',
        "empty.json": "{}",
        "no-cores.yaml": "queue: wrong\n",
        "misspelt.yaml": f"{job}queu: wrong\n",
        "no-jobs.yaml": f"{job}jobs: many\n",
        "list.yaml": "[1, 2]",
        "wrong.yaml": f"{job}jobs: 2\nqueue: wrong\n",
        "sbatch": "#!/bin/sh\necho 'sbatch: error: invalid partition: wrong' >&2\nexit 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("spike_zoo.utils.cluster._TIMEOUT", 1.0)
    with pytest.raises(SpikeZooError, match=message):
        list(run_tasks([time.time], cluster=address))
    assert "Traceback" not in capfd.readouterr().err


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
