"""The tables that are committed are what the committed records make of them."""

from __future__ import annotations

import re
import statistics
from typing import TYPE_CHECKING

import pytest

from benchmarks import evidence
from spike_zoo.cli.main import main
from spike_zoo.tracking import RunResult
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PROFILES = {"table": "cpu", "table_long": "long", "table_longer": "longer"}
VERDICTS = ("held", "not held")
RENDERED = sorted((ROOT / "experiments").glob("*/results/*.md"))


@pytest.mark.parametrize("rendered", RENDERED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_committed_table_is_that_of_the_committed_records(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # runs of one's own, below the root, are no records
    spec = rendered.parents[1] / f"{rendered.stem}.yaml"
    options = ["--profile", PROFILES[rendered.stem], "--out", str(tmp_path)]
    assert main(["table", str(spec), *options]) == 0
    again = "make ablation-table or spike-zoo table renders it anew"
    for path in (rendered, rendered.with_suffix(".csv")):
        assert (tmp_path / path.name).read_text() == path.read_text(), again


def test_the_page_on_the_evidence_counts_the_claims_that_hold() -> None:
    lines = [line for path in RENDERED for line in path.read_text().splitlines()]
    held, not_held = (sum(line.startswith(f"- **{what}**") for line in lines) for what in VERDICTS)
    page = (ROOT / "experiments/README.md").read_text()
    assert f"Of the claims that the tables decide, {held} hold and {not_held} do not;" in page


def test_the_page_states_the_minutes_that_the_committed_runs_took() -> None:
    page = (ROOT / "experiments/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (\d+) \((\d+) to (\d+)\) \| \[.*?\]\((\w+)/results/(\w+)\.md\)", page)
    assert len(rows) == 7
    for *stated, method, table in rows:
        records = (ROOT / "experiments" / method / "results" / PROFILES[table]).rglob("result.json")
        minutes = [RunResult.read(record).wall_seconds / 60 for record in records]
        measured = [statistics.median(minutes), min(minutes), max(minutes)]
        assert [int(number) for number in stated] == [round(one) for one in measured], (
            f"{method}, {table}"
        )


@pytest.mark.parametrize("row", evidence.ROWS)
def test_the_picture_of_the_evidence_has_its_records(
    row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for metrics in evidence.records(row):
        assert {f"test/psnr_{pace}" for pace in evidence.PACES} <= metrics.keys()
