"""What a table looks like as Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from spike_zoo.media import save_picture
from spike_zoo.media.page import render_page
from spike_zoo.tables import (
    FilledTable,
    RecordedRun,
    TableFile,
    fill_table,
    read_table_file,
    render_csv,
    render_markdown,
    table_page,
)
from spike_zoo.tables.columns import plain_column
from spike_zoo.tables.pictures import sample_strips
from spike_zoo.tables.plot import Point, cost_plots, scatter
from tests.helpers.pages import Tags
from tests.helpers.tables import make_run, write_spec


@pytest.fixture
def file(tmp_path: Path) -> TableFile:
    return read_table_file(write_spec(tmp_path))


@pytest.fixture
def table(file: TableFile) -> FilledTable:
    runs = [make_run("full", 30.0), make_run("full", 32.0, seed=1)]
    return fill_table(file.tables[0], [*runs, make_run("half", 29.0, parameters=1_600_816)])


def test_markdown_has_ours_beside_the_published_value_and_the_best_in_bold(
    table: FilledTable,
) -> None:
    lines = render_markdown([table]).splitlines()
    assert "| full | **31.00 ± 1.41** [38.80] | 5,107,960 | 2 |" in lines
    assert "| half | 29.00 | **1,600,816** | 1 |" in lines
    assert "| never run | n/a | n/a | 0 |" in lines
    assert "Expected: 0 of 1 held, 1 within noise." in lines
    assert "- **within noise**: full better than half (PSNR (dB)) (+2.00, noise 22.01)" in lines
    assert any("Fan et al., NeurIPS 2024" in line for line in lines)


def test_rows_that_share_the_lowest_cost_are_not_bold(file: TableFile) -> None:
    table = fill_table(file.tables[0], [make_run("full", 30.0), make_run("half", 29.0)])
    assert "| half | 29.00 | 5,107,960 |" in render_markdown([table])


def test_flags_stand_above_the_table_and_at_the_row(file: TableFile) -> None:
    runs = [make_run("full", 30.0), make_run("full", 30.0, seed=1)]
    runs.append(make_run("half", 29.0, profile="gpu"))
    text = render_markdown([fill_table(file.tables[0], runs)])
    assert text.index("**Warning: The rows mix profiles") < text.index("| full |")
    assert "| half † |" in text
    assert "† other data or another profile" in text


def test_csv_has_full_precision_gaps_and_judgements(file: TableFile) -> None:
    value = 30.123456789012345
    table = fill_table(file.tables[0], [make_run("full", value)])
    rows = list(csv.DictReader(io.StringIO(render_csv([table, table]))))
    assert float(rows[0]["test/psnr"]) == value
    assert float(rows[0]["test/psnr published"]) == 38.8
    assert rows[2]["test/psnr"] == ""
    assert rows[3]["expectation"] == "not measured"
    assert [row["row"] for row in rows[:4]] == [row["row"] for row in rows[4:]]


def test_page_fetches_nothing_and_escapes_names(file: TableFile, table: FilledTable) -> None:
    html = render_page(table_page(file, [table]))
    tags = Tags(html)
    assert tags.open == []
    assert all(source.startswith("data:") for source in tags.sources)
    assert "prefers-color-scheme: dark" in html
    named = Point("<b>&", 1e6, 30.0), Point("other", 2e6, 31.0)
    drawn = scatter(named, plain_column("parameters"), plain_column("test/psnr"))
    assert "<b>" not in drawn


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


def test_strips_show_the_same_samples_of_every_row_and_the_truth_last(
    file: TableFile, tmp_path: Path
) -> None:
    runs = []
    for variant in ("full", "half", "never"):
        folder = tmp_path / "runs" / variant
        for sample in ("a", "b") if variant == "full" else ("b",):
            for kind in ("reconstructions", "truths"):
                path = folder / "images" / kind / f"{sample}.png"
                if variant != "never":
                    save_picture(np.full((8, 8), 0.5), path)
        runs.append(RecordedRun(make_run(variant, 30.0).result, folder))
    save_picture(np.full((8, 24), 0.5), tmp_path / "runs" / "never" / "sample.png")
    samples, strips = sample_strips(fill_table(file.tables[0], runs))
    assert samples == ["b"], "the one that both have"
    assert [name for name, _ in strips][-1] == "ground truth"
    assert dict(strips)["never run"] == [tmp_path / "runs" / "never" / "sample.png"]
    assert {"full", "half"} <= {name for name, _ in strips}
