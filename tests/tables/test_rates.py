"""BD-rates of curves in tables, and claims about BD-rates."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.media.rendering import render_page
from spike_zoo.tables import (
    FilledTable,
    Judgement,
    RecordedRun,
    read_table_file,
    render_csv,
    render_markdown,
    table_page,
)
from tests.helpers.pages import Tags
from tests.helpers.tables import SPEC, filled, make_run, write_spec

NAME = "rate_distortion/psnr"
ANCHOR = ((0.01, 30.0), (0.02, 33.0), (0.04, 35.5), (0.08, 37.0))
RATES = SPEC.replace(
    "rows:", f"curves: [{{name: {NAME}, x: bpp, y: PSNR (dB), anchor: half}}]\nrows:", 1
)
RATES = RATES.replace(
    "  - {row: full, better_than: half, by: test/psnr}",
    "  - {row: full, bd_rate_below: 0, anchor: half, claim: it saves}\n"
    "  - {row: full, bd_rate_below: -30, anchor: half, method: pchip}\n"
    "  - {row: never run, bd_rate_below: 0, anchor: half}",
)


def codec_run(variant: str, factor: float, seed: int = 0, **changes: object) -> RecordedRun:
    """Return a run with the rates of the anchor times a factor."""
    points = tuple((factor * rate, quality) for rate, quality in ANCHOR)
    return make_run(variant, 30.0, seed=seed, curves={NAME: points}, **changes)


@pytest.fixture
def table(tmp_path: Path) -> FilledTable:
    runs = [
        codec_run("full", 0.8, 0),
        codec_run("full", 0.7, 1),
        codec_run("half", 0.9, 0),
        codec_run("half", 1.1, 1),
    ]
    return filled(tmp_path, runs, RATES)


def test_markdown_has_points_and_both_bd_rates_with_their_deviation(table: FilledTable) -> None:
    lines = render_markdown([table]).splitlines()
    (head,) = (line for line in lines if "BD-rate, cubic" in line)
    assert head == "|  | q0 | q1 | q2 | q3 | BD-rate, cubic (%) ↓ | BD-rate, PCHIP (%) ↓ |"
    (row,) = (line for line in lines if line.startswith("| full | 0.0075; 30 |"))
    assert row.endswith("| -25.00 ± 7.07 | -25.00 ± 7.07 |")
    (anchor,) = (line for line in lines if line.startswith("| half | 0.01; 30 |"))
    assert anchor.endswith("| 0.00 ± 14.14 | 0.00 ± 14.14 |")
    assert not any(line.startswith("- full:") for line in lines), (
        "the points are not repeated below the table"
    )


def test_claims_are_compared_with_the_noise_of_the_seeds(table: FilledTable) -> None:
    first, second, third = table.verdicts
    assert first.text == "full below 0.00 against half (BD-rate (%))"
    assert first.expectation.claim == "it saves"
    # s² pooled over both rows is (50 + 200) / 2, t of two degrees of freedom 4.30
    assert first.noise == pytest.approx(4.3027 * 125**0.5 * (1 / 2 + 1 / 2) ** 0.5, rel=1e-3)
    assert first.judgement is Judgement.NOISE
    assert second.text == "full below -30.00 against half (BD-rate (%), pchip)"
    assert second.judgement is Judgement.NOISE
    assert third.judgement is Judgement.NOT_MEASURED


@pytest.mark.parametrize("factor", [0.8, 1.25, 1.0])
def test_one_trained_run_each_gives_the_verdict_one_seed(tmp_path: Path, factor: float) -> None:
    verdict = filled(tmp_path, [codec_run("full", factor), codec_run("half", 1.0)], RATES).verdicts[
        0
    ]
    assert verdict.judgement is Judgement.ONE_SEED
    assert verdict.detail == f"{100 * (factor - 1):.2f}, one seed"


def test_a_curve_with_nan_makes_its_claim_meaningless(tmp_path: Path) -> None:
    bad = make_run("full", 30.0, curves={NAME: (*ANCHOR[:3], (0.08, math.nan))})
    verdict = filled(tmp_path, [bad, codec_run("half", 1.0)], RATES).verdicts[0]
    assert verdict.judgement is Judgement.NO_MEANING
    assert "not finite" in verdict.detail


def test_a_claim_that_depends_on_the_interpolation_has_no_meaning(tmp_path: Path) -> None:
    flat = ((0.0118, 27.33), (0.027, 28.19), (0.0743, 28.57), (0.1704, 28.58))
    below = ((0.0085, 26.31), (0.0163, 27.17), (0.0372, 27.66), (0.0866, 27.86))
    runs = [
        make_run(name, 30.0, curves={NAME: points}, parameters=0)
        for name, points in (("half", flat), ("full", below))
    ]
    verdict = filled(tmp_path, runs, RATES).verdicts[
        0
    ]  # the polynomial through the anchor is not monotonic
    assert verdict.judgement is Judgement.NO_MEANING
    assert verdict.detail.startswith("cubic -100.00 (42% overlap), PCHIP 15")
    assert verdict.detail.endswith("the way of interpolation decides it")


def test_rows_without_training_have_no_noise(tmp_path: Path) -> None:
    runs = [
        codec_run(name, factor, parameters=0) for name, factor in (("full", 0.9), ("half", 1.0))
    ]
    verdict = filled(tmp_path, runs, RATES).verdicts[0]
    assert verdict.judgement is Judgement.HELD
    assert verdict.detail == "-10.00"


def test_the_reason_of_a_missing_bd_rate_is_stated_in_the_claim_and_below_the_table(
    tmp_path: Path,
) -> None:
    disjoint = make_run("full", 30.0, curves={NAME: tuple((x, y + 20) for x, y in ANCHOR)})
    table = filled(tmp_path, [disjoint, codec_run("half", 1.0)], RATES)
    text = render_markdown([table])
    assert "n/a of full: no quality is on both curves: 30 to 37 and 50 to 57." in text
    assert "**not measured**: full below 0.00 against half (BD-rate (%)) (no quality" in text


def test_rows_without_the_anchor_show_only_their_points(tmp_path: Path) -> None:
    table = filled(tmp_path, [codec_run("full", 1.0)], RATES)
    text = render_markdown([table])
    assert "| full | 0.01; 30 | 0.02; 33 | 0.04; 35.5 | 0.08; 37 | n/a | n/a |" in text
    assert "n/a of full: the anchor was not measured." in text
    assert {verdict.judgement for verdict in table.verdicts} == {Judgement.NOT_MEASURED}


def test_a_table_without_runs_is_rendered(tmp_path: Path) -> None:
    table = filled(tmp_path, [], RATES)
    assert "No runs yet." in render_markdown([table])
    assert "BD-rate, cubic" not in render_markdown([table])
    assert (
        Tags(render_page(table_page(read_table_file(tmp_path / "table.yaml"), [table]))).open == []
    )


def test_the_page_has_the_same_table_and_a_drawing(table: FilledTable, tmp_path: Path) -> None:
    page = Tags(render_page(table_page(read_table_file(tmp_path / "table.yaml"), [table])))
    assert page.open == []
    assert "-25.00 ± 7.07" in page.words
    assert "PSNR (dB) against bpp" in page.words


def test_csv_has_rounded_bd_rates(table: FilledTable) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv([table]))))
    full = next(row for row in rows if row["row"] == "full" and row["anchor"])
    assert (full["curve"], full["anchor"]) == (NAME, "half")
    assert full["BD-rate cubic"] == "-25.0"
    assert float(full["BD-rate pchip deviation"]) == pytest.approx(50**0.5, abs=1e-5)
    assert full["BD-rate missing"] == ""


def test_published_points_of_a_file_are_rows_marked_as_such(tmp_path: Path) -> None:
    points = [("VTM", 0.5 * x, y) for x, y in ANCHOR] + [("half", x, y - 1) for x, y in ANCHOR]
    lines = ["name,bpp,psnr", *(",".join(map(str, point)) for point in points)]
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    text = RATES.replace("anchor: half}]", "anchor: half, published: theirs.csv}]")
    table = filled(tmp_path, [codec_run("half", 1.0)], text)
    rendered = render_markdown([table])
    assert "| VTM [published] | 0.005; 30 |" in rendered
    (published,) = (
        line for line in rendered.splitlines() if line.startswith("| VTM [published] |")
    )
    assert published.endswith("| -50.00 | -50.00 |")
    assert "| half [published] | 0.01; 29 |" in rendered
    (line,) = (row for row in table.rows if row.name == "VTM")
    assert line.runs == ()
    assert "[ ] published: Fan et al., NeurIPS 2024." in rendered


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("anchor: half}]", "anchor: hlaf}]"), "anchor: no such row: 'hlaf'. Did you mean"),
        (("0, anchor: half, c", "0, anchor: hafl, c"), "no such row: 'hafl'"),
        (("0, anchor: half, c", "0, anchor: full, c"), "compares a row with itself"),
        (("0, anchor: half, c", "low, anchor: half, c"), "bd_rate_below: expected float"),
        (("0, anchor: half, c", "0, c"), "needs the key 'anchor'"),
        (("method: pchip", "method: akima"), "method: expected Literal.*, got 'akima'"),
        (("method: pchip", "by: rate_distortion/snr"), "no such curve: .* Did you mean"),
        (
            ("bd_rate_below: -30, anchor: half, method: pchip", "bd_rate_below: 0, anchor: half"),
            "the expectation .* is given twice",
        ),
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


def test_points_given_in_the_table_and_in_a_file_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("name,bpp,psnr\nfull,0.1,30\n")
    text = RATES.replace("anchor: half}]", "anchor: half, published: theirs.csv}]").replace(
        "published: {test/psnr: 38.8}", f"published: {{{NAME}: [[0.1, 30]]}}"
    )
    with pytest.raises(ConfigError, match=r"row 'full': .* is given here and in theirs\.csv"):
        read_table_file(write_spec(tmp_path, text))
