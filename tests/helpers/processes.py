"""Python code in a new process, and commands of sweeps in this process."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import IO

import pytest

from spike_zoo.cli.main import main


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new Python process and return the completed process with its output."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def run_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sweeps run their commands in this process; imports take three times as long as a run."""
    in_process = SimpleNamespace(**{**vars(subprocess), "Popen": InProcess})
    monkeypatch.setattr("spike_zoo.tables.sweeps.runner.subprocess", in_process)


class InProcess:
    """Replacement of ``Popen`` that runs the command in this process and has then ended."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], stdout: IO[bytes], **_: object
    ) -> None:
        self.pid, before = os.getpid(), {**os.environ}
        line = [*command][[*command].index("spike_zoo") + 1 :]
        output = io.StringIO()
        os.environ.clear()
        os.environ.update(env)
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                self.returncode = main(line)
        finally:
            os.environ.clear()
            os.environ.update(before)
            stdout.write(output.getvalue().encode())

    def poll(self) -> int:
        """Return the exit code."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code."""
        return self.returncode
