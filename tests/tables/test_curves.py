"""Measured and published curves, BD-rates, claims about BD-rates, and charts."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
import statistics
from pathlib import Path
from xml.etree import ElementTree

import pytest
import scipy.stats

from spike_zoo.errors import ConfigError
from spike_zoo.tables import render_csv, render_markdown
from spike_zoo.tables.claims import Result
from spike_zoo.tables.curves import curve_charts
from spike_zoo.tables.fill import FilledTable
from spike_zoo.tables.read import read_table_file
from spike_zoo.tables.runs import RecordedRun
from tests.helpers.tables import SPEC, filled, make_run, write_spec

NAME = "rate_distortion/psnr"
PUBLISHED = "name,bpp,psnr\nfull,0.02,31\nfull,0.2,35.5\nVTM,0.1,20\nVTM,1,30\n"
CURVED = SPEC.replace(
    "rows:", f"curves: [{{name: {NAME}, x: bpp, y: PSNR (dB), published: theirs.csv}}]\nrows:", 1
)
ANCHOR = ((0.01, 30.0), (0.02, 33.0), (0.04, 35.5), (0.08, 37.0))
RATES = SPEC.replace(
    "rows:", f"curves: [{{name: {NAME}, x: bpp, y: PSNR (dB), anchor: half}}]\nrows:", 1
).replace(
    "  - {row: full, better_than: half, by: test/psnr}",
    "  - {row: full, bd_rate_below: 0, anchor: half, statement: it saves}\n"
    "  - {row: never run, bd_rate_below: 0, anchor: half}",
)
MARKER = re.compile(r'<use xlink:href="#m\w+" x="([\d.]+)" y="([\d.]+)" style="fill: #')


def curve_run(*points: tuple[float, float], seed: int = 0, name: str = NAME) -> RecordedRun:
    """Return the run of a codec with a measured curve."""
    return make_run("full", 30.0, seed=seed, curves={name: points})


def codec_run(variant: str, factor: float, seed: int = 0, **changes: object) -> RecordedRun:
    """Return a run with the rates of the anchor times a factor."""
    points = tuple((factor * rate, quality) for rate, quality in ANCHOR)
    return make_run(variant, 30.0, seed=seed, curves={NAME: points}, **changes)


@pytest.fixture
def curved(tmp_path: Path) -> FilledTable:
    (tmp_path / "theirs.csv").write_text(PUBLISHED)
    runs = [curve_run((0.01, 30.0), (0.10, 34.0)), curve_run((0.03, 31.0), (0.14, 35.0), seed=1)]
    return filled(tmp_path, [*runs, make_run("half", 29.0)], CURVED)


@pytest.fixture
def rates(tmp_path: Path) -> FilledTable:
    runs = [codec_run("full", 0.8), codec_run("full", 0.7, 1)]
    return filled(tmp_path, [*runs, codec_run("half", 0.9), codec_run("half", 1.1, 1)], RATES)


def test_points_are_means_over_the_seeds_and_published_points_follow(curved: FilledTable) -> None:
    (curve,) = curved.curves
    measured, published, _ = curve.lines
    values = [value for point in measured.points for value in point]
    assert values == pytest.approx([0.02, 30.5, 0.12, 34.5])
    assert published.points == ((0.02, 31.0), (0.2, 35.5))
    text = render_markdown([curved])
    assert "PSNR (dB) against bpp:" in text
    assert "- full: (0.02, 30.5), (0.12, 34.5)" in text
    assert "- full [published]: (0.02, 31), (0.2, 35.5)" in text
    assert "- VTM [published]: (0.1, 20), (1, 30)" in text
    assert "| VTM | n/a | n/a |" in text
    assert "[ ] published: Fan et al., NeurIPS 2024." in curved.notes


def test_csv_has_a_row_for_each_point(curved: FilledTable) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv([curved]))))
    points = [row for row in rows if row["curve"] == NAME]
    assert [row["row"] for row in points] == ["full"] * 4 + ["VTM"] * 2
    assert [float(row["y"]) for row in points[:2]] == [30.5, 34.5]
    assert [float(row["x published"]) for row in points[2:4]] == [0.02, 0.2]
    assert (rows[0]["test/psnr"], rows[0]["curve"]) == ("30.0", "")


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([curve_run((1.0, 1.0), name=f"{NAME}s")], f"Did you mean '{NAME}s'"),
        (
            [curve_run((1.0, 1.0)), curve_run((1.0, 1.0), (2.0, 2.0), seed=1)],
            "of full have 1, 2 points",
        ),
        ([curve_run((0.0, 30.0))], r"full has a point at bpp = 0, .* remove 'scale: log'"),
    ],
)
def test_curves_that_cannot_be_drawn_are_rejected_by_name(
    tmp_path: Path, runs: list[RecordedRun], message: str
) -> None:
    (tmp_path / "theirs.csv").write_text(PUBLISHED)
    place = rf"table\.yaml: table 'Capacity', curve '{NAME}'"
    with pytest.raises(ConfigError, match=rf"{place}.*{message}"):
        filled(tmp_path, runs, CURVED.replace("x: bpp,", "x: bpp, scale: log,"))


def test_markdown_has_points_and_both_bd_rates_with_their_deviation(rates: FilledTable) -> None:
    lines = render_markdown([rates]).splitlines()
    assert "|  | q0 | q1 | q2 | q3 | BD-rate, cubic (%) ↓ | BD-rate, PCHIP (%) ↓ |" in lines
    (row,) = (line for line in lines if line.startswith("| full | 0.0075; 30 |"))
    assert row.endswith("| -25.00 ± 7.07 | -25.00 ± 7.07 |")
    (anchor,) = (line for line in lines if line.startswith("| half | 0.01; 30 |"))
    assert anchor.endswith("| 0.00 ± 14.14 | 0.00 ± 14.14 |")


def test_csv_has_rounded_bd_rates(rates: FilledTable) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv([rates]))))
    full = next(row for row in rows if row["row"] == "full" and row["anchor"])
    assert (full["curve"], full["anchor"], full["BD-rate missing"]) == (NAME, "half", "")
    assert full["BD-rate cubic"] == "-25.0"
    assert float(full["BD-rate pchip deviation"]) == pytest.approx(50**0.5, abs=1e-5)


def test_claims_are_compared_with_the_noise_of_the_seeds(rates: FilledTable) -> None:
    first, second = rates.claims
    assert first.text == "full below 0.00 against half (BD-rate (%))"
    assert first.claim.statement == "it saves"
    # s² pooled over both rows is (50 + 200) / 2, t of two degrees of freedom 4.30
    assert first.noise == pytest.approx(4.3027 * 125**0.5 * (1 / 2 + 1 / 2) ** 0.5, rel=1e-3)
    assert [first.result, second.result] == [Result.UNDECIDED, Result.NOT_MEASURED]


def test_curves_of_other_recordings_or_of_some_seeds_are_not_compared(tmp_path: Path) -> None:
    def images(name: str) -> tuple[dict[str, object], ...]:
        points = {
            f"{key}_q{n}": p
            for n, pair in enumerate(ANCHOR)
            for key, p in zip(("bpp", "psnr"), pair, strict=True)
        }
        return ({"name": name, **points},)

    full, half = codec_run("full", 0.8, parameters=0), codec_run("half", 1.0, parameters=0)
    other = [
        dataclasses.replace(full, images=images("a")),
        dataclasses.replace(half, images=images("b")),
    ]
    lacking = [codec_run("full", 0.8 + n / 9, n) for n in range(2)]
    lacking += [make_run("full", 30.0, 2), codec_run("half", 1.0), codec_run("half", 1.01, 1)]
    for runs, reason in (
        (other, "measured on different recordings"),
        (lacking, "1 of 3 runs of full have no PSNR (dB) against bpp"),
    ):
        tested = filled(tmp_path, runs, RATES).claims[0]
        assert (tested.result, tested.detail) == (Result.NOT_APPLICABLE, reason)


@pytest.mark.parametrize("factor", [0.8, 1.25, 1.0])
def test_one_trained_run_each_gives_the_result_one_seed(tmp_path: Path, factor: float) -> None:
    runs = [codec_run("full", factor), codec_run("half", 1.0)]
    tested = filled(tmp_path, runs, RATES).claims[0]
    assert tested.result is Result.UNDECIDED
    assert tested.detail == f"{100 * (factor - 1):.2f}, one seed"


def test_rows_without_training_have_no_noise(tmp_path: Path) -> None:
    runs = [codec_run("full", 0.9, parameters=0), codec_run("half", 1.0, parameters=0)]
    tested = filled(tmp_path, runs, RATES).claims[0]
    assert (tested.result, tested.detail) == (Result.SUPPORTED, "-10.00")


def test_a_claim_about_a_curve_with_nan_is_not_applicable(tmp_path: Path) -> None:
    bad = make_run("full", 30.0, curves={NAME: (*ANCHOR[:3], (0.08, math.nan))})
    tested = filled(tmp_path, [bad, codec_run("half", 1.0)], RATES).claims[0]
    assert tested.result is Result.NOT_APPLICABLE
    assert "not finite" in tested.detail


def test_a_claim_that_depends_on_the_interpolation_is_not_applicable(tmp_path: Path) -> None:
    # the polynomial through the anchor is not monotonic
    flat = ((0.0118, 27.33), (0.027, 28.19), (0.0743, 28.57), (0.1704, 28.58))
    below = ((0.0085, 26.31), (0.0163, 27.17), (0.0372, 27.66), (0.0866, 27.86))
    runs = [
        make_run(name, 30.0, curves={NAME: points}, parameters=0)
        for name, points in (("half", flat), ("full", below))
    ]
    tested = filled(tmp_path, runs, RATES).claims[0]
    assert tested.result is Result.NOT_APPLICABLE
    assert tested.detail.startswith("cubic -100.00 (42% overlap), PCHIP 15")
    assert tested.detail.endswith("the interpolation decides")


def test_the_reason_of_a_missing_bd_rate_is_stated_in_the_claim_and_below_the_table(
    tmp_path: Path,
) -> None:
    disjoint = make_run("full", 30.0, curves={NAME: tuple((x, y + 20) for x, y in ANCHOR)})
    text = render_markdown([filled(tmp_path, [disjoint, codec_run("half", 1.0)], RATES)])
    assert "n/a of full: no quality is on both curves: 30 to 37 and 50 to 57." in text
    assert "**not measured**: full below 0.00 against half (BD-rate (%)) (no quality" in text


def test_rows_without_the_anchor_show_only_their_points(tmp_path: Path) -> None:
    table = filled(tmp_path, [codec_run("full", 1.0)], RATES)
    text = render_markdown([table])
    assert "| full | 0.01; 30 | 0.02; 33 | 0.04; 35.5 | 0.08; 37 | n/a | n/a |" in text
    assert "n/a of full: the anchor was not measured." in text
    assert {tested.result for tested in table.claims} == {Result.NOT_MEASURED}
    assert "BD-rate, cubic" not in render_markdown([filled(tmp_path, [], RATES)])


def test_published_points_have_a_bd_rate(tmp_path: Path) -> None:
    points = [("VTM", 0.5 * x, y) for x, y in ANCHOR] + [("half", x, y - 1) for x, y in ANCHOR]
    lines = ["name,bpp,psnr", *(",".join(map(str, point)) for point in points)]
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    text = RATES.replace("anchor: half}]", "anchor: half, published: theirs.csv}]")
    rendered = render_markdown([filled(tmp_path, [codec_run("half", 1.0)], text)])
    assert "| VTM [published] | 0.005; 30 | 0.01; 33 | 0.02; 35.5 | 0.04; 37 | -50.00 |" in rendered
    assert "| half [published] | 0.01; 29 |" in rendered


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("x: bpp, ", ""), "curve 1: the key 'x' is missing"),
        (("x: bpp,", "x: bpp, log: true,"), "curve 1: unknown key 'log'"),
        (("x: bpp,", "x: bpp, scale: lgo,"), "curve 1: scale: expected .*'log'.*got 'lgo'"),
        ((f"name: {NAME}", "name: test/psnr"), "the column or curve 'test/psnr' is given twice"),
        (("anchor: half}]", "anchor: hlaf}]"), "anchor: no such row: 'hlaf'. Did you mean"),
        (("0, anchor: half, s", "0, anchor: hafl, s"), "no such row: 'hafl'"),
        (("0, anchor: half, s", "0, anchor: full, s"), "compares a row with itself"),
        (("0, anchor: half, s", "low, anchor: half, s"), "bd_rate_below: expected float"),
        (("0, anchor: half, s", "0, s"), "needs the key 'anchor'"),
        (("half, s", "half, by: rate_distortion/snr, s"), "no such curve: .* Did you mean"),
        (("row: never run", "row: full"), "the claim .* is given twice"),
        (("half}]", "half}, {name: other, x: a, y: b}]"), "by: expected one of the curves"),
    ],
)
def test_a_mistake_in_the_file_is_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in RATES
    path = write_spec(tmp_path, RATES.replace(*change, 1))
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        read_table_file(path)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_chart_has_a_legend_and_dashed_published_lines(tmp_path: Path, scale: str) -> None:
    (tmp_path / "theirs.csv").write_text("name,bpp,psnr\n$x$ <b>,0.02,31\n$x$ <b>,0.2,35.5\n")
    text = CURVED.replace("x: bpp,", f"x: bpp, scale: {scale},")
    run = curve_run((0.001, 30.0), (0.01, 33.0), (1.0, 34.0))
    table = filled(tmp_path, [run], text)
    ((chart, caption),) = curve_charts(table.curves)
    assert caption.startswith("PSNR (dB) against bpp")
    texts = {element.text for element in ElementTree.fromstring(chart).iter("text")}
    assert {"full", "$x$ <b> [published]", "bpp", "PSNR (dB)"} <= texts
    x = [float(position) for position, _ in MARKER.findall(chart)]
    share = (x[1] - x[0]) / (x[2] - x[0])
    assert share == pytest.approx(1 / 3 if scale == "log" else 0.009 / 0.999, abs=2e-3)
    assert chart.count("stroke-dasharray") == 2, "the published line and its legend entry"
    assert curve_charts(table.curves) == [(chart, caption)], "the same in every call"
    assert "currentColor" in chart
    assert "<style" not in chart, "a style element would apply to the whole page"


@pytest.mark.parametrize(
    ("factors", "label"),
    [((0.75, 0.8, 0.85) * 2, "supported"), ((0.7, 0.8, 1.6) * 2, "undecided: within noise")],
)
def test_bd_rates_of_fixed_weights_are_compared_over_photographs(
    tmp_path: Path, factors: tuple[float, ...], label: str
) -> None:
    """A factor for each recording: the BD-rate of any mean of recordings is their mean factor."""

    def run(variant: str, factors: tuple[float, ...]) -> RecordedRun:
        qualities = {f"psnr_q{n}": quality for n, (_, quality) in enumerate(ANCHOR)}
        images = [
            {f"bpp_q{n}": factor * rate for n, (rate, _) in enumerate(ANCHOR)}
            | {"name": f"s{number}", **qualities}
            for number, factor in enumerate(factors)
        ]
        measured = codec_run(variant, statistics.fmean(factors), parameters=0)
        return dataclasses.replace(measured, images=tuple(images))

    tested = filled(tmp_path, [run("full", factors), run("half", (1,) * 6)], RATES).claims[0]
    expected = scipy.stats.ttest_1samp([100 * (factor - 1) for factor in factors], 0).pvalue
    assert tested.label.startswith(label)
    assert tested.p_value == pytest.approx(expected)
    assert ", no seeds; 6 photographs: " in tested.detail
    assert " against 0" in tested.detail
