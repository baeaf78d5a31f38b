"""Runs of ``make smoke-tables``: the committed sweeps, with every run executed in this process.

The imports of a run take three times as long as the run. Each sweep is called twice, so that two
test processes share its runs. The file name excludes it from ``make test``, whose tests start
processes of sweeps.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING

import pytest

from spike_zoo.cli.main import main
from tests.rendered.smoke_tables import SWEEPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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


@pytest.mark.timeout(3600)  # seconds for all runs of a sweep
@pytest.mark.parametrize("sweep", SWEEPS)  # the first calls of all precede the second ones
@pytest.mark.parametrize("call", ["first", "second"])
def test_every_run_of_the_smoke_profile_succeeds(
    sweep: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process = SimpleNamespace(**{**vars(subprocess), "Popen": InProcess})
    monkeypatch.setattr("spike_zoo.tables.sweeps.runner.subprocess", in_process)
    assert main(["sweep", sweep, "--profile", "smoke", "--only", "seed_everything=0"]) == 0
