"""Tests of the callbacks and loggers of every run."""

import csv
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonargparse
import pytest
from lightning import LightningModule
from lightning.pytorch.loggers import Logger

from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.methods.classical import TFIModule
from spike_zoo.methods.ssdm import SSDMCascadeModule, TeacherOptions
from spike_zoo.methods.stir import STIRModule
from spike_zoo.testing import labelled_archive
from spike_zoo.training import defaults
from spike_zoo.training.csv_logger import AppendingCSVLogger
from spike_zoo.training.defaults import NoRandomWeights, configure_loggers, loggers_of, method_of
from spike_zoo.training.planning import Plan
from spike_zoo.training.result import RunResult
from spike_zoo.training.wandb_logger import SafeWandbLogger


def _logger(name: str = "WandbLogger", **arguments: object) -> Any:
    parsed: Any = jsonargparse.Namespace  # jsonargparse has no type hints
    path = f"lightning.pytorch.loggers.{name}"
    return parsed(class_path=path, init_args=parsed(**arguments))


def test_tensorboard_shows_the_values_and_images_of_a_run(
    clips_archive: Path, tmp_path: Path
) -> None:
    reader: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    call = ["test", "--config=classical/tfi9", "--trainer.enable_progress_bar=false"]
    call += [f"--data.archive={clips_archive}", f"--run_dir={tmp_path}"]
    assert main([*call, "--config=loggers/tensorboard"]) == 0
    events = reader.EventAccumulator(str(tmp_path / "test" / "tensorboard"))
    events.Reload()
    (scalar,) = events.Scalars("test/psnr")
    metrics = RunResult.read(tmp_path / "test").metrics
    assert scalar.value == pytest.approx(metrics["test/psnr"])
    assert events.Tags()["images"] == ["test/sample_0/test-0, plane 80"]
    names = {path.name for path in tmp_path.rglob("*")}
    assert not names & {"confusion.csv", "confusion.png", "tsne.png"}, "of classification"


def test_missing_tensorboard_is_reported_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defaults, "find_spec", lambda name: None)
    logger = _logger("TensorBoardLogger")
    with pytest.raises(UsageError, match=r"pip install 'spike-zoo\[tensorboard\]'"):
        configure_loggers(logger, tmp_path)


def test_another_folder_of_a_logger_is_replaced_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path.parent):  # the run's folder is in both
        configure_loggers(_logger(save_dir=str(folder)), tmp_path)
    assert not capsys.readouterr().out
    configure_loggers(_logger(save_dir="/logs"), tmp_path)
    assert f"writes into {tmp_path}" in (printed := capsys.readouterr().out)
    assert "save_dir /logs is not used" in printed


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
    assert method_of(TFIModule()) == "classical"
    home = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert method_of(importlib.import_module(home).Module()) == method


def test_only_modules_without_random_weights_are_evaluated() -> None:
    check: Any = NoRandomWeights().on_test_start
    with pytest.raises(ConfigError, match="random weights"):
        check(SimpleNamespace(ckpt_path=None), STIRModule(width=0.25))
    frozen = STIRModule(width=0.25).requires_grad_(requires_grad=False)
    plain: LightningModule = SSDMCascadeModule(TeacherOptions(use_bsn=False, upsampler="bilinear"))
    for module in (TFIModule(), frozen, plain):
        check(SimpleNamespace(ckpt_path=None), module)


@pytest.mark.slow
def test_recognition_writes_its_files_in_fit_test_and_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labelled_archive(tmp_path / "stripes.h5", 9)
    (tmp_path / "stripes.yaml").write_text(
        "model:\n  class_path: tests.helpers.modules.StripesModule\n"
        "  init_args: {classes: 2, label_names: [upright, flat]}\n"
        "data:\n  class_path: spike_zoo.data.ClassificationDataModule\n"
        "  init_args: {archive: stripes.h5, clip_length: 9, eval_batch_size: 1}\n"
        "trainer: {max_epochs: 60, accelerator: cpu, log_every_n_steps: 1}\n"
    )
    config = ["--config", "stripes.yaml", "--run_dir", "run"]
    config += ["--trainer.enable_progress_bar", "false"]
    assert main(["fit", *config]) == 0
    assert main(["test", *config, "--ckpt_path", "best"]) == 0
    assert main(["predict", *config, "--ckpt_path", "best"]) == 0
    fitted, tested = (RunResult.read(tmp_path / name) for name in ("run", "run/test"))
    assert fitted.metrics["test/accuracy"] == 1
    assert fitted.metrics["test/f1_1"] == tested.metrics["test/f1_1"] == 1
    assert (fitted.images, fitted.costs["forward"].size) == (2, None)
    for folder in (tmp_path / "run", tmp_path / "run" / "test"):
        assert (
            folder / "confusion.csv"
        ).read_text() == "truth,upright,flat\nupright,1,0\nflat,0,1\n"
        images = {path.name for path in (folder / "images").glob("*.png")}
        assert {"confusion.png", "test-0.png", "test-1.png"} <= images
        head, *rows = (folder / "per_image.csv").read_text().splitlines()
        assert head == "name,plane,rate_scale,accuracy,truth_probability"
        assert [row.split(",")[3] for row in rows] == ["1.0", "1.0"]
    table = (tmp_path / "run" / "predict" / "predictions.csv").read_text().splitlines()
    assert [row.split(",")[:4] for row in table[1:]] == [
        ["test-0", "4", "0", "upright"],
        ["test-1", "4", "1", "flat"],
    ]


def _log(folder: Path, step: int, **metrics: float) -> None:
    logger = AppendingCSVLogger(folder)
    logger.log_metrics(dict(metrics), step=step)
    logger.save()


def test_a_second_logger_appends_and_new_columns_keep_old_rows(tmp_path: Path) -> None:
    _log(tmp_path, 1, loss=0.5)
    _log(tmp_path, 2, loss=0.25)
    _log(tmp_path, 3, psnr=30.0)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["loss"], row["psnr"]) for row in rows] == [
        ("1", "0.5", ""),
        ("2", "0.25", ""),
        ("3", "", "30.0"),
    ]
