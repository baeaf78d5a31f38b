"""Training stops at the first value that is not finite, and keeps the last good checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import spike_zoo
from spike_zoo.checkpoints.weight_files import first_invalid
from spike_zoo.cli.main import main
from tests.conftest import ROOT
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.modules import DoubledModule

FIT = [
    *("fit", "--config", "configs/stir_demo.yaml", "--config", "configs/profiles/smoke.yaml"),
    *("--data.init_args.clip_length", "9", "--data.init_args.crop", "16"),
    *("--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "3"),
]
Fit = Callable[..., int]


class DivergingModule(DoubledModule):
    """Get a loss, a gradient or a weight of NaN or infinity at one update.

    Args:
        at: The update, counted from 0.
        what: Which value is not finite.
    """

    def __init__(
        self, at: int = 3, what: str = "loss", learning_rate: float = 1e-2, lpips: str = "off"
    ) -> None:
        super().__init__(learning_rate, lpips)
        self.save_hyperparameters()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        is_due = self.global_step == self.hparams["at"]
        if is_due and self.hparams["what"] == "loss":
            self.log("train/bad_term", loss.detach() * torch.nan)
            return loss * torch.nan
        if is_due and self.hparams["what"] == "gradient":
            weight = next(self.parameters())
            weight.register_hook(lambda gradient: gradient + torch.inf)
        return loss

    def on_train_batch_end(self, *arguments: Any) -> None:
        if self.hparams["what"] == "weight" and self.global_step == self.hparams["at"] + 1:
            with torch.no_grad():
                next(self.parameters()).fill_(torch.inf)


@pytest.fixture
def fit(clips_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    monkeypatch.chdir(ROOT)

    def run(*options: str) -> int:
        model = ["--model", "tests.training.test_divergence.DivergingModule"]
        data = ["--data.init_args.archive", str(clips_archive), "--run_dir", str(tmp_path / "run")]
        return main([*FIT, *model, *data, *options])

    return run


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    return line


def test_a_loss_of_nan_names_step_term_and_recordings(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit() == 1
    line = _error(capsys)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert "training diverged at step 3: the loss is nan." in line
    assert "not finite: train/bad_term." in line
    assert "Recordings of the batch: train-" in line
    assert f"The last good checkpoint is {last}." in line
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint["global_step"] == 2, "the end of the first epoch"
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint["state_dict"].values())


def test_a_gradient_that_is_not_finite_names_its_parameter(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--model.what", "gradient", "--model.at", "0") == 1
    line = _error(capsys)
    assert "step 0: the gradient of network.0.first.layer.weight is not finite." in line
    assert "No checkpoint was saved yet." in line
    assert not (tmp_path / "run" / "checkpoints").exists()


class NormalisedModule(DoubledModule):
    """Get a batch of infinity at the first update, which enters the statistics of a batch norm."""

    def __init__(self, learning_rate: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.norm = torch.nn.BatchNorm2d(9)
        self.register_buffer("mask", torch.full((1,), -torch.inf))  # is valid

    def forward(self, spikes: torch.Tensor, rate_scale: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(self.norm(spikes), rate_scale)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        spikes = batch["spikes"] * (torch.inf if self.global_step == 0 and not batch_idx else 1)
        return (self(spikes) - batch["image"]).square().mean()


@pytest.mark.filterwarnings("ignore:step 0")
@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_skipped_update_restores_the_buffers(fit: Fit, tmp_path: Path, accumulated: int) -> None:
    model = "tests.training.test_divergence.NormalisedModule"
    count = f"--trainer.accumulate_grad_batches={accumulated}"
    assert fit("--model", model, *SKIP, count, "--trainer.max_epochs=1") == 0
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    state = torch.load(last, weights_only=True)["state_dict"]
    assert torch.isfinite(state["norm.running_var"]).all()
    assert int(state["norm.num_batches_tracked"]) == 2 - accumulated
    spike_zoo.load(last, trust=True)
    state["norm.running_var"][0] = torch.inf
    module = NormalisedModule()
    module.load_state_dict(state)
    assert first_invalid(module) == "norm.running_var"


SKIP = ("--trainer.callbacks+", "spike_zoo.training.SkipDivergedUpdates")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:step [45]")
@pytest.mark.parametrize(("what", "skipped"), [("loss", 1), ("gradient", 3)])
def test_updates_that_are_not_finite_can_be_skipped(
    fit: Fit, tmp_path: Path, what: str, skipped: int
) -> None:
    with pytest.warns(UserWarning, match="step 3: the gradients are not finite; this update is"):
        assert fit("--model.what", what, *SKIP) == 0
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 6
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint["state_dict"].values())
    assert checkpoint["callbacks"]["SkipDivergedUpdates"] == {"skipped": skipped}


def test_a_run_stops_when_the_limit_of_skipped_updates_is_reached(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--model.what", "gradient", *SKIP, "--trainer.callbacks.limit", "0") == 1
    assert "training diverged at step 3: the gradient of" in _error(capsys)


@pytest.mark.parametrize("validates", [True, False])
def test_weights_that_are_not_finite_never_replace_a_checkpoint(
    fit: Fit, tmp_path: Path, validates: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [] if validates else ["--trainer.limit_val_batches", "0"]
    assert fit("--model.what", "weight", *options) == 1
    line = _error(capsys)
    assert "step 4: the weights network.0.first.layer.weight are not finite" in line
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        state = torch.load(file, weights_only=True)["state_dict"]
        assert all(torch.isfinite(tensor).all() for tensor in state.values()), file


def test_weights_that_are_not_finite_are_not_evaluated(
    clips_archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    path = write_checkpoint(tmp_path / "nan.ckpt")
    content = torch.load(path, weights_only=True)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name][:] = torch.nan
    torch.save(content, path)
    call = ["test", "--config", "configs/stir.yaml", "--config", "configs/profiles/smoke.yaml"]
    call += ["--data.init_args.archive", str(clips_archive), "--run_dir", str(tmp_path / "run")]
    assert main([*call, "--ckpt_path", str(path)]) == 1
    assert f"nan.ckpt: the weights {name} are not finite" in _error(capsys)


class CollapsedModule(DoubledModule):
    """Reconstruct the same grey for all images."""

    def forward(self, spikes: torch.Tensor, rate_scale: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(spikes, rate_scale).mul(0).add(0.5)


def test_constant_images_are_reported(fit: Fit) -> None:
    model = "tests.training.test_divergence.CollapsedModule"
    with pytest.warns(UserWarning, match="all 1 images are constant: the network has collapsed"):
        assert fit("--model", model, "--model.learning_rate", "0.01") == 0
