"""Tests of the command ``configs``: list and copy, without replacing files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_configuration_is_listed_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    files = (ROOT / "configs").rglob("*.yaml")
    assert listed.keys() == {
        file.relative_to(ROOT / "configs").with_suffix("").as_posix() for file in files
    }
    assert listed["stir"] == "STIR with a short schedule: about an hour on two cores."


def test_configurations_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["configs"]
    (stir,) = [row for row in rows if row["name"] == "stir"]
    assert Path(stir["file"]).read_bytes() == (ROOT / "configs" / "stir.yaml").read_bytes()
    assert stir["summary"] == "STIR with a short schedule: about an hour on two cores."


def test_copies_keep_their_paths_and_replace_no_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["configs", "--copy", "stir", "paper/stir"]) == 0
    for name in ("configs/stir.yaml", "configs/paper/stir.yaml"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
    (tmp_path / "configs" / "stir.yaml").write_text("mine")
    assert main(["configs", "--copy", "profiles/cpu", "stir"]) == 2
    assert "configs/stir.yaml exists already" in capsys.readouterr().err
    assert (tmp_path / "configs" / "stir.yaml").read_text() == "mine"
    assert not (tmp_path / "configs" / "profiles").exists(), "no file is copied if one exists"


def test_an_unknown_configuration_is_rejected_with_the_closest_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["configs", "--copy", "profiles/smok", "--out", "here"]) == 2
    assert "Did you mean 'profiles/smoke'?" in capsys.readouterr().err
