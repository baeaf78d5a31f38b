"""Runs of ``make smoke-tables``: the committed sweeps, with every run executed in this process.

The imports of a run take three times as long as the run. Each sweep is called twice, so that two
test processes share its runs. The file name excludes it from ``make test``, whose tests start
processes of sweeps.
"""

import pytest

from spike_zoo.cli.main import main
from tests.helpers.processes import run_in_process
from tests.rendered.smoke_tables import SWEEPS


@pytest.mark.timeout(3600)  # seconds for all runs of a sweep
@pytest.mark.parametrize("sweep", SWEEPS)  # the first calls of all precede the second ones
@pytest.mark.parametrize("call", ["first", "second"])
def test_every_run_of_the_smoke_profile_succeeds(
    sweep: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process(monkeypatch)
    assert main(["sweep", sweep, "--profile", "smoke", "--only", "seed_everything=0"]) == 0
