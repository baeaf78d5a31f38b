"""``make reproduce``: comparison of the records of shipped weights with new runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import reproduced
from spike_zoo.training.result import RunResult
from spike_zoo.training.stored import read_records
from tests.conftest import ROOT

pytestmark = pytest.mark.repo

RECIPES = [
    yaml.safe_load(path.read_text())
    for path in sorted((ROOT / "experiments").glob("*/recipes.yaml"))
]
COMMITTED = ROOT / "experiments/stir/weights/result.json"


def test_all_shipped_weights_have_a_recipe_and_a_record() -> None:
    shipped = {path.stem for path in (ROOT / "spike_zoo/weights").glob("*.safetensors")}
    for part in ("recipes", "records"):
        paths = {name: path for recipes in RECIPES for name, path in recipes.get(part, {}).items()}
        assert paths.keys() == shipped
        archives = {archive for recipes in RECIPES for archive in recipes.get("archives", {})}
        for path in paths.values():
            if not (ROOT / path).is_file():  # a module with its arguments
                module, *arguments = path.split()
                assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
                assert archives.issuperset(word for word in arguments if word.endswith(".h5"))
    for recipes in RECIPES:
        for path in recipes.get("records", {}).values():
            record = RunResult.read(ROOT / path)
            assert reproduced.compared(record, record)[1]


def _write_changed_record(folder: Path, **changes: Any) -> Path:
    content = json.loads(COMMITTED.read_text())
    content["metrics"] |= changes.pop("metrics", {})
    path = folder / "result.json"
    path.write_text(json.dumps(content | changes))
    return path


@pytest.mark.parametrize(
    ("psnr", "code", "prefix"), [(35.25, 0, ""), (35.05, 1, "NOT "), (35.35, 1, "NOT ")]
)
def test_a_run_is_compared_with_the_committed_record(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    psnr: float,
    code: int,
    prefix: str,
) -> None:
    changes = {"test/psnr": psnr, "test/psnr_stir": 35.194, "val/psnr": 0.0}
    new_record = _write_changed_record(tmp_path, metrics=changes, data_sha256="0" * 64)
    monkeypatch.setattr("sys.argv", ["reproduced", str(COMMITTED), str(new_record)])
    assert reproduced.main() == code
    output = capsys.readouterr().out
    assert f"\n{prefix}reproduced: the goal is 0.1 dB" in output
    assert "35.194" in output
    assert f"{psnr:.3f}" in output
    assert "not the same: data" in output
    assert "configuration" not in output


def test_metrics_with_larger_deviations_and_other_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(COMMITTED.read_text())
    record["config"]["trainer"]["precision"] = "32-true"
    changes = {"metrics": {"test/psnr_stir": 36.0}, "config": record["config"], "config_hash": "0"}
    path = _write_changed_record(tmp_path, **changes)
    monkeypatch.setattr("sys.argv", ["reproduced", str(COMMITTED), str(path)])
    assert reproduced.main() == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "not the same: trainer.precision: '32-true', was 'bf16-mixed'" in output
    assert "NOT reproduced: the goal is 0.1 dB" in output
    assert output.endswith("further off: test/psnr_stir")


def test_accuracies_are_compared_for_runs_without_images() -> None:
    stored = read_records(ROOT / "experiments/sci/results/cpu/records.jsonl")
    record = stored["recognition-0-95d7b4e3"].result
    kind, rows = reproduced.compared(record, record)
    assert kind == "accuracy"
    assert rows["test/accuracy"] == (record.metrics["test/accuracy"],) * 2
    assert all(name.startswith("test/") for name in rows)


def test_records_without_a_common_metric_are_rejected(tmp_path: Path) -> None:
    committed = RunResult.read(COMMITTED)
    other = RunResult.read(ROOT / "experiments/sci/weights/joint_result.json")
    with pytest.raises(ValueError, match="no PSNR and no accuracy in common"):
        reproduced.compared(committed, other)


def test_a_missing_record_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reproduced", "nowhere.json", str(COMMITTED)])
    with pytest.raises(SystemExit) as caught:
        reproduced.main()
    assert caught.value.code == 2
    assert "error: nowhere.json: there is no such result" in capsys.readouterr().err
