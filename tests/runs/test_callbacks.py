"""What watches a run: random weights are not measured, whichever verb asks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning import LightningModule

from spike_zoo.cli.main import main
from spike_zoo.methods.classical import TFIModule
from spike_zoo.methods.ssdm import SSDMCascadeModule
from spike_zoo.methods.stir import STIRModule
from spike_zoo.runs.callbacks import NoRandomWeights, watching
from spike_zoo.tracking import PredictionFiles
from tests.conftest import ROOT


def _small() -> STIRModule:
    return STIRModule(width=0.25, motion_fields=1)


@pytest.fixture
def archive(clips_archive: Path) -> list[str]:
    return ["--data.init_args.archive", str(clips_archive)]


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_random_weights_are_not_measured(
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


def test_what_learns_nothing_or_brings_its_weights_is_measured() -> None:
    look: Any = NoRandomWeights().on_test_start
    frozen = _small().requires_grad_(requires_grad=False)
    plain: LightningModule = SSDMCascadeModule(use_bsn=False, upsampler="bilinear")
    for module in (TFIModule(), frozen, plain):
        look(SimpleNamespace(ckpt_path=None), module)


def test_predicting_writes_pictures_where_it_is_told(tmp_path: Path) -> None:
    _, pictures = watching("predict", tmp_path)
    assert isinstance(pictures, PredictionFiles)
    assert pictures.folder == tmp_path
