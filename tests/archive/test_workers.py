"""Worker processes end with the one that started them."""

from __future__ import annotations

import os
import subprocess
import sys

import joblib
import pytest

from spike_zoo.archive.workers import end_with, worker_options

PARENT = """
import subprocess, sys, time
worker = "import os, sys, time; from spike_zoo.archive.workers import end_with;"
worker += "end_with(os.getppid()); print('watching', flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", worker])
time.sleep(60)
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
    options = worker_options()
    assert (options["initializer"], options["initargs"]) == (end_with, (os.getpid(),))
    # a worker that ends by itself just as work comes leaves the caller waiting for ever
    assert options["idle_worker_timeout"] > 3600
    with joblib.parallel_config(backend="threading"):
        assert worker_options() == {}
