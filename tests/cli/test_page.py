"""The page and the table of some runs, as a user asks for them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.cli.main import main
from spike_zoo.media import save_picture
from spike_zoo.tracking.images import RECONSTRUCTIONS, TRUTHS
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
    assert main(["page", str(runs), "--out", str(target)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(target)
    html = target.read_text()
    assert html.index("25.00") < html.index("31.00"), "the best comes last"
    assert html.count("data:image/png;base64") == 2 + 3, "a comparison and a gallery of three"
    assert not re.search(r'(src|href)="https?:', html), "nothing is fetched"


def test_page_of_a_folder_without_results_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["page", str(tmp_path)]) == 2
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


def test_table_is_printed_where_no_file_is_named(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(runs)]) == 0
    assert "| stir | **31.00** |" in capsys.readouterr().out


def test_table_of_an_unknown_form_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(runs), "--out", "table.xlsx"]) == 2
    assert ".md, .csv or .html" in capsys.readouterr().err
    assert not Path("table.xlsx").exists()
