"""Tables that compare results of runs with published values."""

from spike_zoo.tables.fill import fill_table, fill_tables
from spike_zoo.tables.read import read_table_file
from spike_zoo.tables.render import render_csv, render_markdown
from spike_zoo.tables.runs import collect_runs

__all__ = [
    "collect_runs",
    "fill_table",
    "fill_tables",
    "read_table_file",
    "render_csv",
    "render_markdown",
]
