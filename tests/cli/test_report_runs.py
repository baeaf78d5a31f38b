"""The page and the table of some runs, as a user asks for them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo.cli.main import main
from spike_zoo.media import save_picture
from spike_zoo.records.result import RECONSTRUCTIONS, TRUTHS, RunResult
from tests.helpers.pages import shown_on
from tests.helpers.results import make_result


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, value in (("stir", 31.0), ("tfp", 25.0)):
        folder = tmp_path / "runs" / name
        make_result(variant=name, metrics={"test/psnr": value}).write(folder / "result.json")
        for kind in (RECONSTRUCTIONS, TRUTHS):
            save_picture(np.full((16, 24), 0.5), folder / "images" / kind / "scene-plane075.png")
    return tmp_path / "runs"


def test_page_shows_numbers_of_the_records_and_pictures_side_by_side(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "page.html"
    assert main(["report", str(runs), "--scenes", "0", "--out", str(target)]) == 0
    assert f"page: {target} (" in capsys.readouterr().out
    html = target.read_text()
    assert html.index("25.00") < html.index("31.00"), "the best comes last"
    (viewer,) = shown_on(html)
    assert [layer["name"] for layer in viewer["layers"]] == ["tfp", "stir", "ground truth"]
    assert html.count("data:image/png;base64") == 3
    assert not re.search(r'(src|href)="https?:', html), "nothing is fetched"


def test_page_draws_the_curves_that_runs_measured(tmp_path: Path) -> None:
    points = {"rate_distortion/psnr": ((0.01, 30.0), (0.1, 34.0)), "other": ((1.0, 2.0),)}
    html = _page(tmp_path, make_result(variant="ours", curves=points), make_result(variant="tfp"))
    assert html.count("<svg") == 1
    assert "PSNR (dB) against bpp" in html
    assert ">ours</text>" in html


def _trained(name: str, tested: str = "test", **changes: Any) -> RunResult:
    data = {"archive": "data/own.h5", "train_split": "train", "test_split": tested}
    config = {"data": {"class_path": "spike_zoo.data.DeblurDataModule", "init_args": data}}
    metrics = {"test/psnr": 30.0, "train/total": 0.1}
    return make_result(variant=name, metrics=metrics, config=config, **changes)


def _page(tmp_path: Path, *results: RunResult) -> str:
    for result in results:
        result.write(tmp_path / "runs" / result.variant / "result.json")
    target = ["--out", str(tmp_path / "page.html"), "--overwrite"]
    assert main(["report", str(tmp_path / "runs"), "--scenes", "0", *target]) == 0
    return (tmp_path / "page.html").read_text()


def test_page_warns_of_rows_that_cannot_be_compared(tmp_path: Path) -> None:
    html = _page(tmp_path, _trained("a"), _trained("b", profile="gpu", data_sha256="cd" * 32))
    assert "measured on different data and cannot be compared" in html
    assert "mix profiles and cannot be compared" in html


def test_page_states_that_scenes_are_new_only_where_the_records_show_it(tmp_path: Path) -> None:
    new = "Measured on split &#39;test&#39; of own.h5, which training did not use"
    assert new in _page(tmp_path, _trained("a"))
    elsewhere = dataclasses.replace(_trained("b"), metrics={"test/psnr": 30.0})
    html = _page(tmp_path, elsewhere)  # a test alone: what its checkpoint saw is not known
    assert "seen in training" not in html
    assert "Measured on split &#39;test&#39; of own.h5." in html
    html = _page(tmp_path, make_result(variant="c"))  # a record that does not say where it ran
    assert "Measured on" not in html


def test_page_and_table_warn_of_a_test_on_what_was_trained_on(tmp_path: Path) -> None:
    html = _page(tmp_path, _trained("honest"), _trained("seen", "train"))
    assert "Tested on the scenes of their training" in html
    assert "seen in training" not in html
    target = tmp_path / "table.md"
    assert main(["table", str(tmp_path / "runs"), "--out", str(target)]) == 0
    assert re.search(r"Warning: Tested on the scenes of their training: seen\.", target.read_text())


def test_page_of_a_folder_without_results_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "no result.json below" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".md", ".csv", ".html"])
def test_table_is_written_in_the_form_its_name_asks_for(
    runs: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"table{suffix}"
    assert main(["table", str(runs), "--out", str(target)]) == 0
    text = target.read_text()
    assert "tfp" in text
    assert "31.0" in text


def test_table_of_an_unknown_form_is_rejected(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(runs), "--out", "table.xlsx"]) == 2
    assert ".md, .csv or .html" in capsys.readouterr().err
    assert not Path("table.xlsx").exists()
