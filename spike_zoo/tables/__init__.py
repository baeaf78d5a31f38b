"""Tables: results of runs beside published values."""

from spike_zoo.tables.collect import Cell, FilledTable, collect_results, fill_table, table_of_runs
from spike_zoo.tables.render import cells_as_text, heading, render_csv, render_markdown
from spike_zoo.tables.spec import Row, TableSpec, read_table_spec

__all__ = [
    "Cell",
    "FilledTable",
    "Row",
    "TableSpec",
    "cells_as_text",
    "collect_results",
    "fill_table",
    "heading",
    "read_table_spec",
    "render_csv",
    "render_markdown",
    "table_of_runs",
]
