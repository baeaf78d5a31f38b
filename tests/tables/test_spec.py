"""A table as data answers what others ask of it."""

from __future__ import annotations

from pathlib import Path

from spike_zoo.tables import Row, TableFile, TableSpec
from spike_zoo.tables.columns import plain_column


def test_a_file_names_each_variant_of_its_tables_once() -> None:
    rows = Row("a", Path("a.yaml")), Row("b", Path("b.yaml")), Row("published alone")
    columns = (plain_column("test/psnr"),)
    tables = TableSpec("one", columns, rows), TableSpec("two", columns, rows[:1])
    file = TableFile("both", tables, Path("table.yaml"))
    assert file.variants == (Path("a.yaml"), Path("b.yaml"))


def test_a_row_is_published_by_a_value_or_by_a_curve() -> None:
    assert not Row("ours", Path("a.yaml")).is_published
    assert Row("theirs", published={"test/psnr": 30.0}).is_published
    assert Row("theirs", published_curves={"rate": ((0.1, 30.0),)}).is_published
