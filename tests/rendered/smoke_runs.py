"""The runs of ``make smoke-tables``: sweeps as they are, but every run is made in this process.

To import what a run needs takes three times as long as the run. Each sweep is called twice, by two
processes where there are two: calls share their runs, so no method keeps a core waiting for the
other. Its name keeps it out of the usual tests, which start processes of sweeps too.
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
from tests.rendered.smoke_tables import EXPERIMENTS, METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Here:
    """Replaces a process: it does at once what the command says, and has ended."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], stdout: IO[bytes], **_: object
    ) -> None:
        self.pid, before = os.getpid(), {**os.environ}
        line = [*command][[*command].index("spike_zoo") + 1 :]
        written = io.StringIO()
        os.environ.clear()
        os.environ.update(env)
        try:
            with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
                self.returncode = main(line)
        finally:
            os.environ.clear()
            os.environ.update(before)
            stdout.write(written.getvalue().encode())

    def poll(self) -> int:
        """Return the exit code."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code."""
        return self.returncode


@pytest.mark.timeout(3600)  # seconds; all runs of a method are one test
@pytest.mark.parametrize("method", METHODS)  # of one call all, then of the other: both go together
@pytest.mark.parametrize("call", ["first", "second"])
def test_every_run_of_the_smoke_profile_ends_well(
    method: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = SimpleNamespace(**{**vars(subprocess), "Popen": Here})
    monkeypatch.setattr("spike_zoo.sweeps.runner.subprocess", here)
    sweep = str(EXPERIMENTS / method / "sweep.yaml")
    assert main(["sweep", sweep, "--profile", "smoke", "--only", "seed_everything=0"]) == 0
