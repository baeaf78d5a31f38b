"""Run the unfinished runs of a sweep, one process each; interrupted runs save a checkpoint."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Literal

from spike_zoo.executor import run_tasks
from spike_zoo.runs.folders import RUN_DIR_VARIABLE, lock_of
from spike_zoo.runs.planning import FILES_VARIABLE
from spike_zoo.sweeps.records import (
    PlannedRun,
    keep_record,
    record_of,
    set_aside,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL_SECONDS = 0.05
STOP_SECONDS = 60.0  # a run that is stopped saves its checkpoint first
TAIL_LINES = 15

Event = Literal["started", "finished", "failed"]
Report = Callable[[Event, "PlannedRun", float], None]
"""Called with what happened to a run, and its seconds so far in this call."""


@dataclass
class Outcome:
    """Result of a run in this call.

    Attributes:
        run: The run.
        is_finished: Whether its record exists, regardless of the exit code.
        seconds: Duration in this call.
    """

    run: PlannedRun
    is_finished: bool
    seconds: float


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
    """Run what is not finished, and return the outcomes.

    A run belongs to the holder of its lock, which its process inherits. So several calls share the
    work, and a run that outlived a killed call is awaited, not started twice.
    On Ctrl-C and SIGTERM the processes are asked to stop, which saves their checkpoints.

    Args:
        runs: The runs, in their order.
        environment: The processes' environment.
        jobs: Processes at a time.
        report: Called when a run starts and ends.
    """
    work = _Work(environment, jobs, report, deque(runs))
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: _stop(work.running))  # none run any more, unless it is interrupted
        while work.is_left:
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
    """Run what is not finished on a Dask cluster; a worker runs as many at a time as its threads.

    Runs that have started when this call is interrupted go on to their ends, and the next call
    finds their records.

    Args:
        runs: The runs, which share the file system of this process.
        environment: As for :func:`run_all`; workers take what differs from this process' own.
        cluster: See :func:`spike_zoo.executor.run_tasks`.
        report: Called when a run ends.
    """
    changed = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    outcomes = []
    results = run_tasks([partial(_run_here, run, changed) for run in runs], cluster=cluster)
    with contextlib.closing(results):
        for outcome in results:
            outcomes.append(outcome)
            report(_event(outcome), outcome.run, outcome.seconds)
    return outcomes


def _run_here(run: PlannedRun, changed: Mapping[str, str]) -> Outcome:
    (outcome,) = run_all([run], {**os.environ, **changed})
    return outcome


@dataclass
class _Work:
    """Waiting and running runs, and the outcomes of the others."""

    environment: Mapping[str, str]
    jobs: int
    report: Report
    waiting: deque[PlannedRun]
    elsewhere: deque[PlannedRun] = field(default_factory=deque)
    running: list[_Process] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def is_left(self) -> bool:
        """Whether a run waits or runs, here or in another call."""
        return bool(self.waiting or self.running or self.elsewhere)

    def begin(self) -> None:
        """Start waiting runs while there is room, unless another call holds them."""
        if not self.waiting and self.elsewhere:
            self.waiting, self.elsewhere = self.elsewhere, self.waiting
        while self.waiting and len(self.running) < self.jobs:
            run = self.waiting.popleft()
            lock = lock_of(run.run_dir)
            if lock is None:
                self.elsewhere.append(run)
                break
            if record_of(run) is not None:  # another call was faster
                keep_record(run)
                lock.close()
                self._note(run, is_finished=True, seconds=0.0)
                continue
            self.report("started", run, 0.0)
            self.running.append(_start(run, lock, self.environment))

    def collect(self) -> None:
        """Collect the processes that have ended."""
        for process in [one for one in self.running if one.popen.poll() is not None]:
            self.running.remove(process)
            is_finished = _judge(process)
            self._note(process.run, is_finished=is_finished, seconds=time.time() - process.began)

    def _note(self, run: PlannedRun, *, is_finished: bool, seconds: float) -> None:
        outcome = Outcome(run, is_finished, seconds)
        self.outcomes.append(outcome)
        self.report(_event(outcome), run, seconds)


def _event(outcome: Outcome) -> Event:
    return "finished" if outcome.is_finished else "failed"


def keep_finished(runs: Sequence[PlannedRun]) -> None:
    """Store records that are not stored yet, except those of runs that another call holds."""
    for run in runs:
        if run.result.is_file() and (lock := lock_of(run.run_dir)) is not None:
            with lock:
                keep_record(run)


def _start(run: PlannedRun, lock: IO[bytes], environment: Mapping[str, str]) -> _Process:
    """Start a run as leader of its own process group, so that Ctrl-C reaches us alone."""
    run.failure.unlink(missing_ok=True)
    set_aside(run)
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
    return _Process(run, popen, lock, time.time())


def _judge(process: _Process) -> bool:
    """Keep the record of a finished run, or write down how it failed."""
    run = process.run
    is_finished = record_of(run) is not None
    if is_finished:
        keep_record(run)
    else:
        why = "left a result of another configuration: code or data were changed meanwhile"
        if not run.result.is_file():
            why = "left no complete result"
        elif record_of(replace(run, needs_checkpoint=False)) is not None:
            why = "left no checkpoint, which other runs begin with"
        code = process.popen.returncode
        ended = f"ended with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        printed = run.output.read_text(encoding="utf-8", errors="replace").splitlines()
        text = "\n".join([f"the process {ended} and {why}", *printed[-TAIL_LINES:], ""])
        run.failure.write_text(text, encoding="utf-8")
    process.lock.close()
    return is_finished


def _stop(running: Sequence[_Process]) -> None:
    """Ask processes to stop, wait, and end those that do not or when asked a second time."""
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
