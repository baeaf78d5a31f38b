"""Building archives in one and in several processes."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import build_archive
from spike_zoo.errors import (
    ExistingFileError,
    FormatError,
    MissingItemError,
    RecordingError,
    SpikeZooError,
)
from spike_zoo.spikes import Take
from tests.conftest import ROOT
from tests.helpers.archives import make_take
from tests.helpers.limits import largest_file

JOBS = {f"take{seed}": partial(make_take, seed) for seed in (3, 1, 2, 0)}


def failing_take() -> Take:
    raise FormatError("scene 4: no such photograph", code="E99")


def test_recordings_are_written_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    progress_calls: list[tuple[int, int]] = []
    path = build_archive(
        *(tmp_path / "new" / "a.h5", JOBS),
        splits={"train": ["take2", "take3"], "test": ["take0"]},
        progress=lambda done, total: progress_calls.append((done, total)),
    )
    archive = SpikeArchive(path)
    assert archive.names() == ["take3", "take1", "take2", "take0"]
    assert archive.names("train") == ["take2", "take3"]
    assert progress_calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert archive.verify() == []
    for seed in range(4):
        np.testing.assert_array_equal(archive[f"take{seed}"][:], make_take(seed).recording[:])
    assert list(path.parent.iterdir()) == [path]


def test_workers_use_the_current_folder_of_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """joblib keeps its workers between calls, in a notebook too."""
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        np.savez(folder / "seed.npz", seed=number)
        monkeypatch.chdir(folder)
        jobs = {name: lambda: make_take(int(np.load("seed.npz")["seed"])) for name in ("a", "b")}
        build_archive("out.h5", jobs, n_jobs=2)
        expected = make_take(number).recording[:]
        np.testing.assert_array_equal(SpikeArchive("out.h5")["a"][:], expected)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failed_job_leaves_no_file(tmp_path: Path, n_jobs: int) -> None:
    with pytest.raises(FormatError, match="no such photograph") as caught:
        build_archive(tmp_path / "a.h5", {**JOBS, "bad": failing_take}, n_jobs=n_jobs)
    assert caught.value.code == "E99"
    assert list(tmp_path.iterdir()) == []


# no room for a shard, within a shard, within the archive; a shard is written by a worker
@pytest.mark.parametrize(("size", "n_jobs"), [(1000, 1), (9_000, 1), (30_000, 1), (9_000, 2)])
def test_a_full_disk_ends_a_build_in_one_error_and_leaves_nothing(
    tmp_path: Path, n_jobs: int, size: int
) -> None:
    message = r"a\.h5: cannot be written \(File too large\); .*free space"
    with largest_file(size), pytest.raises(RecordingError, match=message):
        build_archive(tmp_path / "a.h5", JOBS, n_jobs=n_jobs)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_worker_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    def killed_job() -> Take:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    with pytest.raises(SpikeZooError, match=r"worker process was killed.*--jobs 1"):
        build_archive(tmp_path / "a.h5", {**JOBS, "bad": killed_job}, n_jobs=2)
    assert list(tmp_path.iterdir()) == []


def test_two_builds_have_the_same_bytes(tmp_path: Path) -> None:
    first = build_archive(tmp_path / "first.h5", JOBS, splits={"train": ["take2"]})
    time.sleep(1.1)  # HDF5 keeps times in seconds
    second = build_archive(tmp_path / "second.h5", JOBS, splits={"train": ["take2"]}, n_jobs=2)
    assert first.read_bytes() == second.read_bytes()


def test_invalid_arguments_are_rejected_before_any_job_runs(tmp_path: Path) -> None:
    def unexpected_job() -> Take:
        pytest.fail("a job ran")

    (tmp_path / "old.h5").write_bytes(b"")
    with pytest.raises(ExistingFileError):
        build_archive(tmp_path / "old.h5", {"a": unexpected_job})
    with pytest.raises(FormatError, match="cannot name a recording"):
        build_archive(tmp_path / "a.h5", {"a/b": unexpected_job})
    with pytest.raises(MissingItemError, match="split 'train' names 'b'"):
        build_archive(tmp_path / "a.h5", {"a": unexpected_job}, splits={"train": ["b"]})
    assert [path.name for path in tmp_path.iterdir()] == ["old.h5"]


SLOW_BUILD = """
import os, sys, time
from spike_zoo.archive import build_archive
from tests.helpers.archives import make_take

def slow():
    os.write(1, b"started\\n")  # in one piece, whatever the other worker prints
    time.sleep(60)

if __name__ == "__main__":
    jobs = {"first": make_take, "second": slow, "third": slow}
    build_archive(sys.argv[1], jobs, n_jobs=int(sys.argv[2]), progress=lambda *_: print("done"))
"""


def slow_build(script: Path, target: Path, n_jobs: int) -> subprocess.Popen[str]:
    script.write_text(SLOW_BUILD)
    return subprocess.Popen(
        [sys.executable, script, target, str(n_jobs)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_build_leaves_no_file(tmp_path: Path, n_jobs: int) -> None:
    folder = tmp_path / "out"
    process: Any = slow_build(tmp_path / "build.py", folder / "a.h5", n_jobs)
    assert process.stdout.readline().strip() in ("started", "done")
    time.sleep(0.3)
    assert any(folder.iterdir())
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 4])  # one of the four workers gets no job
def test_workers_of_a_killed_process_end_and_the_next_build_cleans_up(
    tmp_path: Path, n_jobs: int
) -> None:
    target = tmp_path / "out" / "a.h5"
    process: Any = slow_build(tmp_path / "build.py", target, n_jobs)
    while process.stdout.readline().strip() != "started":
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate(timeout=10)  # until all workers have ended
    leftovers = sorted(target.parent.iterdir())
    assert sorted(path.is_dir() for path in leftovers) == [False, True]  # archive, shards
    with pytest.warns(UserWarning, match=f"removed; process {process.pid} left it") as caught:
        build_archive(target, {"a": JOBS["take1"]})
    removed = sorted(str(warning.message).split(":")[0] for warning in caught)
    assert removed == list(map(str, leftovers))
    assert list(target.parent.iterdir()) == [target]
