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
from spike_zoo.methods.classical import TFIModule
from spike_zoo.methods.stir import STIRModule
from spike_zoo.training import default_loggers
from spike_zoo.training.default_loggers import configure_loggers, loggers_of, method_of
from spike_zoo.training.planning import Plan
from spike_zoo.training.result import RunResult
from spike_zoo.training.wandb_logger import SafeWandbLogger
from tests.conftest import ROOT

LIGHTNING_LOGGER = "lightning.pytorch.loggers.WandbLogger"
TEST = ["test", "--config", "configs/classical/tfi9.yaml", "--trainer.enable_progress_bar", "false"]
TENSORBOARD = ["--config", "configs/loggers/tensorboard.yaml"]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def _logger(**arguments: object) -> Any:
    parsed: Any = jsonargparse.Namespace  # jsonargparse has no type hints
    return parsed(class_path=LIGHTNING_LOGGER, init_args=parsed(**arguments))


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
    (scalar,) = events.Scalars("test/psnr")
    assert scalar.value == pytest.approx(result.metrics["test/psnr"])
    assert events.Tags()["images"] == ["test/sample_0/test-0, plane 80"]


def test_missing_tensorboard_is_reported_on_one_line_with_the_extra(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = importlib.util.find_spec
    missing = {"tensorboard", "tensorboardX"}
    monkeypatch.setattr(
        default_loggers, "find_spec", lambda name: None if name in missing else original(name)
    )
    assert main([*TEST, *TENSORBOARD, *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "pip install 'spike-zoo[tensorboard]'" in lines[0]


def test_the_wandb_logger_of_lightning_is_replaced_by_the_safe_one(tmp_path: Path) -> None:
    logger = _logger(project="mine", offline=True, prefix="", save_dir=".")
    configure_loggers(logger, tmp_path)
    assert logger.class_path == "spike_zoo.training.wandb_logger.SafeWandbLogger"
    expected = {"project": "mine", "offline": True, "save_dir": str(tmp_path)}
    assert vars(logger.init_args) == expected
    logger = _logger(checkpoint_name="x")
    with pytest.raises(UsageError, match=r"checkpoint_name: .* has no such argument"):
        configure_loggers(logger, tmp_path)


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
        assert all(isinstance(item, Logger) for item in built)
        init_arguments = logger._wandb_init  # arguments of wandb.init
        assert (init_arguments["name"], init_arguments["group"]) == (run_dir.name, "one_field")
        assert init_arguments["job_type"] == "fit"
        expected = ["mine", "classical", "smoke"] + ["sweep"] * is_swept
        assert init_arguments["tags"] == expected


def test_a_method_of_this_package_is_named_after_its_folder() -> None:
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
def test_a_method_of_another_package_is_named_after_its_folder_or_file(
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
