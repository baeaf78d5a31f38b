"""Tests of the Lightning modules of the classical methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning import Trainer

from spike_zoo.checkpoints.loading import load
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.methods.classical import AlignedTFIModule, TFIModule, TFPModule, TFSTPModule
from spike_zoo.testing import QUIET, ReconstructionTester, tiny_archive

if TYPE_CHECKING:
    from pathlib import Path

    from spike_zoo.methods.classical.module import ClassicalModule
    from spike_zoo.tasks import ReconstructionModule


class TestTFIModule(ReconstructionTester):
    def make_module(self) -> ReconstructionModule:
        return TFIModule(average=5, clip_length=31)


@pytest.mark.parametrize(
    "module",
    [
        TFPModule(9, clip_length=31, lpips="off"),
        TFIModule(9, clip_length=31, lpips="off"),
        TFSTPModule(clip_length=31, lpips="off"),
    ],
)
def test_testing_and_predicting_need_no_training(
    tmp_path: Path, module: ReconstructionModule
) -> None:
    archive = tiny_archive(tmp_path / "tiny.h5", planes=31)
    data = ReconstructionDataModule(str(archive), clip_length=31)
    trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
    (metrics,) = trainer.test(module, data, verbose=False)
    assert metrics["test/psnr"] > 15
    (image,) = trainer.predict(module, data) or []
    assert torch.as_tensor(image).shape == (1, 1, 40, 48)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TFPModule, "tfp"),
        (TFIModule, "tfi"),
        (TFSTPModule, "tfstp"),
        (AlignedTFIModule, "tfi-aligned"),
    ],
)
def test_a_row_of_a_table_has_the_options_of_reconstruct_by_default(
    kind: type[ClassicalModule], name: str
) -> None:
    of_command: Any = load(name)
    method = kind().method
    assert isinstance(method, type(of_command))
    assert method.hparams == of_command.hparams
