"""Tasks in local processes and on a Dask cluster."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from spike_zoo import SpikeArchive
from spike_zoo.errors import SpikeZooError
from spike_zoo.formats import write_recording
from spike_zoo.utils.executor import _worker_faults_handled, run_tasks
from spike_zoo.utils.files import new_file
from tests.conftest import ROOT
from tests.helpers.streams import random_spikes

PARENT = '''
import subprocess, sys, time
worker = """
import os, pathlib, time
from spike_zoo.utils.executor import _run_in_folder, start_worker
from tests.utils.test_executor import write_slowly
start_worker(os.getppid(), None)
_run_in_folder(os.getcwd(), lambda: write_slowly(pathlib.Path("out"), b"watching"))
"""
subprocess.Popen([sys.executable, "-c", worker])
time.sleep(60)
'''

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
def test_a_worker_removes_its_file_and_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    line = [sys.executable, "-c", PARENT]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, stdout=subprocess.PIPE, cwd=tmp_path, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(8) == b"watching"
        parent.kill()
        output, _ = parent.communicate(timeout=30)  # until the worker has closed the pipe
    assert output == b""
    assert list(tmp_path.iterdir()) == []


def write_slowly(path: Path, message: bytes = b"") -> None:
    """Write a file for a minute."""
    with new_file(path):
        os.write(1, message)
        time.sleep(60)


def fail_beside(path: Path, signal_number: int) -> None:
    """Fail by a signal, or by an error if it is 0, after a file was begun."""
    while not list(path.parent.glob("*.part")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal_number)
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("signal_number", "error"),
    [
        (signal.SIGKILL, SpikeZooError),
        pytest.param(0, ZeroDivisionError, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, SpikeZooError, marks=pytest.mark.slow),
    ],
)
def test_workers_remove_unfinished_files_when_another_task_fails(
    signal_number: int, error: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "out"
    tasks = [partial(write_slowly, path), partial(fail_beside, path, signal_number)]
    with pytest.raises(error):
        list(run_tasks(tasks, jobs=2))
    assert list(tmp_path.iterdir()) == []


def test_a_broken_pipe_to_a_worker_is_the_error_of_a_killed_worker() -> None:
    with pytest.raises(SpikeZooError, match="was killed"), _worker_faults_handled():
        raise BrokenPipeError


@pytest.mark.slow
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


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_results_are_returned_and_the_first_error_ends_the_others(jobs: int) -> None:
    assert sorted(run_tasks([partial(pow, 2, n) for n in range(5)], jobs=jobs)) == [1, 2, 4, 8, 16]
    with pytest.raises(ZeroDivisionError):
        list(run_tasks([partial(divmod, 1, 0), partial(divmod, 1, 1)], jobs=jobs))
