"""Evaluation of shipped weights by a trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import spike_zoo
from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError
from spike_zoo.tasks import LoadedReconstruction
from spike_zoo.testing import CheckpointTester, tiny_archive
from spike_zoo.training.result import RunResult


class TestLoadedReconstruction(CheckpointTester):
    def make_module(self) -> LoadedReconstruction:
        return LoadedReconstruction("plain", lpips="off")


def test_predictions_equal_the_loaded_method() -> None:
    method, module = spike_zoo.load("plain"), LoadedReconstruction("plain", lpips="off").eval()
    batch = TestLoadedReconstruction().make_batch()
    images = module.predict_step(batch, 0)
    assert torch.equal(images, method(batch["spikes"], batch["rate_scale"]))


def test_weights_of_another_task_are_rejected() -> None:
    with pytest.raises(ConfigError, match=r"sci-mnist: .* does not reconstruct clips"):
        LoadedReconstruction("sci-mnist")


def test_the_test_command_runs_shipped_weights_without_a_checkpoint(tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "a.h5")
    arguments = ["--model", "spike_zoo.tasks.LoadedReconstruction", "--model.weights", "plain"]
    data = ["--data", "spike_zoo.data.ReconstructionDataModule", "--data.archive", str(archive)]
    run = ["--data.clip_length", "81", "--run_dir", str(tmp_path / "run")]
    assert main(["test", *arguments, *data, *run]) == 0
    result = RunResult.read(tmp_path / "run" / "test")
    assert result.metrics["test/psnr"] > 25
