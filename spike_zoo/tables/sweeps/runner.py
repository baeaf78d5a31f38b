"""Execution of the unfinished runs of a sweep in processes or on a Dask cluster."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, Literal

from spike_zoo.tables.sweeps.records import (
    PlannedRun,
    keep_record,
    record_of,
    rename_invalid_record,
)
from spike_zoo.training.folders import RUN_DIR_VARIABLE, lock_of
from spike_zoo.training.planning import FILES_VARIABLE
from spike_zoo.utils.executor import run_tasks

POLL_SECONDS = 0.05
STOP_SECONDS = 60.0  # a stopped run has this time to save its checkpoint
TAIL_LINES = 15  # lines of printed output in the failure file

Event = Literal["started", "finished", "failed"]
Report = Callable[[Event, "PlannedRun", float], None]
"""Callback with the event, the run and its seconds in this call."""


@dataclass
class Outcome:
    """Outcome of a run in this call."""

    run: PlannedRun  #: the run
    is_finished: bool  #: whether the run has a valid record, regardless of the exit code
    seconds: float  #: duration in this call

    @property
    def event(self) -> Event:
        """The event that ended the run."""
        return "finished" if self.is_finished else "failed"


@dataclass
class _Process:
    run: PlannedRun
    popen: subprocess.Popen[bytes]
    lock: IO[bytes]
    began: float


def run_all(
    runs: Sequence[PlannedRun],
    environment: Mapping[str, str],
    *,
    jobs: int = 1,
    report: Report = lambda event, run, seconds: None,
) -> list[Outcome]:
    """Execute the unfinished runs and return the outcomes.

    Each run has a lock, which its process inherits. Therefore several calls share the work, and a
    process that outlived a killed call is awaited instead of started twice. On Ctrl-C and SIGTERM
    the processes receive SIGTERM and save their checkpoints.
    """
    work = _Work(environment, jobs, report, deque(runs))
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: _stop(work.running))  # processes still run after an interruption
        while work.waiting or work.running or work.elsewhere:
            work.begin()
            time.sleep(POLL_SECONDS)
            work.collect()
    return work.outcomes


def run_on_cluster(
    runs: Sequence[PlannedRun],
    environment: Mapping[str, str],
    cluster: str,
    report: Report = lambda event, run, seconds: None,
) -> list[Outcome]:
    """Execute the unfinished runs on a Dask cluster; each worker thread executes one run at a time.

    If this call is interrupted, started runs continue to their end, and the next call reads their
    records.
    """
    changed = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    outcomes = []
    results = run_tasks([partial(_run_on_worker, run, changed) for run in runs], cluster=cluster)
    with contextlib.closing(results):
        for outcome in results:
            outcomes.append(outcome)
            report(outcome.event, outcome.run, outcome.seconds)
    return outcomes


def _run_on_worker(run: PlannedRun, changed: Mapping[str, str]) -> Outcome:
    (outcome,) = run_all([run], {**os.environ, **changed})
    return outcome


@dataclass
class _Work:
    """Waiting runs, runs whose lock another call holds, processes of this call, and outcomes."""

    environment: Mapping[str, str]
    jobs: int
    report: Report
    waiting: deque[PlannedRun]
    elsewhere: deque[PlannedRun] = field(default_factory=deque)
    running: list[_Process] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def begin(self) -> None:
        """Start waiting runs up to ``jobs``; defer runs whose lock another call holds."""
        if not self.waiting:
            self.waiting, self.elsewhere = self.elsewhere, self.waiting
        while self.waiting and len(self.running) < self.jobs:
            run = self.waiting.popleft()
            lock = lock_of(run.run_dir)
            if lock is None:
                self.elsewhere.append(run)
                break
            if record_of(run) is not None:  # another call has finished the run
                keep_record(run)
                lock.close()
                self.note(Outcome(run, is_finished=True, seconds=0.0))
                continue
            self.report("started", run, 0.0)
            try:
                self.running.append(_start(run, lock, self.environment))
            except OSError:
                lock.close()
                raise

    def collect(self) -> None:
        """Add the outcomes of processes that have ended."""
        for process in [process for process in self.running if process.popen.poll() is not None]:
            self.running.remove(process)
            is_finished, seconds = _store_outcome(process), time.monotonic() - process.began
            self.note(Outcome(process.run, is_finished, seconds))

    def note(self, outcome: Outcome) -> None:
        """Add and report an outcome."""
        self.outcomes.append(outcome)
        self.report(outcome.event, outcome.run, outcome.seconds)


def keep_finished(runs: Sequence[PlannedRun]) -> None:
    """Store the records of finished runs, except runs whose lock another call holds."""
    for run in runs:
        if run.result.is_file() and (lock := lock_of(run.run_dir)) is not None:
            with lock:
                keep_record(run)


def _start(run: PlannedRun, lock: IO[bytes], environment: Mapping[str, str]) -> _Process:
    """Start a run as leader of a new process group, so that Ctrl-C reaches only this process."""
    run.failure.unlink(missing_ok=True)
    rename_invalid_record(run)
    with run.output.open("ab") as output:
        output.write(f"$ {' '.join(run.command)}\n".encode())
        output.flush()
        popen = subprocess.Popen(
            run.command,
            env={
                **environment,
                RUN_DIR_VARIABLE: str(run.run_dir),
                FILES_VARIABLE: json.dumps(run.files),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock.fileno()],
            process_group=0,
        )
    return _Process(run, popen, lock, time.monotonic())


def _store_outcome(process: _Process) -> bool:
    """Store the record of a finished run or write its failure file; return whether it finished."""
    run = process.run
    is_finished = record_of(run) is not None
    if is_finished:
        keep_record(run)
    else:
        reason = "wrote a result of another configuration: code or data were changed meanwhile"
        if not run.result.is_file():
            reason = "wrote no complete result"
        elif record_of(replace(run, needs_checkpoint=False)) is not None:
            reason = "wrote no checkpoint, from which other runs start"
        code = process.popen.returncode
        ended = f"ended with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        output = run.output.read_text(encoding="utf-8", errors="replace").splitlines()
        text = "\n".join([f"the process {ended} and {reason}", *output[-TAIL_LINES:], ""])
        run.failure.write_text(text, encoding="utf-8")
    process.lock.close()
    return is_finished


def _stop(running: Sequence[_Process]) -> None:
    """Send SIGTERM to processes, wait up to 60 seconds, then send SIGKILL.

    An exception while waiting, for example a second Ctrl-C, sends SIGKILL immediately.
    """
    deadline = time.monotonic() + STOP_SECONDS
    try:
        for process in running:
            _send(process, signal.SIGTERM)
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for process in running:
            _send(process, signal.SIGKILL)
            process.popen.wait()
            process.lock.close()


def _send(process: _Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.popen.pid, number)
