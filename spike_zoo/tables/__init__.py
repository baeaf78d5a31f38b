"""Tables that compare results of runs with published values."""

from spike_zoo.tables.claims import ClaimResult, Result, false_discoveries, summarize_claims
from spike_zoo.tables.fill import FilledTable, fill_table, fill_tables
from spike_zoo.tables.read import check_table, read_table_file
from spike_zoo.tables.render import all_notes, render_csv, render_markdown, text_rows
from spike_zoo.tables.runs import (
    RecordedRun,
    collect_runs,
    describe_test_splits,
    runs_of_sweep,
    table_of_runs,
)
from spike_zoo.tables.spec import Claim, Row, TableFile, TableSpec

__all__ = [
    "Claim",
    "ClaimResult",
    "FilledTable",
    "RecordedRun",
    "Result",
    "Row",
    "TableFile",
    "TableSpec",
    "all_notes",
    "check_table",
    "collect_runs",
    "describe_test_splits",
    "false_discoveries",
    "fill_table",
    "fill_tables",
    "read_table_file",
    "render_csv",
    "render_markdown",
    "runs_of_sweep",
    "summarize_claims",
    "table_of_runs",
    "text_rows",
]
