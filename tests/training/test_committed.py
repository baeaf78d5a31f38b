"""Committed records contain no information about the machine that made them."""

from __future__ import annotations

import pytest

from spike_zoo.tables import collect_runs
from tests.conftest import ROOT

pytestmark = pytest.mark.repo


def test_committed_records_name_checkpoints_relative_to_the_repository() -> None:
    runs = collect_runs([ROOT / "experiments"])
    assert len(runs) > 100
    for run in runs:
        checkpoint = run.result.checkpoint
        assert checkpoint is None or not checkpoint.startswith(("/", "~")), run.source
