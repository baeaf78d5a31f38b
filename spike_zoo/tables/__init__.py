"""Tables: results of runs beside published values."""

from spike_zoo.tables.collect import collect_runs, runs_of_sweep, table_of_runs
from spike_zoo.tables.expect import Judgement, Verdict, false_discoveries, sum_up
from spike_zoo.tables.fill import fill_table, fill_tables
from spike_zoo.tables.filled import Cell, FilledTable
from spike_zoo.tables.page import table_page
from spike_zoo.tables.plain import as_plain
from spike_zoo.tables.read import check_table, read_table_file
from spike_zoo.tables.recorded import RecordedRun
from spike_zoo.tables.render import (
    all_notes,
    cells_as_text,
    header,
    render_csv,
    render_markdown,
)
from spike_zoo.tables.spec import Expectation, Row, TableFile, TableSpec
from spike_zoo.tables.splits import scenes_in_words

__all__ = [
    "Cell",
    "Expectation",
    "FilledTable",
    "Judgement",
    "RecordedRun",
    "Row",
    "TableFile",
    "TableSpec",
    "Verdict",
    "all_notes",
    "as_plain",
    "cells_as_text",
    "check_table",
    "collect_runs",
    "false_discoveries",
    "fill_table",
    "fill_tables",
    "header",
    "read_table_file",
    "render_csv",
    "render_markdown",
    "runs_of_sweep",
    "scenes_in_words",
    "sum_up",
    "table_of_runs",
    "table_page",
]
