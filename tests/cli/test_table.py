"""Tests of the command ``table``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from spike_zoo.media import load_picture
from tests.helpers.tables import SPEC, make_run, write_spec


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A method's folder with a table file and committed results, and a folder of runs."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "experiments" / "stir"
    place.mkdir(parents=True)
    write_spec(place)
    make_run("full", 31.0).result.write(place / "results" / "full-0" / "result.json")
    make_run("half", 29.0, profile="gpu").result.write(tmp_path / "runs" / "half" / "result.json")
    return place


def test_a_table_file_is_printed_and_written_in_two_formats(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(folder / "table.yaml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    paths = [Path(line.removeprefix("table: ")) for line in lines if line.startswith("table: ")]
    assert [path.suffix for path in paths] == [".md", ".csv"]
    assert lines[-1] == f"table: {paths[-1]}"
    assert all("31.0" in path.read_text() and "29.0" in path.read_text() for path in paths)
    assert any(line.startswith("| full | **31.00**") for line in lines)
    assert any(line.startswith("**Warning: The rows mix profiles") for line in lines)
    assert {path.name for path in paths[0].parent.iterdir()} == {path.name for path in paths}


def test_profile_and_results_select_the_shown_results(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    arguments = ["table", str(folder / "table.yaml"), "--out", str(out)]
    assert main([*arguments, "--profile", "cpu"]) == 0
    assert "| half | n/a |" in capsys.readouterr().out
    places = [str(tmp_path / "runs"), str(folder / "results")]
    assert main([*arguments, "--results", places[0]]) == 0
    assert "| full | n/a [38.80] |" in capsys.readouterr().out
    assert main([*arguments, "--results", *places, "--profile", "cpu"]) == 0
    assert "| full | 31.00 [38.80] |" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["table.csv", "table.md"]


def test_a_table_without_results_shows_published_values(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / "results")
    shutil.rmtree(tmp_path / "runs")
    assert main(["table", str(folder / "table.yaml")]) == 0
    out = capsys.readouterr().out
    assert "| full | n/a [38.80] | n/a |" in out
    assert "Our claims: 0 of 1 supported over seeds (1 not measured)." in out


def test_a_sweep_without_a_table_file_is_rejected(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", "runs", "--sweep", "a/b/c"]) == 2
    assert "give one (.yaml)" in capsys.readouterr().err


def test_the_curves_of_a_table_are_written_as_one_picture(folder: Path) -> None:
    curves = "rate_distortion/psnr"
    measured = make_run("full", 31.0, curves={curves: ((0.0, 30.0), (0.1, 33.0))}).result
    measured.write(folder / "results" / "full-0" / "result.json")
    replacement = f"curves: [{{name: {curves}, x: bpp, y: PSNR, scale: symlog}}]\nrows:"
    write_spec(folder, SPEC.replace("rows:", replacement, 1))
    for _ in range(2):  # the second call replaces the picture
        assert main(["table", str(folder / "table.yaml"), "--out", "curves.png"]) == 0
    picture = load_picture("curves.png")
    assert picture.min() < 0.5 < picture.max(), "lines on white"


def test_a_table_without_curves_is_not_written_as_a_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(folder / "table.yaml"), "--out", "curves.png"]) == 2
    assert "has no curves with results to draw" in capsys.readouterr().err
