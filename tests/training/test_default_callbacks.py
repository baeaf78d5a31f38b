"""Tests of the callbacks of a run: random weights are rejected by every verb."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning import LightningModule

from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError
from spike_zoo.methods.classical import TFIModule
from spike_zoo.methods.ssdm import SSDMCascadeModule, TeacherOptions
from spike_zoo.methods.stir import STIRModule
from spike_zoo.testing import labelled_archive
from spike_zoo.training.default_callbacks import NoRandomWeights
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT


def _small_module() -> STIRModule:
    return STIRModule(width=0.25)


@pytest.fixture
def archive(clips_archive: Path) -> list[str]:
    return ["--data.init_args.archive", str(clips_archive)]


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_random_weights_are_not_evaluated(
    archive: list[str],
    tmp_path: Path,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    call = [verb, "--config", "configs/stir.yaml", "--config", "configs/profiles/smoke.yaml"]
    call += [*archive, "--model.width", "0.25", "--trainer.enable_progress_bar", "false"]
    assert main([*call, "--run_dir", str(tmp_path / "run")]) == 2
    assert "STIRModule has random weights: name a checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_only_modules_without_random_weights_are_evaluated() -> None:
    check: Any = NoRandomWeights().on_test_start
    with pytest.raises(ConfigError, match="random weights"):
        check(SimpleNamespace(ckpt_path=None), _small_module())
    frozen = _small_module().requires_grad_(requires_grad=False)
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
        pictures = {path.name for path in (folder / "images").glob("*.png")}
        assert {"confusion.png", "test-0.png", "test-1.png"} <= pictures
        head, *rows = (folder / "per_image.csv").read_text().splitlines()
        assert head == "name,plane,rate_scale,accuracy,truth_probability"
        assert [row.split(",")[3] for row in rows] == ["1.0", "1.0"]
    table = (tmp_path / "run" / "predict" / "predictions.csv").read_text().splitlines()
    assert [row.split(",")[:4] for row in table[1:]] == [
        ["test-0", "4", "0", "upright"],
        ["test-1", "4", "1", "flat"],
    ]


def test_other_tasks_write_no_files_of_recognition(
    archive: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    call = ["test", "--config", "configs/classical/tfi9.yaml", *archive]
    call += ["--trainer.enable_progress_bar", "false", "--run_dir", str(tmp_path / "run")]
    assert main(call) == 0
    names = {path.name for path in (tmp_path / "run").rglob("*")}
    assert "test-0.png" in names
    assert not names & {"confusion.csv", "confusion.png", "tsne.png"}
