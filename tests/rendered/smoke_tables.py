"""Tables of ``make smoke-tables`` are complete in Markdown and CSV.

These tests need the runs of ``smoke_runs.py``. The file name excludes them from ``make test``.
"""

import csv
import math
import os
from pathlib import Path

import pytest

from spike_zoo.tables import read_table_file
from spike_zoo.tables.runs import collect_runs
from tests.helpers.variants import variants_of

EXPERIMENTS, TABLES = Path("experiments"), Path("runs", "tables")
SWEEPS = os.environ["SMOKE_SWEEPS"].split()  # set by experiments/run.py
METHODS = {Path(sweep).parent.name: Path(sweep) for sweep in SWEEPS}


def csv_rows(method: str) -> list[dict[str, str]]:
    with (TABLES / method / "table.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("method", METHODS)
def test_every_row_that_a_sweep_runs_has_results(method: str) -> None:
    file = read_table_file(EXPERIMENTS / method / "table.yaml")
    variants = variants_of(METHODS[method])
    runs = collect_runs([EXPERIMENTS / method / "results" / "smoke"])
    archives = {run.result.archive for run in runs}
    rows = reversed(csv_rows(method))  # claims and points of curves follow a table
    csv_row_of = {(row["table"], row["row"]): row for row in rows}
    expected = [
        (table, row)
        for table in file.tables
        for row in table.rows
        if row.variant is not None and row.variant.resolve() in variants
        if (archive := row.archive or table.archive) is None or Path(archive).name in archives
    ]
    assert expected
    for table, row in expected:
        cells = csv_row_of[table.title, row.name]
        assert int(cells["n"]) >= 1, f"{table.title}: {row.name}"
        # a single test image does not have every speed or luminance of the columns
        measured = [float(cells[column.name]) for column in table.columns if cells[column.name]]
        assert measured, f"{table.title}: {row.name}"
        assert all(map(math.isfinite, measured)), f"{table.title}: {row.name}"


@pytest.mark.parametrize("method", METHODS)
def test_the_markdown_has_every_table_and_row(method: str) -> None:
    file = read_table_file(EXPERIMENTS / method / "table.yaml")
    markdown = (TABLES / method / "table.md").read_text(encoding="utf-8")
    for table in file.tables:
        assert table.title in markdown
        for row in table.rows:
            assert f"| {row.name} |" in markdown
