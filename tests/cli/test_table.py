"""Tests of the command ``table``."""

import shutil
from pathlib import Path

import pytest

from spike_zoo.media import load_image
from tests.helpers.commands import Zoo
from tests.helpers.tables import SPEC, make_run, write_spec

TABLE = "table experiments/stir/table.yaml"


@pytest.fixture(autouse=True)
def folder(zoo: Zoo) -> Path:
    """A method's folder with a table file and committed results, and a folder of runs."""
    place = Path("experiments/stir")
    place.mkdir(parents=True)
    write_spec(place)
    make_run("full", 31.0).result.write(place / "results" / "full-0" / "result.json")
    make_run("half", 29.0, profile="gpu").result.write(Path("runs/half/result.json"))
    return place


def test_a_table_file_is_printed_and_written_in_two_formats(zoo: Zoo) -> None:
    lines = zoo(TABLE).out.splitlines()
    paths = [Path(line.removeprefix("table: ")) for line in lines if line.startswith("table: ")]
    assert [path.suffix for path in paths] == [".md", ".csv"]
    assert lines[-1] == f"table: {paths[-1]}"
    assert all("31.0" in path.read_text() and "29.0" in path.read_text() for path in paths)
    assert any(line.startswith("| full | **31.00**") for line in lines)
    assert any(
        line.startswith("**Warning: The rows were made under different profiles") for line in lines
    )
    assert {path.name for path in paths[0].parent.iterdir()} == {path.name for path in paths}


def test_profile_and_results_select_the_shown_results(zoo: Zoo) -> None:
    line, committed = f"{TABLE} --out report", "experiments/stir/results"
    assert "| half | n/a |" in zoo(f"{line} --profile cpu").out
    assert "| full | n/a [38.80] |" in zoo(f"{line} --results runs").out
    out = zoo(f"{line} --results runs {committed} --profile cpu").out
    assert "| full | 31.00 [38.80] |" in out
    assert sorted(path.name for path in Path("report").iterdir()) == ["table.csv", "table.md"]


def test_a_table_without_results_shows_published_values(folder: Path, zoo: Zoo) -> None:
    shutil.rmtree(folder / "results")
    shutil.rmtree("runs")
    out = zoo(TABLE).out
    assert "| full | n/a [38.80] | n/a |" in out
    assert "Our claims: 0 of 1 supported (1 not measured)." in out


def test_a_sweep_without_a_table_file_is_rejected(zoo: Zoo) -> None:
    assert "give one (.yaml)" in zoo("table runs --sweep a/b/c").err


def test_the_curves_of_a_table_are_written_as_one_image(folder: Path, zoo: Zoo) -> None:
    curves = "rate_distortion/psnr"
    replacement = f"curves: [{{name: {curves}, x: bpp, y: PSNR, scale: symlog}}]\nrows:"
    write_spec(folder, SPEC.replace("rows:", replacement, 1))
    for points in (((0.0, 30.0),), ((0.0, 30.0), (0.1, 33.0))):  # the second replaces the first
        measured = make_run("full", 31.0, curves={curves: points}).result
        measured.write(folder / "results" / "full-0" / "result.json")
        assert zoo(f"{TABLE} --out curves.png").code == 0
    image = load_image("curves.png")
    assert image.min() < 0.5 < image.max(), "lines on white"


def test_a_table_without_curves_is_not_written_as_an_image(zoo: Zoo) -> None:
    assert "has no curves with results to draw" in zoo(f"{TABLE} --out curves.png").err
