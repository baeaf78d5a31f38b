"""The table of the public REDS download, on the clip that is at hand in its layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from experiments import reds

METHODS = """
methods:
  TFP: {name: "tfp:window=41", published: 28.17, published_v01: 24.29}
  "TFI, mean of 9": {name: "tfi:average=9"}
  WGSE: {name: wgse.yaml, published: 39.04}
"""


@pytest.fixture
def data(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    methods = tmp_path / "methods.yaml"
    methods.write_text(METHODS.replace("wgse.yaml", str(tmp_path / "wgse.yaml")))
    (tmp_path / "wgse.yaml").write_text("init_args: {repository: /nowhere}")
    monkeypatch.setattr(reds, "METHODS", methods)
    folder = tmp_path / "reds"
    shutil.copytree(shared / "data" / "base", folder)
    return folder


def test_our_methods_stand_beside_published_values_and_missing_rivals(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = data.parent / "out"
    reds.main(["--data", str(data), "--out", str(out)])

    rows = {line.split(" | ")[0]: line for line in (out / "table.md").read_text().splitlines()}
    assert rows["| TFP"].startswith("| TFP | 1 | 23.49 | 0.66")  # the README of the clip: 23.49
    assert rows["| TFP"].endswith("| 28.17 | 24.29 |")
    assert rows["| TFI, mean of 9"].startswith("| TFI, mean of 9 | 1 | 30.35 |")
    assert rows["| WGSE"] == "| WGSE | not measured |  |  |  | 39.04 |  |"
    assert "table.md" in capsys.readouterr().out


def test_measured_images_are_kept_and_others_are_not_averaged(data: Path) -> None:
    out = data.parent / "out"
    reds.main(["--data", str(data), "--out", str(out)])
    (file,) = out.glob("tfp-*.json")
    (name,) = json.loads(file.read_text())
    file.write_text(json.dumps({name: [20.0, 0.5, 1.0], "another clip": [0.0, 0.0, 0.0]}))

    reds.main(["--data", str(data), "--out", str(out)])

    assert "| TFP | 1 | 20.00 | 0.5000 | 1.00 |" in (out / "table.md").read_text()


def test_a_folder_without_test_clips_is_an_error(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(data / "test")
    with pytest.raises(SystemExit):
        reds.main(["--data", str(data)])
    assert "no clips in test/spike" in capsys.readouterr().err
