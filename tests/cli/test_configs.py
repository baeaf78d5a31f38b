"""Tests of the command ``configs``: list and copy, without replacing files."""

from pathlib import Path

from tests.conftest import ROOT
from tests.helpers.commands import Zoo


def test_every_configuration_is_listed_with_one_line(zoo: Zoo) -> None:
    listed = dict(line.split(maxsplit=1) for line in zoo("configs").out.splitlines())
    files = (file.relative_to(ROOT / "configs") for file in (ROOT / "configs").rglob("*.yaml"))
    assert listed.keys() == {file.with_suffix("").as_posix() for file in files}
    assert listed["stir"] == "STIR with a short schedule: about an hour on two cores."


def test_copies_keep_their_paths_and_replace_no_files(zoo: Zoo) -> None:
    assert zoo("configs --copy stir paper/stir").code == 0
    for name in ("configs/stir.yaml", "configs/paper/stir.yaml"):
        assert Path(name).read_bytes() == (ROOT / name).read_bytes()
    Path("configs/stir.yaml").write_text("mine")
    result = zoo("configs --copy profiles/cpu stir")
    assert "configs/stir.yaml exists already" in result.err
    assert Path("configs/stir.yaml").read_text() == "mine"
    assert not Path("configs/profiles").exists(), "no file is copied if one exists"
