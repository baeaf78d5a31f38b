"""Filling of tables: means, deviations, published values and missing results."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.media.rendering import render_page
from spike_zoo.records.result import Cost
from spike_zoo.tables import (
    FilledTable,
    Judgement,
    TableSpec,
    as_plain,
    fill_table,
    fill_tables,
    read_table_file,
    render_csv,
    render_markdown,
    table_page,
)
from spike_zoo.tables.charts import curve_charts
from tests.helpers.pages import Tags
from tests.helpers.tables import SPEC, filled, make_run, write_spec


def test_cells_are_mean_deviation_and_count_over_seeds(spec: TableSpec) -> None:
    table = fill_table(spec, [make_run("full", 30.0), make_run("full", 32.0, seed=1)])
    cell = table.rows[0].cells[0]
    assert (cell.mean, cell.count, cell.published) == (31.0, 2, 38.8)
    assert cell.deviation == pytest.approx(2**0.5)
    assert [cell.mean for cell in table.rows[2].cells] == [None, None]
    assert "Mean ± standard deviation over seeds, n = 2. Seeds: 0, 1." in table.notes


def test_a_repeated_seed_is_counted_once(spec: TableSpec) -> None:
    table = fill_table(spec, [make_run("full", 30.0), make_run("full", 99.0)])
    assert table.rows[0].cells[0].mean == 30.0
    assert any("Excluded: 1 run" in note for note in table.notes)


def test_a_metric_that_no_result_has_is_rejected_with_suggestions(tmp_path: Path) -> None:
    path = write_spec(tmp_path, SPEC.replace("[test/psnr,", "[test/psnr, test/psnr_stir,"))
    spec = read_table_file(path).tables[0]
    with pytest.raises(
        ConfigError, match=r"table\.yaml: .*'test/psnr_stir': none .* mean 'test/psnr'"
    ):
        fill_table(spec, [make_run("full", 30.0)])
    assert fill_table(spec, []).rows[0].cells[1].mean is None, "tables without runs are not checked"


def test_lpips_without_its_backbone_is_an_empty_cell(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/lpips,")
    table = filled(tmp_path, [make_run("full", 30.0)], text)
    assert table.rows[0].cells[1].mean is None


def test_macs_per_pixel_compare_runs_on_images_of_any_size(tmp_path: Path) -> None:
    text = SPEC.replace("parameters]", "macs_per_pixel]")
    run = make_run("full", 30.0, costs={"forward": Cost(442_665 * 96 * 96, size=(96, 96))})
    table = filled(tmp_path, [run], text)
    assert table.rows[0].cells[1].mean == 442_665


@pytest.mark.parametrize(
    ("baseline", "judgement"), [(28.0, Judgement.HELD), (29.5, "without meaning")]
)
def test_a_claim_above_a_baseline_is_judged_only_above_it(
    tmp_path: Path, baseline: float, judgement: Judgement | str
) -> None:
    claim = "  - {row: full, within: 2.0, of: half, by: test/psnr, above: never run}\n"
    spec = read_table_file(write_spec(tmp_path, SPEC + claim)).tables[0]
    runs = [make_run("full", 30.0), make_run("half", 29.0), make_run("never", baseline)]
    runs.append(make_run("full", 30.02, seed=1))
    table = fill_table(spec, runs)
    assert table.verdicts[1].judgement is Judgement(judgement)
    assert f"**{Judgement(judgement).value}**: full within 2.00 of half" in render_markdown([table])


def test_a_row_is_compared_with_a_number_and_between_its_columns(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/f1, test/f1_0, test/f1_6,")
    text += "  - {row: full, by: test/psnr, at_least: 29.0}\n"
    text += "  - {row: full, by: test/f1_0, than: test/f1}\n"
    text += "  - {row: full, by: test/f1, than: test/f1_6, claim: 6 is hard}\n"
    scores = {"test/psnr": 28.0, "test/f1": 0.9, "test/f1_0": 0.95, "test/f1_6": 0.93}
    table = filled(tmp_path, [make_run("full", 28.0, metrics=scores, parameters=0)], text)
    markdown = render_markdown([table])
    assert "**not held**: full at least 29.00 (PSNR (dB)) (28.00)" in markdown
    assert "**held**: full: F1 of class 0 better than F1" in markdown
    assert "**not held**: full: F1 better than F1 of class 6" in markdown


def test_the_spread_is_pooled_over_the_rows_of_all_tables_of_a_file(tmp_path: Path) -> None:
    second = "{title: Other, columns: [test/psnr], rows: [{name: n, variant: variants/never.yaml}]}"
    tables = f"title: Both\ntables:\n  - {second}\n  - title: Capacity\n    "
    (first, *lines) = SPEC.strip().splitlines()[1:]
    text = tables + "\n".join([first, *(f"    {line}" for line in lines)]) + "\n"
    file = read_table_file(write_spec(tmp_path, text))
    runs = [make_run("never", psnr, seed=seed) for seed, psnr in enumerate((29.0, 29.1, 29.2))]
    runs += [make_run("full", 30.3), make_run("half", 30.0)]
    _, table = fill_tables(file.tables, runs)
    # a row of both tables is pooled once: two degrees of freedom, t = 4.3027
    assert table.verdicts[0].noise == pytest.approx(4.3027 * 0.1 * 2**0.5, rel=1e-4)
    assert table.verdicts[0].judgement is Judgement.NOISE
    alone = fill_table(file.tables[1], runs[3:])
    assert alone.verdicts[0].judgement is Judgement.ONE_SEED


CURVE = "rate_distortion/psnr"


def _table(folder: Path, value: float, text: str = SPEC) -> FilledTable:
    runs = [make_run("full", 30.0), make_run("full", value, seed=1), make_run("full", 30.2, seed=2)]
    runs += [make_run("half", 29.0), make_run("half", 29.1, seed=1)]
    return filled(folder, runs, text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_seed_is_shown_in_its_cell_and_its_claims_have_no_meaning(
    tmp_path: Path, value: float
) -> None:
    table = _table(tmp_path, value)
    text = render_markdown([table])
    assert "| full | diverged (1 of 3) [38.80] | 5,107,960 | 3 |" in text
    assert "| half | 29.05 ± 0.07 | 5,107,960 | 2 |" in text
    assert table.verdicts[0].judgement is Judgement.NO_MEANING
    assert "**without meaning**: full better than half (PSNR (dB)) (full diverged)" in text


def test_every_format_of_a_table_has_the_diverged_seed(tmp_path: Path) -> None:
    table = _table(tmp_path, math.nan)
    rows = list(csv.DictReader(io.StringIO(render_csv([table]))))
    assert (rows[0]["test/psnr"], rows[1]["test/psnr"]) == ("nan", "29.05")
    cell = as_plain(table)["rows"][0]["cells"]["test/psnr"]
    assert cell == {"mean": None, "deviation": None, "published": 38.8, "diverged": 1}
    json.dumps(as_plain(table), allow_nan=False)
    page = Tags(render_page(table_page(read_table_file(tmp_path / "table.yaml"), [table])))
    assert "diverged (1 of 3)" in page.words


def test_claims_with_a_diverged_limit_or_baseline_have_no_meaning(tmp_path: Path) -> None:
    text = SPEC + "  - {row: full, by: test/psnr, at_least: 20.0}\n"
    text += "  - {row: half, within: 2.0, of: never run, by: test/psnr, above: full}\n"
    runs = [make_run("full", math.nan), make_run("half", 29.0), make_run("never", 29.0)]
    verdicts = filled(tmp_path, runs, text).verdicts
    assert [verdict.judgement for verdict in verdicts] == [Judgement.NO_MEANING] * 3
    assert {verdict.detail for verdict in verdicts} == {"full diverged"}


def test_a_curve_of_a_diverged_run_is_not_drawn(tmp_path: Path) -> None:
    text = SPEC.replace("rows:", f"curves: [{{name: {CURVE}, x: bpp, y: PSNR (dB)}}]\nrows:", 1)
    runs = [
        make_run(name, 30.0, curves={CURVE: ((0.1, 30.0), (0.2, last))})
        for name, last in (("full", math.nan), ("half", 31.0))
    ]
    table = filled(tmp_path, runs, text)
    ((chart, _),) = curve_charts(table.curves)
    assert ">half</text>" in chart
    assert ">full</text>" not in chart
    assert "full: (0.1, 30), (0.2, nan)" in render_markdown([table])
