"""Quality against cost as a drawing that says where every row stands."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spike_zoo.tables import FilledTable, TableFile, fill_table, read_table_file
from spike_zoo.tables.columns import plain_column
from spike_zoo.tables.plot import Point, cost_plots, scatter
from tests.helpers.tables import make_run, write_spec


@pytest.fixture
def file(tmp_path: Path) -> TableFile:
    return read_table_file(write_spec(tmp_path))


@pytest.fixture
def table(file: TableFile) -> FilledTable:
    runs = [make_run("full", 30.0), make_run("full", 32.0, seed=1)]
    return fill_table(file.tables[0], [*runs, make_run("half", 29.0, parameters=1_600_816)])


def test_drawing_has_a_point_and_a_name_for_each_row(table: FilledTable) -> None:
    (drawing, caption) = cost_plots(table)[0]
    root = ElementTree.fromstring(str(drawing))
    assert len(root.findall(".//circle")) == 2
    texts = {text.text for text in root.iter("text")}
    assert {"full", "half", "parameters", "PSNR (dB)"} <= texts
    assert caption.startswith("PSNR (dB) against parameters")


@pytest.mark.parametrize("ratio", [1.001, 3.0, 1e4])
def test_points_lie_inside_the_drawing_in_the_order_of_their_values(ratio: float) -> None:
    points = [Point(f"p{n}", 1e5 * ratio ** (n / 7), 30 + n, 0.3) for n in range(8)]
    drawn = scatter(points, plain_column("parameters"), plain_column("test/psnr"))
    root = ElementTree.fromstring(str(drawn))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    x = [float(circle.attrib["cx"]) for circle in root.findall(".//circle")]
    y = [float(circle.attrib["cy"]) for circle in root.findall(".//circle")]
    assert x == sorted(x)
    assert y == sorted(y, reverse=True)
    assert 0 < min(x) < max(x) < width
    assert 0 < min(y) < max(y) < height
    numbers = re.findall(r'text-anchor="middle"[^>]*>([\d.]+)( M)?<', str(drawn))
    assert len(numbers) >= 2, "an axis without numbers says nothing"


def test_rows_at_one_cost_are_not_drawn(file: TableFile) -> None:
    runs = [make_run("full", 30.0), make_run("half", 29.0)]
    assert cost_plots(fill_table(file.tables[0], runs)) == []


def test_names_in_a_drawing_are_escaped() -> None:
    named = Point("<b>&", 1e6, 30.0), Point("other", 2e6, 31.0)
    drawn = scatter(named, plain_column("parameters"), plain_column("test/psnr"))
    assert "<b>" not in drawn
    assert "&lt;b&gt;&amp;" in drawn
