"""Tests of STIRModule: the shared tests of learned methods, and specific tests."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.methods.stir import STIR, STIRLossOptions, STIRModule, STIROptions
from spike_zoo.nn.schedules import ScheduleKind
from spike_zoo.testing import QUIET, MethodTester, ReconstructionTester, pattern_take, training_loss

SMALL: dict[str, Any] = {
    "pyramid_levels": 3, "network": STIROptions(flow_fields=2), "width": 0.34
}  # fmt: skip


def small_module(**arguments: object) -> STIRModule:
    return STIRModule(**{**SMALL, **arguments})


class TestSTIRModule(ReconstructionTester, MethodTester):
    height = 32
    width = 32
    overfit_steps = 90

    def make_module(self) -> STIRModule:
        return small_module()

    def test_spikes_are_divided_by_the_rate_scale_in_training_and_evaluation(self) -> None:
        module, batch = self.make_module(), self.make_batch()
        inputs: list[Tensor] = []
        module.network.embedding.register_forward_pre_hook(lambda _, x: inputs.append(x[0]))
        batch["rate_scale"] = torch.tensor([0.6, 0.25])
        module.network(batch["spikes"] / batch["rate_scale"].view(2, 1, 1, 1))
        training_loss(module, batch)
        module.eval()(batch["spikes"], batch["rate_scale"])
        for actual in inputs[1:]:
            torch.testing.assert_close(actual, inputs[0])
        assert sorted(set(inputs[0].flatten().tolist())) == pytest.approx([0.0, 1 / 0.6, 4.0])


def test_published_weights_get_unscaled_spikes(
    official_weights: dict[str, Tensor], official_network: STIR
) -> None:
    module = STIRModule.from_official(official_weights)
    recording = pattern_take(0, planes=61, height=32, width=40).recording
    recording.rate_scale = None
    spikes = torch.from_numpy(recording[0:61]).float()[None]
    with torch.no_grad():
        published = official_network(spikes)
    for rate_scale in (0.2, 0.6, None):  # without a rate scale, there is no warning
        image = module.reconstruct(recording, [30], rate_scale=rate_scale)
        torch.testing.assert_close(image, published, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"learning_rate": 0.0},
        {"schedule": "quadratic"},
        {"warmup": 1.0},
        {"loss": {"reconstruction": 0.0, "multi_scale": 0.0}},
        {"width": 0.0},
    ],
)
def test_arguments_outside_their_range_are_rejected(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments)).split("_")[0]):
        small_module(**arguments)


def test_perceptual_loss_without_its_backbone_raises_before_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPIKE_ZOO_BACKBONES", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    module = small_module(loss=STIRLossOptions(perceptual=0.2))  # reconstructing needs no backbone
    with pytest.raises(MissingFileError, match="vgg19-dcbb9e9d"):
        module.setup("fit")


def learning_rates(schedule: ScheduleKind, warmup: float, **trainer: int) -> list[float]:
    module = small_module(schedule=schedule, warmup=warmup, learning_rate=1.0)
    rates: list[float] = []

    def step(*_: object) -> None:
        rates.append(module.trainer.optimizers[0].param_groups[0]["lr"])

    module.training_step = step  # type: ignore[assignment]  # no network: only the rates matter
    data = DataLoader(TensorDataset(torch.zeros(20, 1)))
    trainer |= {"logger": False, "enable_checkpointing": False}
    Trainer(**QUIET, **trainer).fit(module, data)  # type: ignore[arg-type]  # max_epochs, max_steps
    return rates


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")  # it computes no loss
def test_learning_rate_changes_every_step_over_the_length_of_the_run() -> None:
    rates = learning_rates("milestones", warmup=0.0, max_epochs=2)
    assert rates == pytest.approx([1.0] * 10 + [0.7] * 10 + [0.49] * 10 + [0.343] * 10)
    rates = learning_rates("cosine", warmup=0.2, max_steps=10, max_epochs=-1)
    assert rates[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert rates[6] == pytest.approx(0.5)  # halfway between the warm-up's end and the end


def test_a_schedule_over_an_endless_run_is_rejected() -> None:
    with pytest.raises(ConfigError, match="max_epochs"):
        learning_rates("cosine", warmup=0.0, max_epochs=-1)


def test_motion_returns_the_flow_of_the_finest_level() -> None:
    module = STIRModule(3, 0.34, lpips="off").eval()
    recording = pattern_take(0, planes=81, height=22, width=36).recording
    flow = module.motion(recording, [40, 50], rate_scale=0.5)
    assert flow.shape == (2, 2, 2, 22, 36)
    spikes = recording.to_tensor(10, 71)[None] / 0.5
    with torch.inference_mode():
        levels = module.network.pyramid(spikes).levels
    upflow = levels[1].upflow
    assert upflow is not None
    cropped = upflow[0, :, 1:-1, :]  # 22 rows are padded to 24
    torch.testing.assert_close(flow[0].flatten(0, 1), cropped)
    assert not module.estimates_flow, "fields of a network without a loss on motion are no flow"
    still = STIRModule(3, 0.34, STIROptions(interaction="synthesis_only"), lpips="off")
    with pytest.raises(ValueError, match="synthesis_only"):
        still.motion(recording, [40])
