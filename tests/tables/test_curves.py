"""Measured and published curves in Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.tables import (
    FilledTable,
    RecordedRun,
    TableFile,
    fill_table,
    read_table_file,
    render_csv,
    render_markdown,
)
from tests.helpers.tables import SPEC, filled, make_run, write_spec

NAME = "rate_distortion/psnr"
CURVED = SPEC.replace(
    "published: {test/psnr: 38.8}",
    f"published: {{test/psnr: 38.8, {NAME}: [[0.02, 31], [0.2, 35.5]]}}",
).replace("rows:", f"curves: [{{name: {NAME}, x: bpp, y: PSNR (dB)}}]\nrows:", 1)
LOGARITHMIC = CURVED.replace("x: bpp,", "x: bpp, scale: log,")


def codec_run(seed: int, *points: tuple[float, float], name: str = NAME) -> RecordedRun:
    """Return the run of a codec with a measured curve."""
    return make_run("full", 30.0, seed=seed, curves={name: points})


@pytest.fixture
def file(tmp_path: Path) -> TableFile:
    return read_table_file(write_spec(tmp_path, CURVED))


@pytest.fixture
def table(file: TableFile) -> FilledTable:
    runs = [codec_run(0, (0.01, 30.0), (0.10, 34.0)), codec_run(1, (0.03, 31.0), (0.14, 35.0))]
    return fill_table(file.tables[0], [*runs, make_run("half", 29.0)])


def test_points_are_means_over_the_seeds_one_by_one(table: FilledTable) -> None:
    (curve,) = table.curves
    measured, published = curve.lines
    assert (measured.name, published.name) == ("full", "full [published]")
    assert [value for point in measured.points for value in point] == pytest.approx(
        [0.02, 30.5, 0.12, 34.5]
    )
    assert published.points == ((0.02, 31.0), (0.2, 35.5))


def test_markdown_lists_the_points(table: FilledTable) -> None:
    text = render_markdown([table])
    assert "PSNR (dB) against bpp:" in text
    assert "- full: (0.02, 30.5), (0.12, 34.5)" in text
    assert "- full [published]: (0.02, 31), (0.2, 35.5)" in text


def test_csv_has_a_row_for_each_point(table: FilledTable) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv([table]))))
    points = [row for row in rows if row["curve"] == NAME]
    assert [row["row"] for row in points] == ["full"] * 4
    assert [float(row["y"]) for row in points[:2]] == [30.5, 34.5]
    assert [float(row["x published"]) for row in points[2:]] == [0.02, 0.2]
    assert rows[0]["test/psnr"] == "30.0"
    assert rows[0]["curve"] == ""


def test_the_source_of_a_row_with_only_a_published_curve_is_named(tmp_path: Path) -> None:
    row = f"  - {{name: H.264, source: The standard, published: {{{NAME}: [[0.1, 20], [1, 30]]}}}}"
    text = CURVED.replace("expect:", f"{row}\nexpect:")
    table = filled(tmp_path, [], text)
    assert "[ ] published for H.264: The standard." in table.notes
    assert "- H.264 [published]: (0.1, 20), (1, 30)" in render_markdown([table])


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (
            [codec_run(0, (1.0, 1.0), name="rate_distortion/psrn")],
            "Did you mean 'rate_distortion/psrn'",
        ),
        (
            [codec_run(0, (1.0, 1.0)), codec_run(1, (1.0, 1.0), (2.0, 2.0))],
            "of full have 1, 2 points",
        ),
        ([codec_run(0, (0.0, 30.0))], r"full has a point at bpp = 0, .* remove 'scale: log'"),
    ],
)
def test_curves_that_cannot_be_drawn_are_rejected_by_name(
    tmp_path: Path, runs: list[RecordedRun], message: str
) -> None:
    spec = read_table_file(write_spec(tmp_path, LOGARITHMIC)).tables[0]
    with pytest.raises(
        ConfigError, match=rf"table\.yaml: table 'Capacity', curve '{NAME}'.*{message}"
    ):
        fill_table(spec, runs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("x: bpp, ", ""), "curve 1: the key 'x' is missing"),
        (("x: bpp,", "x: bpp, log: true,"), "curve 1: unknown key 'log'"),
        (
            ("x: bpp,", "x: bpp, scale: lgo,"),
            "curve 1: scale: expected .*'linear', 'log'.*got 'lgo'",
        ),
        (("[[0.02, 31], [0.2, 35.5]]", "[0.02, 31]"), "row 1: published: expected"),
        (("[0.02, 31]", "[0.02, 31, 4]"), "row 1: published: expected"),
        (("[0.02, 31]", "[0.02, high]"), "row 1: published: expected"),
        ((f"8, {NAME}:", "8, rate_distortion/psrn:"), "no such column or curve: .*Did you mean"),
        ((f"name: {NAME}", "name: test/psnr"), "the column or curve 'test/psnr' is given twice"),
    ],
)
def test_a_mistake_in_the_file_is_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in CURVED
    path = write_spec(tmp_path, CURVED.replace(*change, 1))
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        read_table_file(path)
