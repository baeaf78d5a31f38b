"""Fixtures: a table file and its filled table."""

from pathlib import Path

import pytest

from spike_zoo.tables import fill_table, read_table_file
from spike_zoo.tables.fill import FilledTable
from spike_zoo.tables.spec import TableFile, TableSpec
from tests.helpers.tables import make_run, write_spec


@pytest.fixture
def file(tmp_path: Path) -> TableFile:
    return read_table_file(write_spec(tmp_path))


@pytest.fixture
def spec(file: TableFile) -> TableSpec:
    return file.tables[0]


@pytest.fixture
def table(spec: TableSpec) -> FilledTable:
    runs = [make_run("full", 30.0), make_run("full", 32.0, seed=1)]
    return fill_table(spec, [*runs, make_run("half", 29.0, parameters=1_600_816)])
