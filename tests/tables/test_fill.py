"""Filling of tables: means, deviations, published values and missing results."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.tables import fill_table, fill_tables, read_table_file, render_csv, render_markdown
from spike_zoo.tables.claims import Result
from spike_zoo.tables.curves import curve_charts
from spike_zoo.tables.fill import FilledTable
from spike_zoo.tables.runs import RecordedRun
from spike_zoo.tables.spec import TableSpec
from spike_zoo.training.result import Cost
from tests.helpers.tables import SPEC, cell, filled, make_run, write_spec


def test_cells_are_mean_deviation_and_count_over_seeds(spec: TableSpec) -> None:
    table = fill_table(spec, [make_run("full", 30.0), make_run("full", 32.0, seed=1)])
    full = {"mean": 31.0, "deviation": 2**0.5, "count": 2, "diverged": 0, "published": 38.8}
    assert cell(table) == pytest.approx(full)
    missing = cell(table, "never run")
    assert (missing["count"], math.isnan(missing["mean"])) == (0, True)
    assert "Mean ± standard deviation over seeds, n = 2. Seeds: 0, 1." in table.notes


def test_a_repeated_seed_is_counted_once(spec: TableSpec) -> None:
    table = fill_table(spec, [make_run("full", 30.0), make_run("full", 99.0)])
    assert cell(table)["mean"] == 30.0
    assert any("Excluded: 1 run" in note for note in table.notes)


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"init_args": {"workers": 4}}},
        {"model": {"init_args": {"cache_dir": "/scratch"}}},
        {"trainer": {"accelerator": "gpu", "enable_progress_bar": False, "logger": False}},
        {"run_dir": "/elsewhere"},
    ],
)
def test_one_seed_with_other_incidental_options_is_counted_once(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    runs = [
        make_run(row, psnr, config={"seed_everything": 0, **options}, config_hash=f"{row} {n}")
        for row, psnr in (("full", 30.0), ("half", 29.95))
        for n, options in enumerate(({}, change))
    ]
    table = filled(tmp_path, runs)
    assert cell(table)["count"] == 1
    assert table.claims[0].result is Result.UNDECIDED


def test_a_seed_of_initial_weights_is_counted_once(tmp_path: Path) -> None:
    first, second = ({"recipe": "r", "seed": seed} for seed in (0, 1))
    origins = [("a", first), ("b", first), ("c", second)]  # seed 0 was trained on two machines
    runs = [
        make_run("full", 30.0 + n, begins_with={"ckpt_path": {"sha256": sha, **origin}})
        for n, (sha, origin) in enumerate(origins)
    ]
    # a test of weights does not depend on its own seed
    runs.append(make_run("full", 99.0, 5, begins_with=runs[0].result.begins_with))
    table = filled(tmp_path, runs)
    assert (cell(table)["count"], cell(table)["mean"]) == (2, 31)
    unknown = {"ckpt_path": {"sha256": None, "recipe": "r"}}  # in records of earlier versions
    tests = [make_run("full", 30.0, seed, begins_with=unknown) for seed in (0, 1)]
    assert cell(filled(tmp_path, tests))["count"] == 2


@pytest.mark.parametrize("rounding", [0.0, 2e-6])  # of single precision
def test_seeds_with_equal_results_do_not_show_the_noise(tmp_path: Path, rounding: float) -> None:
    results = {"full": 30.0, "half": 29.9}
    runs = [
        make_run(row, psnr + seed * rounding, seed)
        for row, psnr in results.items()
        for seed in (0, 1)
    ]
    (claim,) = filled(tmp_path, runs).claims
    assert claim.result is Result.NOT_APPLICABLE
    assert "the noise is unknown" in claim.detail
    varied = [make_run("never", 29.0 + 0.1 * n, n) for n in range(3)]
    (claim,) = filled(tmp_path, runs + varied).claims  # the noise of the other row: t = 4.3027
    assert claim.noise == pytest.approx(4.3027 * 0.1, rel=1e-4)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"images_sha256": "2" * 64}, "measured on different images: 6, 111111 (full)"),
        ({"data_sha256": "2" * 64}, "measured on different data"),
        ({"profile": "long"}, "made under different profiles"),
    ],
)
def test_claims_about_rows_that_cannot_be_compared_are_not_applicable(
    tmp_path: Path, other: dict[str, Any], reason: str
) -> None:
    same = {"images": 6, "images_sha256": "1" * 64}
    runs = [make_run("full", 30 + n / 9, n, **same) for n in range(3)]
    runs += [make_run("half", 20 + n / 9, n, **{**same, **other}) for n in range(3)]
    by_cost = "  - {row: half, at_most: 10000000, by: parameters}\n"
    claim, cost = filled(tmp_path, runs, SPEC + by_cost).claims
    assert (claim.result, claim.p_value) == (Result.NOT_APPLICABLE, None)
    assert reason in claim.detail
    assert cost.result is Result.SUPPORTED


def test_rows_trained_on_several_data_are_compared_on_the_same_images(tmp_path: Path) -> None:
    text = SPEC.replace("rows:", "one_data: false\nrows:")
    rows = {"full": ("1", "1"), "half": ("2", "1"), "never": ("2", "2")}
    runs = [
        make_run(row, 30 - n + seed / 9, seed, data_sha256=data, images=6, images_sha256=images)
        for n, (row, (data, images)) in enumerate(rows.items())
        for seed in range(3)
    ]
    claim = "  - {row: full, better_than: never run, by: test/psnr}\n"
    same, different = filled(tmp_path, runs, text + claim).claims
    assert (same.result, different.result) == (Result.SUPPORTED, Result.NOT_APPLICABLE)


def _run_of_images(row: str, psnr: float, names: str, values: tuple[float, ...]) -> RecordedRun:
    images = [{"name": name, "psnr": v} for name, v in zip(names, values, strict=True)]
    return replace(make_run(row, psnr, parameters=0), images=tuple(images))


@pytest.mark.parametrize(
    "claim",
    [
        "{row: full, better_than: half, by: test/psnr}",
        "{row: full, within: 9.0, of: half, by: test/psnr}",
        "{row: full, better_than: never run, by: test/psnr, above: half}",
    ],
)
@pytest.mark.parametrize(
    ("names", "values", "reason"),
    [
        ("ac", (1.0, 1.0), "measured on different recordings"),
        ("aba", (1.0, 1.0, 1.0), "measured on different recordings"),
        ("", (), "no results of single images: half"),
        ("ab", (1.0, math.nan), "images without a finite value: b of half"),
    ],
)
def test_recordings_that_cannot_be_paired_are_a_reason(
    tmp_path: Path, names: str, values: tuple[float, ...], reason: str, claim: str
) -> None:
    runs = [
        _run_of_images("full", 30.0, "ab", (2.0, 2.5)),
        _run_of_images("half", 29.0, names, values),
        _run_of_images("never", 29.5, "ab", (1.0, 1.0)),
    ]
    text = SPEC.replace("{row: full, better_than: half, by: test/psnr}", claim)
    (tested,) = filled(tmp_path, runs, text).claims
    assert (tested.result, tested.detail) == (Result.NOT_APPLICABLE, reason)


def test_a_limit_is_not_compared_if_runs_lack_a_value_or_an_image_has_none(tmp_path: Path) -> None:
    text = SPEC.replace("better_than: half", "at_least: 20.0")
    not_finite = _run_of_images("full", 30.0, "ab", (1.0, math.nan))
    lacking = [make_run("full", 30.0, n, metrics={"test/psnr": 30.0 + n}) for n in range(2)]
    lacking.append(make_run("full", 30.0, 2, metrics={"train/total": 1.0}))
    for runs, reason in (
        ([not_finite], "images without a finite value: b of full"),
        (lacking, "1 of 3 runs of full have no PSNR (dB)"),
    ):
        (tested,) = filled(tmp_path, runs, text).claims
        assert (tested.result, tested.detail) == (Result.NOT_APPLICABLE, reason)


def test_costs_of_images_of_other_sizes_are_not_compared(tmp_path: Path) -> None:
    text = SPEC.replace("parameters]", "macs, macs_per_pixel]").replace(
        "  - {row: full, better_than: half, by: test/psnr}",
        "  - {row: full, better_than: half, by: macs}\n"
        "  - {row: half, better_than: full, by: macs_per_pixel}",
    )
    costs = {"full": Cost(6400, size=(8, 8)), "half": Cost(12800, size=(16, 16))}
    runs = [make_run(row, 30.0, costs={"forward": cost}) for row, cost in costs.items()]
    macs, per_pixel = filled(tmp_path, runs, text).claims
    assert macs.detail == "measured on images of different sizes: 8 x 8, 16 x 16"
    assert [macs.result, per_pixel.result] == [Result.NOT_APPLICABLE, Result.SUPPORTED]


def test_a_metric_that_no_result_has_is_rejected_with_suggestions(tmp_path: Path) -> None:
    path = write_spec(tmp_path, SPEC.replace("[test/psnr,", "[test/psnr, test/psnr_stir,"))
    spec = read_table_file(path).tables[0]
    message = r"table\.yaml: .*'test/psnr_stir': none .* mean 'test/psnr'"
    with pytest.raises(ConfigError, match=message):
        fill_table(spec, [make_run("full", 30.0)])
    assert math.isnan(cell(fill_table(spec, []))["mean"]), "tables without runs are not checked"


def test_lpips_without_its_backbone_is_an_empty_cell(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/lpips,")
    table = filled(tmp_path, [make_run("full", 30.0)], text)
    assert math.isnan(cell(table, "full", "test/lpips")["mean"])


def test_macs_per_pixel_compare_runs_on_images_of_any_size(tmp_path: Path) -> None:
    text = SPEC.replace("parameters]", "macs_per_pixel]")
    run = make_run("full", 30.0, costs={"forward": Cost(442_665 * 96 * 96, size=(96, 96))})
    table = filled(tmp_path, [run], text)
    assert cell(table, "full", "macs_per_pixel")["mean"] == 442_665


@pytest.mark.parametrize(
    ("baseline", "result"), [(28.0, Result.SUPPORTED), (29.5, Result.NOT_APPLICABLE)]
)
def test_a_claim_above_a_baseline_is_tested_only_above_it(
    tmp_path: Path, baseline: float, result: Result
) -> None:
    claim = "  - {row: full, within: 2.0, of: half, by: test/psnr, above: never run}\n"
    spec = read_table_file(write_spec(tmp_path, SPEC + claim)).tables[0]
    runs = [make_run("full", 30.0), make_run("half", 29.0), make_run("never", baseline)]
    runs.append(make_run("full", 30.02, seed=1))
    table = fill_table(spec, runs)
    assert table.claims[1].result is result
    assert f"**{result}**: full within 2.00 of half" in render_markdown([table])


def test_a_row_is_compared_with_a_number_and_between_its_columns(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/f1, test/f1_0, test/f1_6,")
    text += "  - {row: full, by: test/psnr, at_least: 29.0}\n"
    text += "  - {row: full, by: test/f1_0, than: test/f1}\n"
    text += "  - {row: full, by: test/f1, than: test/f1_6, statement: 6 is hard}\n"
    scores = {"test/psnr": 28.0, "test/f1": 0.9, "test/f1_0": 0.95, "test/f1_6": 0.93}
    table = filled(tmp_path, [make_run("full", 28.0, metrics=scores, parameters=0)], text)
    markdown = render_markdown([table])
    assert "**not supported**: full at least 29.00 (PSNR (dB)) (28.00)" in markdown
    assert "**supported**: full: F1 of class 0 better than F1" in markdown
    assert "**not supported**: full: F1 better than F1 of class 6" in markdown


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
    assert table.claims[0].noise == pytest.approx(4.3027 * 0.1 * 2**0.5, rel=1e-4)
    assert table.claims[0].result is Result.UNDECIDED
    elsewhere = [make_run("never", 29.0 + n, seed=n, data_sha256="f" * 64) for n in range(3)]
    _, other_data = fill_tables(file.tables, elsewhere + runs[3:])
    assert other_data.claims[0].result is Result.UNDECIDED
    alone = fill_table(file.tables[1], runs[3:])
    assert alone.claims[0].result is Result.UNDECIDED


def test_the_time_of_a_row_is_the_median_of_its_runs(tmp_path: Path) -> None:
    runs = [make_run("full", 30, n, wall_seconds=s) for n, s in enumerate((10.0, 11.0, 90.0))]
    table = filled(tmp_path, runs, SPEC.replace("parameters]", "wall_seconds]"))
    assert cell(table, column="wall_seconds")["mean"] == 11.0


def test_a_row_with_an_outlying_variance_has_its_own_spread(tmp_path: Path) -> None:
    steps = {"full": 1.0, "half": 0.1, "never": 0.1}  # the deviations of three seeds
    runs = [make_run(row, 30 + step * n, n) for row, step in steps.items() for n in range(3)]
    claim = "  - {row: half, better_than: never run, by: test/psnr}\n"
    own, pooled = (tested.noise for tested in filled(tmp_path, runs, SPEC + claim).claims)
    assert own == pytest.approx(4.3027 * (1.01 / 3) ** 0.5, rel=1e-4)  # two degrees of freedom
    assert pooled == pytest.approx(2.7764 * 0.1 * (2 / 3) ** 0.5, rel=1e-4)  # four


CURVE = "rate_distortion/psnr"


def _table(folder: Path, value: float, text: str = SPEC) -> FilledTable:
    runs = [make_run("full", 30.0), make_run("full", value, seed=1), make_run("full", 30.2, seed=2)]
    runs += [make_run("half", 29.0), make_run("half", 29.1, seed=1)]
    return filled(folder, runs, text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_seed_is_shown_in_its_cell_and_its_claims_are_not_applicable(
    tmp_path: Path, value: float
) -> None:
    table = _table(tmp_path, value)
    text = render_markdown([table])
    assert "| full | diverged (1 of 3) [38.80] | 5,107,960 | 3 |" in text
    assert "| half | 29.05 ± 0.07 | 5,107,960 | 2 |" in text
    assert table.claims[0].result is Result.NOT_APPLICABLE
    assert "**not applicable**: full better than half (PSNR (dB)) (full diverged)" in text


def test_every_format_of_a_table_has_the_diverged_seed(tmp_path: Path) -> None:
    table = _table(tmp_path, math.nan)
    rows = list(csv.DictReader(io.StringIO(render_csv([table]))))
    assert (rows[0]["test/psnr"], rows[1]["test/psnr"]) == ("nan", "29.05")
    assert rows[0]["test/psnr published"] == "38.8"


def test_claims_with_a_diverged_limit_or_baseline_are_not_applicable(tmp_path: Path) -> None:
    text = SPEC + "  - {row: full, by: test/psnr, at_least: 20.0}\n"
    text += "  - {row: half, within: 2.0, of: never run, by: test/psnr, above: full}\n"
    runs = [make_run("full", math.nan), make_run("half", 29.0), make_run("never", 29.0)]
    results = filled(tmp_path, runs, text).claims
    assert [tested.result for tested in results] == [Result.NOT_APPLICABLE] * 3
    assert {tested.detail for tested in results} == {"full diverged"}


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
