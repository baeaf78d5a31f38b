"""Worker processes end with the one that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive.workers import start_worker, worker_options
from spike_zoo.formats import write_recording
from tests.helpers.streams import random_spikes

PARENT = """
import subprocess, sys, time
worker = "import os, sys, time; from spike_zoo.archive.workers import start_worker;"
worker += "start_worker(os.getppid(), None); print('watching', flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", worker])
time.sleep(60)
"""

BUILD = """
import sys, time, warnings
from spike_zoo.archive import build_archive
from tests.helpers.archives import make_take

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
        output, _ = parent.communicate(timeout=30)  # until the worker has left the pipe too
    assert output == b""


def test_only_joblibs_own_processes_watch_this_one() -> None:
    initial = {"initializer": start_worker, "initargs": (os.getpid(), warnings.formatwarning)}
    assert worker_options() == initial
    with joblib.parallel_config(backend="threading"):
        assert worker_options() == {}


def test_a_worker_that_grew_is_replaced_where_warnings_are_errors(tmp_path: Path) -> None:
    """The warning of it once ended the thread that hands out the work."""
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
    dropped = "dropped the last 11 bytes, an incomplete plane of 6x16 after 4 whole planes"
    for name in ("a", "b"):
        assert f"warning: set/test/{name}.dat: {dropped}\n" in done.stderr
    assert "UserWarning" not in done.stderr
