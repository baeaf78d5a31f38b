"""A run that diverged is shown as such and ends neither the table nor the other rows."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

from spike_zoo.media.rendering import render_page
from spike_zoo.tables import (
    FilledTable,
    Judgement,
    as_plain,
    fill_table,
    read_table_file,
    render_csv,
    render_markdown,
    table_page,
)
from spike_zoo.tables.charts import curve_charts
from tests.helpers.pages import Tags
from tests.helpers.tables import SPEC, make_run, write_spec

CURVE = "rate_distortion/psnr"


def _table(folder: Path, value: float, text: str = SPEC) -> FilledTable:
    runs = [make_run("full", 30.0), make_run("full", value, seed=1), make_run("full", 30.2, seed=2)]
    runs += [make_run("half", 29.0), make_run("half", 29.1, seed=1)]
    return fill_table(read_table_file(write_spec(folder, text)).tables[0], runs)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_seed_is_shown_in_its_cell_and_its_claims_are_without_meaning(
    tmp_path: Path, value: float
) -> None:
    table = _table(tmp_path, value)
    text = render_markdown([table])
    assert "| full | diverged (1 of 3) [38.80] | 5,107,960 | 3 |" in text
    assert "| half | 29.05 ± 0.07 | 5,107,960 | 2 |" in text
    assert table.verdicts[0].judgement is Judgement.NO_MEANING
    assert "**without meaning**: full better than half (PSNR (dB)) (full diverged)" in text


def test_every_form_of_a_table_has_the_diverged_seed(tmp_path: Path) -> None:
    table = _table(tmp_path, math.nan)
    rows = list(csv.DictReader(io.StringIO(render_csv([table]))))
    assert (rows[0]["test/psnr"], rows[1]["test/psnr"]) == ("nan", "29.05")
    cell = as_plain(table)["rows"][0]["cells"]["test/psnr"]
    assert cell == {"mean": None, "deviation": None, "published": 38.8, "diverged": 1}
    json.dumps(as_plain(table), allow_nan=False)
    page = Tags(render_page(table_page(read_table_file(tmp_path / "table.yaml"), [table])))
    assert "diverged (1 of 3)" in page.words


def test_a_limit_and_a_baseline_that_diverged_are_without_meaning(tmp_path: Path) -> None:
    text = SPEC + "  - {row: full, by: test/psnr, at_least: 20.0}\n"
    text += "  - {row: half, within: 2.0, of: never run, by: test/psnr, above: full}\n"
    spec = read_table_file(write_spec(tmp_path, text)).tables[0]
    runs = [make_run("full", math.nan), make_run("half", 29.0), make_run("never", 29.0)]
    verdicts = fill_table(spec, runs).verdicts
    assert [verdict.judgement for verdict in verdicts] == [Judgement.NO_MEANING] * 3
    assert {verdict.detail for verdict in verdicts} == {"full diverged"}


def test_a_curve_of_a_diverged_run_is_left_out_of_the_drawing(tmp_path: Path) -> None:
    text = SPEC.replace("rows:", f"curves: [{{name: {CURVE}, x: bpp, y: PSNR (dB)}}]\nrows:", 1)
    spec = read_table_file(write_spec(tmp_path, text)).tables[0]
    runs = [
        make_run(name, 30.0, curves={CURVE: ((0.1, 30.0), (0.2, last))})
        for name, last in (("full", math.nan), ("half", 31.0))
    ]
    table = fill_table(spec, runs)
    ((chart, _),) = curve_charts(table.curves)
    assert ">half</text>" in chart
    assert ">full</text>" not in chart
    assert "full: (0.1, 30), (0.2, nan)" in render_markdown([table])
