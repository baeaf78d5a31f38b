"""Tests of loggers from configurations: TensorBoard, and both classes of W&B loggers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
from lightning.pytorch.loggers import Logger

from spike_zoo.cli.main import main
from spike_zoo.errors import UsageError
from spike_zoo.loggers.wandb import SafeWandbLogger
from spike_zoo.methods.classical import TFIModule
from spike_zoo.methods.stir import STIRModule
from spike_zoo.records.result import RunResult
from spike_zoo.runs import loggers
from spike_zoo.runs.loggers import loggers_of, method_of, place_loggers
from spike_zoo.runs.planning import Plan
from tests.conftest import ROOT

LIGHTNINGS = "lightning.pytorch.loggers.WandbLogger"
TEST = ["test", "--config", "configs/classical/tfi9.yaml", "--trainer.enable_progress_bar", "false"]
TENSORBOARD = ["--config", "configs/loggers/tensorboard.yaml"]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def _logger(**arguments: object) -> Any:
    parsed: Any = jsonargparse.Namespace  # without hints
    return parsed(class_path=LIGHTNINGS, init_args=parsed(**arguments))


@pytest.fixture
def arguments(clips_archive: Path, tmp_path: Path) -> list[str]:
    return ["--data.init_args.archive", str(clips_archive), "--run_dir", str(tmp_path / "run")]


def test_tensorboard_shows_the_values_and_pictures_of_a_run(
    arguments: list[str], tmp_path: Path
) -> None:
    reader: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert main([*TEST, *TENSORBOARD, *arguments]) == 0
    events = reader.EventAccumulator(str(tmp_path / "run" / "test" / "tensorboard"))
    events.Reload()
    result = RunResult.read(tmp_path / "run" / "test")
    (shown,) = events.Scalars("test/psnr")
    assert shown.value == pytest.approx(result.metrics["test/psnr"])
    assert events.Tags()["images"] == ["test/sample_0/test-0, plane 80"]


def test_tensorboard_that_is_not_installed_is_one_line_naming_the_extra(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    hidden = {"tensorboard", "tensorboardX"}
    monkeypatch.setattr(loggers, "find_spec", lambda name: None if name in hidden else real(name))
    assert main([*TEST, *TENSORBOARD, *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "pip install 'spike-zoo[tensorboard]'" in lines[0]


def test_lightnings_own_logger_becomes_the_safe_one_with_its_arguments(tmp_path: Path) -> None:
    given = _logger(project="mine", offline=True, prefix="", save_dir=".")
    place_loggers(given, tmp_path)
    assert given.class_path == "spike_zoo.loggers.wandb.SafeWandbLogger"
    kept = {"project": "mine", "offline": True, "save_dir": str(tmp_path)}
    assert vars(given.init_args) == kept
    given = _logger(checkpoint_name="x")
    with pytest.raises(UsageError, match=r"checkpoint_name: .* has no such argument"):
        place_loggers(given, tmp_path)


@pytest.mark.parametrize(("variable", "is_swept"), [("WANDB_SWEEP_ID", True), ("OTHER", False)])
def test_seeds_of_a_variant_share_a_group_and_sweeps_are_tagged(
    variable: str, is_swept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "s1")
    for seed in (0, 1):
        plan = Plan("fit", [], {}, "0" * 16, "one_field", "smoke", seed)
        logger = SafeWandbLogger(tags=["mine"])
        run_dir = tmp_path / f"one_field-{seed}"
        built = loggers_of([logger], plan, run_dir, TFIModule())
        assert isinstance(built, list)
        assert all(isinstance(one, Logger) for one in built)
        described = logger._wandb_init  # what W&B will be told
        assert (described["name"], described["group"]) == (run_dir.name, "one_field")
        assert described["job_type"] == "fit"
        expected = ["mine", "classical", "smoke"] + ["sweep"] * is_swept
        assert described["tags"] == expected


def test_a_method_of_this_package_is_called_after_its_folder() -> None:
    assert method_of(STIRModule(width=0.25, lpips="off")) == "stir"
    assert method_of(TFIModule()) == "classical"


@pytest.mark.parametrize(
    ("file", "method"),
    [
        ("my_method.py", "my_method"),
        ("pkg/__init__.py", "pkg"),
        ("pkg/module.py", "pkg"),
        ("pkg/methods/mine/module.py", "mine"),
        ("pkg/methods/mine/training/module.py", "mine"),
        ("pkg/methods/mine/__init__.py", "mine"),
        ("pkg/methods/mine.py", "mine"),
    ],
)
def test_a_method_of_others_is_called_after_its_folder_or_file(
    file: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(
        "from lightning import LightningModule\n\nclass Module(LightningModule):\n    pass\n"
    )
    home = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert method_of(importlib.import_module(home).Module()) == method
