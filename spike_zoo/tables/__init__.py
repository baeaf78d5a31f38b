"""Tables that compare results of runs with published values."""

from spike_zoo.tables.aggregate import FilledTable, fill_table, fill_tables
from spike_zoo.tables.page import add_numbers, as_plain, table_page
from spike_zoo.tables.read import check_table, read_table_file
from spike_zoo.tables.render import render_csv, render_markdown
from spike_zoo.tables.runs import (
    RecordedRun,
    collect_runs,
    describe_test_splits,
    runs_of_sweep,
    table_of_runs,
)
from spike_zoo.tables.spec import Expectation, Row, TableFile, TableSpec
from spike_zoo.tables.verdicts import Judgement, Verdict, false_discoveries, summarize_verdicts

__all__ = [
    "Expectation",
    "FilledTable",
    "Judgement",
    "RecordedRun",
    "Row",
    "TableFile",
    "TableSpec",
    "Verdict",
    "add_numbers",
    "as_plain",
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
    "summarize_verdicts",
    "table_of_runs",
    "table_page",
]
