"""The study of training without ground truth."""

import json
from pathlib import Path

import pytest

from experiments import without_truth


@pytest.mark.slow
def test_the_command_writes_a_record_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("--trainer.max_epochs", "1", "--data.init_args.samples_per_epoch", "8")
    trained = {name: (*options, *short) for name, options in without_truth.TRAINED.items()}
    monkeypatch.setattr(without_truth, "SPLITS", {"train": 1, "val": 2, "test": 1})
    monkeypatch.setattr(without_truth, "SIDE", 64)
    monkeypatch.setattr(without_truth, "TRAINED", trained)
    options = ["--conditions", "lowlight-0.3", "--out", str(tmp_path / "out.json")]
    without_truth.main([*options, "--methods", "plain", "tfi-aligned"])
    without_truth.main(options)
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["method"] for row in rows] == ["plain", "tfi-aligned", "adapted", "truth"]
    assert all(row["psnr"]["all"] > 20 for row in rows)
    records = [line for line in capsys.readouterr().out.splitlines() if '"condition"' in line]
    assert len(records) == 4
