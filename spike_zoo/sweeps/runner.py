"""Running what is left of a sweep: one process per run, and nothing lost when it is stopped."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Literal

from spike_zoo.runs.planning import FILES_VARIABLE, RUN_DIR_VARIABLE
from spike_zoo.sweeps.records import (
    LOCK_FILENAME,
    PlannedRun,
    keep_record,
    record_of,
    set_aside,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

POLL_SECONDS = 0.05
STOP_SECONDS = 60.0  # a run that is stopped saves its checkpoint first
TAIL_LINES = 15

Event = Literal["started", "finished", "failed"]


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        run: The run.
        is_finished: Whether its record is there; how the process ended says nothing.
        seconds: How long it took here.
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
    report: Callable[[Event, PlannedRun], None] = lambda event, run: None,
) -> list[Outcome]:
    """Run what is not finished, and return what became of each.

    A run belongs to whoever holds its lock; the lock is handed down to its process. So several
    calls share the work, and a run that outlived a killed call is waited for, not started twice.
    On Ctrl-C and SIGTERM the processes are asked to stop, which saves their checkpoints.

    Args:
        runs: The runs, in their order.
        environment: The processes' environment.
        jobs: Processes at a time.
        report: Is told when a run begins and ends.
    """
    waiting, elsewhere = deque(runs), deque[PlannedRun]()
    running: list[_Process] = []
    outcomes: list[Outcome] = []

    def done(run: PlannedRun, *, is_finished: bool, seconds: float) -> None:
        outcomes.append(Outcome(run, is_finished, seconds))
        report("finished" if is_finished else "failed", run)

    try:
        while waiting or running or elsewhere:
            if not waiting and elsewhere:
                waiting, elsewhere = elsewhere, waiting
            while waiting and len(running) < jobs:
                run = waiting.popleft()
                lock = _locked(run)
                if lock is None:
                    elsewhere.append(run)
                    break
                if record_of(run) is not None:  # another call was faster
                    keep_record(run)
                    lock.close()
                    done(run, is_finished=True, seconds=0.0)
                    continue
                report("started", run)
                running.append(_start(run, lock, environment))
            time.sleep(POLL_SECONDS)
            for process in [one for one in running if one.popen.poll() is not None]:
                running.remove(process)
                is_finished = _judge(process)
                done(process.run, is_finished=is_finished, seconds=time.time() - process.began)
    except BaseException:
        _stop(running)
        raise
    return outcomes


def _locked(run: PlannedRun) -> IO[bytes] | None:
    """Return the run's lock, None where another process holds it."""
    run.run_dir.mkdir(parents=True, exist_ok=True)
    file = (run.run_dir / LOCK_FILENAME).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


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
        text = f"the process ended with {process.popen.returncode} and {why}\n"
        run.failure.write_text(text + _tail(run), encoding="utf-8")
    process.lock.close()
    return is_finished


def _tail(run: PlannedRun) -> str:
    lines = run.output.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:]) + "\n"


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
