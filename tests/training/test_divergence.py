"""Training stops at the first value that is not finite, and keeps the last good checkpoint."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer

import spike_zoo
from spike_zoo.checkpoints.weight_files import first_invalid
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import DivergenceError, WeightsError
from spike_zoo.tasks.evaluation import CaptionedImages, Evaluation, Origin
from spike_zoo.testing import QUIET
from spike_zoo.training import SkipDivergedUpdates
from spike_zoo.training.checkpoints import AtomicCheckpointIO, checkpoints_of
from spike_zoo.training.defaults import NoRandomWeights
from spike_zoo.training.divergence import StopAtDivergence, WarnOfConstantImages
from tests.helpers.modules import DoubledModule

Fit = Callable[..., Trainer]


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
def fit(clips_archive: Path, tmp_path: Path) -> Fit:
    """Return a function that trains a module for three epochs of two updates, as the command."""

    def run(module: LightningModule, *callbacks: Any, **options: Any) -> Trainer:
        data = ReconstructionDataModule(
            str(clips_archive), 9, batch_size=2, crop=16, samples_per_epoch=4
        )
        quiet = {"logger": False, "max_epochs": 3, "num_sanity_val_steps": 0, **options}
        monitored = module if quiet.get("limit_val_batches") != 0 else None
        saving = checkpoints_of(tmp_path, monitored, is_resumed=False)
        guards = [StopAtDivergence(tmp_path / "checkpoints" / "last.ckpt"), *saving]
        settings: Any = {**QUIET, **quiet, "enable_checkpointing": True}
        trainer = Trainer(
            **settings, callbacks=[*callbacks, *guards], plugins=[AtomicCheckpointIO()]
        )
        trainer.fit(module, data)
        return trainer

    return run


def _last(tmp_path: Path) -> dict[str, Any]:
    """Return the last checkpoint after a check that its weights are finite."""
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(torch.isfinite(tensor).all() for tensor in content["state_dict"].values())
    return dict(content)


def test_a_loss_of_nan_names_step_term_and_recordings(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError) as error:
        fit(DivergingModule())
    line = str(error.value)
    assert "training diverged at step 3: the loss is nan." in line
    assert "not finite: train/bad_term." in line
    assert "Recordings of the batch: train-" in line
    assert f"The last good checkpoint is {tmp_path / 'checkpoints' / 'last.ckpt'}." in line
    assert _last(tmp_path)["global_step"] == 2, "the end of the first epoch"


def test_a_gradient_that_is_not_finite_names_its_parameter(fit: Fit, tmp_path: Path) -> None:
    message = r"step 0: the gradient of network\.0\.first\.layer\.weight is not finite\..* No check"
    with pytest.raises(DivergenceError, match=message):
        fit(DivergingModule(at=0, what="gradient"))
    assert not (tmp_path / "checkpoints").exists()


class NormalisedModule(DoubledModule):
    """Get a batch of infinity at the first update, which enters the statistics of a batch norm."""

    def __init__(self, learning_rate: float = 1e-2, lpips: str = "off") -> None:
        super().__init__(learning_rate, lpips)
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
    fit(
        NormalisedModule(), SkipDivergedUpdates(), accumulate_grad_batches=accumulated, max_epochs=1
    )
    last = tmp_path / "checkpoints" / "last.ckpt"
    state = torch.load(last, weights_only=True)["state_dict"]
    assert torch.isfinite(state["norm.running_var"]).all()
    assert int(state["norm.num_batches_tracked"]) == 2 - accumulated
    spike_zoo.load(last, trust=True)
    state["norm.running_var"][0] = torch.inf
    module = NormalisedModule()
    module.load_state_dict(state)
    assert first_invalid(module) == "norm.running_var"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:step [45]")
@pytest.mark.parametrize(("what", "skipped"), [("loss", 1), ("gradient", 3)])
def test_updates_that_are_not_finite_can_be_skipped(
    fit: Fit, tmp_path: Path, what: str, skipped: int
) -> None:
    with pytest.warns(UserWarning, match="step 3: the gradients are not finite; this update is"):
        fit(DivergingModule(what=what), SkipDivergedUpdates())
    content = _last(tmp_path)
    assert content["global_step"] == 6
    assert content["callbacks"]["SkipDivergedUpdates"] == {"skipped": skipped}


def test_a_run_stops_when_the_limit_of_skipped_updates_is_reached(fit: Fit) -> None:
    with pytest.raises(DivergenceError, match="diverged at step 3: the gradient of"):
        fit(DivergingModule(what="gradient"), SkipDivergedUpdates(0))
    with pytest.raises(ValueError, match="limit must be at least 0"):
        SkipDivergedUpdates(-1)


@pytest.mark.parametrize("validates", [True, False])
def test_weights_that_are_not_finite_never_replace_a_checkpoint(
    fit: Fit, tmp_path: Path, validates: bool
) -> None:
    message = r"step 4: the weights network\.0\.first\.layer\.weight are not finite"
    with pytest.raises(DivergenceError, match=message):
        fit(DivergingModule(what="weight"), limit_val_batches=1.0 if validates else 0)
    assert _last(tmp_path)["global_step"] == 2


def test_weights_that_are_not_finite_are_not_evaluated() -> None:
    check: Any = NoRandomWeights().on_predict_start
    module = DoubledModule()
    check(SimpleNamespace(ckpt_path="nan.ckpt"), module)
    torch.nn.init.constant_(next(module.parameters()), torch.nan)
    with pytest.raises(WeightsError, match=r"nan\.ckpt: the weights network.* are not finite"):
        check(SimpleNamespace(ckpt_path="nan.ckpt"), module)


def test_constant_images_are_reported() -> None:
    callback: Any = WarnOfConstantImages()
    for is_constant in (False, True):
        image = torch.full((1, 8, 8), 0.5) if is_constant else torch.rand(1, 8, 8)
        sample = CaptionedImages(Origin("a", 0), {"reconstruction": image}, "a-0")
        callback.on_validation_batch_end(None, None, Evaluation([sample]), None, 0)
        if not is_constant:
            callback.on_validation_end(None, None)
    with pytest.warns(UserWarning, match="all 1 images are constant: the network has collapsed"):
        callback.on_validation_end(None, None)
