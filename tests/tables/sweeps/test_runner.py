"""Execution of unfinished runs after interruptions, failures and parallel calls."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from spike_zoo.tables.sweeps.records import PlannedRun, record_of
from spike_zoo.tables.sweeps.runner import run_all, run_on_cluster
from spike_zoo.training.folders import lock_of
from tests.conftest import ROOT
from tests.helpers.planned import planned_run, start_count

CALL = """
import os, sys
from pathlib import Path
from spike_zoo.tables.sweeps.runner import run_all
from tests.helpers.planned import planned_run
folder = Path(sys.argv[1])
run_all([planned_run(folder, f"full-{seed}", seconds=1.0) for seed in range(3)], os.environ)
"""


def _runs(folder: Path) -> list[PlannedRun]:
    return [planned_run(folder, f"full-{seed}", seconds=1.0) for seed in range(3)]


def _wait_until_second_began(runs: list[PlannedRun]) -> None:
    deadline = time.monotonic() + 60
    while not start_count(runs[1]):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_runs_happen_in_order_and_leave_records_and_output(tmp_path: Path) -> None:
    runs = [planned_run(tmp_path, f"full-{seed}") for seed in range(3)]
    events: list[tuple[str, str]] = []
    outcomes = run_all(
        runs, os.environ, report=lambda event, run, _: events.append((event, run.name))
    )
    assert [outcome.run for outcome in outcomes] == runs
    assert all(outcome.is_finished for outcome in outcomes)
    assert events[:3] == [("started", "full-0"), ("finished", "full-0"), ("started", "full-1")]
    assert "working" in runs[0].output.read_text()


def test_a_cluster_executes_the_unfinished_runs(tmp_path: Path) -> None:
    runs = [planned_run(tmp_path, f"full-{seed}") for seed in range(2)]
    runs.append(planned_run(tmp_path, "bad-0", fails=True))
    run_all(runs[:1], os.environ)
    events: list[tuple[str, str]] = []
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster:
        outcomes = run_on_cluster(
            *(runs, {**os.environ, "PROFILE": "cpu"}, cluster.scheduler_address),
            lambda event, run, _: events.append((event, run.name)),
        )
    is_finished = {outcome.run.name: outcome.is_finished for outcome in outcomes}
    assert is_finished == {"full-0": True, "full-1": True, "bad-0": False}
    assert sorted(events) == [("failed", "bad-0"), ("finished", "full-0"), ("finished", "full-1")]
    assert [start_count(run) for run in runs[:2]] == [1, 1]


def test_a_finished_run_is_never_run_twice(tmp_path: Path) -> None:
    runs = [planned_run(tmp_path, f"full-{seed}") for seed in range(2)]
    run_all(runs[:1], os.environ)
    assert all(outcome.is_finished for outcome in run_all(runs, os.environ))
    assert [start_count(run) for run in runs] == [1, 1]


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("", "ended with 0"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
    ],
)
def test_a_run_without_a_record_has_failed(tmp_path: Path, code: str, end: str) -> None:
    run = replace(planned_run(tmp_path), command=(sys.executable, "-c", code))
    assert not run_all([run], os.environ)[0].is_finished
    assert f"{end} and wrote no complete result" in run.failure.read_text()


def test_a_run_whose_process_cannot_start_is_unlocked(tmp_path: Path) -> None:
    run = replace(planned_run(tmp_path), command=("/nowhere",))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run_all([run], os.environ)
    lock: Any = lock_of(run.run_dir)
    lock.close()


def test_checkpoints_of_other_data_are_moved_away_and_not_resumed(tmp_path: Path) -> None:
    run = planned_run(tmp_path)
    run_all([run], os.environ)
    checkpoints = run.run_dir / "checkpoints"
    (checkpoints / "best.ckpt").write_bytes(b"of other data")
    *start, code, folder, seconds, record = run.command
    command = (*start, f"import os\nassert not os.path.exists({str(checkpoints)!r})\n{code}")
    command = (*command, folder, seconds, record.replace("ab" * 32, "cd" * 32))
    rerun = replace(run, command=command, data_sha256="cd" * 32)
    assert run_all([rerun], os.environ)[0].is_finished
    set_aside = run.run_dir / "checkpoints.before" / "best.ckpt"
    assert set_aside.read_bytes() == b"of other data"
    assert (run.run_dir / "result.json.before").is_file()


def test_a_run_without_the_checkpoint_that_others_start_from_has_failed(tmp_path: Path) -> None:
    run = planned_run(tmp_path, needs_checkpoint=True)
    *start, code, folder, seconds, record = run.command
    command = (*start, code.replace("best.ckpt", "none.ckpt"), folder, seconds, record)
    assert not run_all([replace(run, command=command)], os.environ)[0].is_finished
    assert "wrote no checkpoint, from which other runs start" in run.failure.read_text()


def test_a_run_that_crashes_after_writing_its_record_is_finished(tmp_path: Path) -> None:
    run = planned_run(tmp_path)
    *start, code, folder, seconds, record = run.command
    command = (*start, f"{code}\nsys.exit(3)", folder, seconds, record)
    assert run_all([replace(run, command=command)], os.environ)[0].is_finished


def test_a_failed_run_is_kept_and_named_and_the_others_continue(tmp_path: Path) -> None:
    bad, good = planned_run(tmp_path, "bad-0", fails=True), planned_run(tmp_path, "good-0")
    outcomes = run_all([bad, good], os.environ)
    assert [outcome.is_finished for outcome in outcomes] == [False, True]
    assert "no luck" in bad.failure.read_text()
    assert start_count(bad) == 1


def test_after_sigkill_the_next_call_finishes_the_rest_and_repeats_nothing(tmp_path: Path) -> None:
    runs = _runs(tmp_path)
    call = subprocess.Popen([sys.executable, "-c", CALL, str(tmp_path)], cwd=ROOT)
    _wait_until_second_began(runs)
    call.send_signal(signal.SIGKILL)
    call.wait()
    assert record_of(runs[1]) is None, "the second run continues without its parent process"
    assert all(outcome.is_finished for outcome in run_all(runs, os.environ))
    assert [start_count(run) for run in runs] == [1, 1, 1]


def test_ctrl_c_stops_the_process_and_the_next_call_runs_it_again(tmp_path: Path) -> None:
    runs = _runs(tmp_path)
    call = subprocess.Popen([sys.executable, "-c", CALL, str(tmp_path)], cwd=ROOT)
    _wait_until_second_began(runs)
    call.send_signal(signal.SIGINT)
    assert call.wait(timeout=30) == -signal.SIGINT
    assert not runs[1].failure.exists(), "a stopped run has not failed"
    time.sleep(1.2)
    assert record_of(runs[1]) is None, "the process of the run must not continue"
    assert all(outcome.is_finished for outcome in run_all(runs, os.environ))
    assert [start_count(run) for run in runs] == [1, 2, 1]


def test_two_parallel_calls_share_the_runs(tmp_path: Path) -> None:
    runs = _runs(tmp_path)
    thread = threading.Thread(target=run_all, args=(runs, os.environ))
    thread.start()
    assert all(outcome.is_finished for outcome in run_all(runs, os.environ))
    thread.join()
    assert [start_count(run) for run in runs] == [1, 1, 1]
