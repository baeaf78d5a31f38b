"""``make reproduce``: comparison of the records of shipped weights with new runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import reproduced
from spike_zoo.records.result import RunResult
from spike_zoo.records.stored import read_records
from tests.conftest import ROOT

pytestmark = pytest.mark.repo

RECIPES = [
    yaml.safe_load(path.read_text())
    for path in sorted((ROOT / "experiments").glob("*/recipes.yaml"))
]
COMMITTED = ROOT / "experiments/stir/weights/result.json"


def test_every_weight_that_ships_has_a_recipe_and_a_record() -> None:
    shipped = {path.stem for path in (ROOT / "spike_zoo/weights").glob("*.safetensors")}
    for part in ("recipes", "records"):
        named = {name: path for recipes in RECIPES for name, path in recipes[part].items()}
        assert named.keys() == shipped
        assert all((ROOT / path).is_file() for path in named.values())
    for recipes in RECIPES:
        for path in recipes["records"].values():
            record = RunResult.read(ROOT / path)
            assert reproduced.compared(record, record)[1]


def _changed(folder: Path, **changes: Any) -> Path:
    content = json.loads(COMMITTED.read_text())
    content["metrics"] |= changes.pop("metrics", {})
    path = folder / "result.json"
    path.write_text(json.dumps(content | changes))
    return path


@pytest.mark.parametrize(
    ("psnr", "code", "said"), [(35.25, 0, ""), (35.05, 1, "NOT "), (35.35, 1, "NOT ")]
)
def test_a_run_is_held_against_the_committed_record(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    psnr: float,
    code: int,
    said: str,
) -> None:
    changes = {"test/psnr": psnr, "test/psnr_stir": 35.194, "val/psnr": 0.0}
    again = _changed(tmp_path, metrics=changes, data_sha256="0" * 64)
    monkeypatch.setattr("sys.argv", ["reproduced", str(COMMITTED), str(again)])
    assert reproduced.main() == code
    shown = capsys.readouterr().out
    assert f"\n{said}reproduced: the goal is 0.1 dB" in shown
    assert "35.194" in shown
    assert f"{psnr:.3f}" in shown
    assert "not the same: data" in shown
    assert "configuration" not in shown


def test_what_is_further_off_and_another_setting_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = json.loads(COMMITTED.read_text())
    again["config"]["trainer"]["precision"] = "32-true"
    changes = {"metrics": {"test/psnr_stir": 36.0}, "config": again["config"], "config_hash": "0"}
    path = _changed(tmp_path, **changes)
    monkeypatch.setattr("sys.argv", ["reproduced", str(COMMITTED), str(path)])
    assert reproduced.main() == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "not the same: trainer.precision: '32-true', was 'bf16-mixed'" in shown
    assert "NOT reproduced: the goal is 0.1 dB" in shown
    assert shown.endswith("further off: test/psnr_stir")


def test_accuracies_are_compared_where_there_are_no_pictures() -> None:
    stored = read_records(ROOT / "experiments/sci/results/cpu/records.jsonl")
    record = stored["recognition-0"].result
    kind, rows = reproduced.compared(record, record)
    assert kind == "accuracy"
    assert rows["test/accuracy"] == (record.metrics["test/accuracy"],) * 2
    assert all(name.startswith("test/") for name in rows)


def test_records_without_a_common_psnr_are_refused(tmp_path: Path) -> None:
    committed = RunResult.read(COMMITTED)
    other = RunResult.read(ROOT / "experiments/sci/weights/joint_result.json")
    with pytest.raises(ValueError, match="no PSNR and no accuracy in common"):
        reproduced.compared(committed, other)


def test_a_record_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reproduced", "nowhere.json", str(COMMITTED)])
    with pytest.raises(SystemExit) as caught:
        reproduced.main()
    assert caught.value.code == 2
    assert "error: nowhere.json: there is no such result" in capsys.readouterr().err
