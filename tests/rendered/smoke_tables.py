"""The tables that ``make smoke-tables`` made: complete, in every form, and they parse.

It runs after the runs and needs them; its name keeps it out of the usual tests.
"""

from __future__ import annotations

import base64
import csv
import io
import math
from pathlib import Path

import pytest
from PIL import Image

from spike_zoo.tables import read_table_file
from tests.helpers.pages import Tags
from tests.helpers.variants import swept

EXPERIMENTS, TABLES = Path("experiments"), Path("runs", "tables")
METHODS = sorted(path.parent.name for path in EXPERIMENTS.glob("*/sweep.yaml"))


def csv_rows(method: str) -> list[dict[str, str]]:
    with (TABLES / method / "table.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_there_are_the_methods_of_the_zoo() -> None:
    assert {"classical", "sci", "ssdm", "stir"} <= set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_row_that_a_sweep_runs_has_results(method: str) -> None:
    file, ran = read_table_file(EXPERIMENTS / method / "table.yaml"), swept(method)
    rows = reversed(csv_rows(method))  # below a table stand its claims and the points of its curves
    filled = {(row["table"], row["row"]): row for row in rows}
    wanted = [
        (table, row)
        for table in file.tables
        for row in table.rows
        if row.variant is not None and row.variant.resolve() in ran
        if (archive := row.archive or table.archive) is None or Path(archive).is_file()
    ]
    assert wanted
    for table, row in wanted:
        cells = filled[table.title, row.name]
        assert int(cells["n"]) >= 1, f"{table.title}: {row.name}"
        # one test image is not of every speed or light that a column asks for
        measured = [float(cells[column.name]) for column in table.columns if cells[column.name]]
        assert measured, f"{table.title}: {row.name}"
        assert all(map(math.isfinite, measured)), f"{table.title}: {row.name}"


@pytest.mark.parametrize("method", METHODS)
def test_every_form_has_every_table_and_row(method: str) -> None:
    file = read_table_file(EXPERIMENTS / method / "table.yaml")
    markdown = (TABLES / method / "table.md").read_text(encoding="utf-8")
    page = Tags((TABLES / method / "table.html").read_text(encoding="utf-8"))
    assert page.open == []
    for table in file.tables:
        assert table.title in markdown
        assert table.title in page.words
        for row in table.rows:
            assert f"| {row.name} |" in markdown
            assert row.name in page.words


@pytest.mark.parametrize("method", METHODS)
def test_the_page_brings_its_pictures(method: str) -> None:
    page = Tags((TABLES / method / "table.html").read_text(encoding="utf-8"))
    pictures = [source for source in page.sources if source.startswith("data:image/")]
    assert len(pictures) >= 2
    assert all(source.startswith("data:") for source in page.sources), "it fetches nothing"
    for picture in pictures[:5]:
        with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as image:
            image.verify()
