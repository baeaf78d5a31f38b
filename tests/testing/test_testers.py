"""The base classes of tests detect faulty methods."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from spike_zoo.methods.ssdm import BlurryInputModule, SSDMStudentModule, TeacherOptions
from spike_zoo.tasks import ReconstructionModule
from spike_zoo.tasks.batch import LabelledBatch, ReconstructionBatch
from spike_zoo.testing import ClassificationTester, DeblurTester, MethodTester
from tests.helpers.modules import StripesModule


class _ZeroInitialised(ReconstructionModule):
    """A method whose last layer is initialised with zeros."""

    clip_length = 9

    def __init__(self, has_idle: bool = False, lpips: str = "off") -> None:
        super().__init__(lpips=lpips)
        self.save_hyperparameters()
        self.first, self.last = nn.Conv2d(9, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        self.idle = nn.Linear(2, 2) if has_idle else nn.Identity()

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        return (spikes.mean(1, keepdim=True) + self.last(self.first(spikes))).clamp(0, 1)

    def training_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        return (self(batch["spikes"], batch["rate_scale"]) - batch["image"]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


class _RandomPredictions(_ZeroInitialised):
    """A method with random predictions."""

    def predict_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        return super().predict_step(batch, batch_idx) + torch.rand(())


def _tester(module: ReconstructionModule) -> MethodTester:
    tester = MethodTester()
    tester.make_module = lambda: module  # type: ignore[method-assign]  # one module for each check
    return tester


class TestZeroInitialised(MethodTester):
    overfit_psnr = 12.0
    overfit_steps = 150

    def make_module(self) -> _ZeroInitialised:
        return _ZeroInitialised()


class TestBlurryInput(DeblurTester):
    def make_module(self) -> BlurryInputModule:
        return BlurryInputModule(lpips="off")


class TestStudent(DeblurTester, MethodTester):
    height = 16
    width = 16

    def make_module(self) -> SSDMStudentModule:
        return SSDMStudentModule(
            teacher=TeacherOptions(use_bsn=False, upsampler="bilinear"), lpips="off"
        )


class TestStripes(MethodTester):
    overfit_steps = 300

    def make_module(self) -> StripesModule:
        return StripesModule()


def test_a_parameter_without_a_gradient_is_found() -> None:
    with pytest.raises(AssertionError, match=r"idle\.weight"):
        _tester(_ZeroInitialised(has_idle=True)).test_sends_a_gradient_to_every_parameter()


def test_a_loss_that_falls_while_the_classes_stay_wrong_is_found() -> None:
    class Opposite(StripesModule):
        """A method that is trained on the opposite of two classes."""

        def predict_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
            return super().predict_step(batch, batch_idx).flip(1)

    tester = MethodTester()
    tester.overfit_steps = 200
    tester.make_module = Opposite  # type: ignore[method-assign]  # one module for each check
    with pytest.raises(AssertionError, match=r"of classes \[0, 1\] are classified as \[1, 0\]"):
        tester.test_overfits_one_batch()


def test_a_method_with_random_predictions_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        _tester(_RandomPredictions()).test_loads_from_its_checkpoint_alone(tmp_path)


class TestThreeClasses(ClassificationTester):
    def make_module(self) -> StripesModule:
        return StripesModule(classes=3, label_names=("upright", "slanted", "flat"))


class _DoubledProbabilities(StripesModule):
    """A method that returns doubled probabilities."""

    def predict_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        return 2 * super().predict_step(batch, batch_idx)


class _BatchDependent(StripesModule):
    """A method whose prediction of a clip depends on the other clips of the batch."""

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        logits = super().forward(spikes, rate_scale)
        return logits - logits.mean(dim=0)


def _classification(kind: type[StripesModule]) -> ClassificationTester:
    tester = ClassificationTester()
    tester.make_module = kind  # type: ignore[method-assign]  # one module for each check
    return tester


def test_invalid_probabilities_are_found() -> None:
    with pytest.raises(AssertionError):
        _classification(_DoubledProbabilities).test_takes_any_height_and_width()


def test_a_method_that_compares_the_clips_of_a_batch_is_found() -> None:
    with pytest.raises(AssertionError):
        _classification(_BatchDependent).test_samples_of_a_batch_do_not_know_each_other()
    with pytest.raises(AssertionError):
        _classification(_BatchDependent).test_classifies_a_recording()
