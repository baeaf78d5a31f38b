"""Charts of quality against cost and of curves."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spike_zoo.tables import FilledTable, fill_table, read_table_file
from spike_zoo.tables.charts import cost_charts, curve_charts
from tests.helpers.tables import SPEC, filled, make_run, write_spec

CURVE = "rate_distortion/psnr"
MARKER = re.compile(r'<use xlink:href="#m\w+" x="([\d.]+)" y="([\d.]+)" style="fill: #')


def _table(folder: Path, text: str = SPEC, **smaller: int) -> FilledTable:
    runs = [make_run("full", 30.0), make_run("full", 32.0, seed=1)]
    spec = read_table_file(write_spec(folder, text)).tables[0]
    return fill_table(spec, [*runs, make_run("half", 29.0, **smaller)])


def _texts(chart: str) -> set[str | None]:
    return {element.text for element in ElementTree.fromstring(chart).iter("text")}


@pytest.mark.parametrize("parameters", [1_600_816, 5_000_000, 100])
def test_a_cost_chart_has_a_point_and_a_name_for_each_row(tmp_path: Path, parameters: int) -> None:
    ((chart, caption),) = cost_charts(_table(tmp_path, parameters=parameters))
    assert caption.startswith("PSNR (dB) against parameters")
    assert {"full", "half", "parameters (millions)", "PSNR (dB)"} <= _texts(chart)
    half, full = [(float(x), float(y)) for x, y in MARKER.findall(chart)][-2:]
    assert half[0] < full[0], "fewer parameters"
    assert half[1] > full[1], "worse quality is lower, which is a larger y"


def test_rows_of_equal_cost_have_no_chart(tmp_path: Path) -> None:
    assert cost_charts(_table(tmp_path)) == []


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_curve_chart_has_a_legend_and_dashed_published_lines(tmp_path: Path, scale: str) -> None:
    curves = f"curves: [{{name: {CURVE}, x: bpp, y: PSNR (dB), scale: {scale}}}]\nrows:"
    published = f"published: {{{CURVE}: [[0.02, 31], [0.2, 35.5]]}}"
    text = SPEC.replace("published: {test/psnr: 38.8}", published).replace("rows:", curves, 1)
    run = make_run("full", 30.0, curves={CURVE: ((0.001, 30.0), (0.01, 33.0), (1.0, 34.0))})
    ((chart, caption),) = curve_charts(filled(tmp_path, [run], text).curves)
    assert caption.startswith("PSNR (dB) against bpp")
    assert {"full", "full [published]", "bpp", "PSNR (dB)"} <= _texts(chart)
    x = [float(position) for position, _ in MARKER.findall(chart)]
    share = (x[1] - x[0]) / (x[2] - x[0])
    assert share == pytest.approx(1 / 3 if scale == "log" else 0.009 / 0.999, abs=2e-3)
    assert chart.count("stroke-dasharray") == 2, "the published line and its legend entry"


def test_charts_are_the_same_in_every_run_and_follow_the_theme_of_the_page(tmp_path: Path) -> None:
    table = _table(
        tmp_path,
        SPEC.replace("name: full", "name: '<b>&$x$'").replace("row: full", "row: '<b>&$x$'"),
        parameters=1_600_816,
    )
    (first, _), (second, _) = cost_charts(table)[0], cost_charts(table)[0]
    assert first == second
    assert "currentColor" in first
    assert "<style" not in first, "a style element would apply to the whole page"
    assert "<b>" not in first
    assert "&lt;b&gt;&amp;$x$" in first
