"""Tests of the flow loss, its schedule, oracle flow and rejected options of STIR."""

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback

from spike_zoo.archive import SpikeArchive
from spike_zoo.cli.main import main
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.methods.stir import AlignedSTIRModule, FlowOptions, STIRModule, STIROptions
from spike_zoo.methods.stir.aligned import field_loss, oracle_flow_pyramid
from spike_zoo.methods.stir.decoder import Level
from spike_zoo.methods.stir.network import STIRPyramid
from spike_zoo.nn.flow import FLOW_WEIGHTS
from spike_zoo.tasks.evaluation import Evaluation
from spike_zoo.testing import QUIET

SMALL: dict[str, Any] = {
    "pyramid_levels": 3, "network": STIROptions(flow_fields=2), "width": 0.34, "lpips": "off"
}  # fmt: skip


def module_with(interaction: Any = "both", **options: Any) -> AlignedSTIRModule:
    """Return a small network whose features are aligned by its own or by the oracle flow."""
    network = STIROptions(flow_fields=2, interaction=interaction)
    flow = FlowOptions(**{"align_input": False, **options})
    return AlignedSTIRModule(flow, **{**SMALL, "network": network})


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an archive with optical flow to 20 planes before and after every image."""
    path = str(tmp_path_factory.mktemp("moving") / "moving.h5")
    size = ["--height", "32", "--width", "40", "--planes", "81", "--margin", "30"]
    counts = ["--train", "1", "--val", "1", "--test", "3", "--jobs", "1"]
    assert main(["simulate", *counts, *size, "--flow_offset", "20", "--out", path]) == 0
    return path


def datamodule(archive: str, **options: Any) -> ReconstructionDataModule:
    """Return clips of the archive with optical flow."""
    return ReconstructionDataModule(archive, flow_offset=20, batch_size=1, **options)


def trainer(**options: Any) -> lightning.Trainer:
    """Return a trainer that writes no files."""
    options |= {"logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    return lightning.Trainer(**QUIET, **options)


def pyramid_of(flow: torch.Tensor, levels: int) -> STIRPyramid:
    """Return the output of a network with a constant flow, given in pixels of level 1."""
    decoded = {}
    for number in range(1, levels + 1):
        side = 16 // 2 ** (number - 1)
        here = flow.view(1, 4, 1, 1).expand(1, 4, side, side) / 2 ** (number - 1)
        refined, upsampled = (None, here) if number == 1 else (here, here + 100)
        image = torch.zeros(1, 1, side, side)
        decoded[number] = Level(image, image, flow=refined, upflow=upsampled)
    return STIRPyramid(image, decoded, {})


def test_flow_loss_is_the_error_at_every_level_in_pixels_of_that_level() -> None:
    truth = torch.zeros(1, 2, 2, 16, 16)
    truth[:, 0, 0], truth[:, 1, 1] = 3.0, -8.0  # right to the first block, up to the last block
    exact = torch.tensor([3.0, 0.0, 0.0, -8.0])
    assert field_loss(pyramid_of(exact, 3), truth) < 1e-2
    wrong = exact + torch.tensor([4.0, 0.0, 0.0, 0.0])  # 4 pixels in one of two directions
    expected = sum(FLOW_WEIGHTS[n] * 4 / n / 2 for n in (1, 2, 4))
    assert field_loss(pyramid_of(wrong, 3), truth) == pytest.approx(expected, rel=1e-2)


def test_fields_are_cropped_to_the_image_and_listed_separately() -> None:
    flow = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 16, 16)
    image = flow[:, :1, 2:-2, 1:-1]
    finest = Level(flow[:, :1], flow, upflow=flow, extra_flow=torch.cat([flow + 10, flow + 20], 1))
    main_field, second, third = STIRPyramid(image, {1: finest}, {}).fields()
    assert main_field.shape == (1, 2, 2, 12, 14)
    assert main_field[0, :, :, 0, 0].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert (second - main_field == 10).all()
    assert (third - main_field == 20).all()
    still = Level(flow[:, :1], flow)
    assert STIRPyramid(image, {1: still}, {}).fields() == []


def test_the_datamodule_returns_flow_of_each_image_cropped_with_the_clip(archive: str) -> None:
    data = datamodule(archive, crop=16, augment=False)
    data.setup("fit")
    samples = data.train_dataloader().dataset
    sample: Any = samples[0]
    with SpikeArchive(archive) as stored:
        name = stored.names("train")[0]
        plane = int(stored.image_index(name)[0])
        assert stored.around_index(name)[0].tolist() == [plane - 20, plane + 20]
        np.testing.assert_array_equal(sample["flow"], stored.motion(name, around=True)[0])
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch["flow"].shape == (1, 2, 2, 16, 16)
    assert batch["flow"].dtype == torch.float32


def test_flow_errors_are_logged_by_field_and_speed_and_true_flow_is_shown(archive: str) -> None:
    module, data = STIRModule(**SMALL), datamodule(archive)
    evaluations: list[Evaluation] = []
    recorder = LambdaCallback(on_test_batch_end=lambda *arguments: evaluations.append(arguments[2]))
    metrics = trainer(callbacks=[recorder]).test(module, data, verbose=False)[0]
    assert metrics["test/epe_still_fast"] > metrics["test/epe_still_slow"] > 0
    for name in ("test/epe", "test/epe_field_2", "test/epe_fast"):
        assert metrics[name] > 0
    ratio = metrics["test/epe"] / metrics["test/epe_still"]
    assert metrics["test/epe_ratio"] == pytest.approx(ratio, rel=1e-5)
    assert len(evaluations) == 9
    images = evaluations[0].samples[0].images
    assert list(images)[1] == "true flow"
    assert images["true flow"].shape == (3, 32, 40)


def test_training_lowers_the_flow_loss_and_fading_reduces_its_weight(archive: str) -> None:
    torch.manual_seed(0)
    flow = FlowOptions(align_input=False, weight=1.0, schedule="fading")
    module = AlignedSTIRModule(flow, **SMALL, learning_rate=2e-3)
    assert module.estimates_flow
    data = datamodule(archive, crop=None, augment=False)
    history: list[tuple[float, float]] = []
    terms_of = module.terms

    def recording_terms(batch: Any) -> dict[str, torch.Tensor]:
        terms = terms_of(batch)
        history.append((1.0 - module.progress, float(terms["flow"].detach())))
        return terms

    module.terms = recording_terms  # type: ignore[method-assign]
    trainer(max_epochs=12, limit_val_batches=0).fit(module, data)
    weights, losses = zip(*history, strict=True)
    assert weights[0] == 1.0
    assert weights[len(weights) // 2] == pytest.approx(0.5, abs=0.05)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1.0}, r"flow\.weight must be 0 or more"),
        ({"schedule": "rising"}, r"flow\.schedule must be one of constant, fading"),
        ({"weight": 1.0, "interaction": "synthesis_only"}, r"flow\.weight: .* predicts no flow"),
        ({"oracle": True, "interaction": "synthesis_only"}, r"flow\.oracle: .* predicts no flow"),
        ({"weight": 1.0, "oracle": True}, r"flow\.weight: not with oracle"),
    ],
)
def test_incompatible_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module_with(**options)


def test_data_without_flow_are_rejected_by_the_loss_and_by_the_datamodule(
    archive: str, tmp_path: Path
) -> None:
    module = module_with(weight=1.0)
    with pytest.raises(ConfigError, match="ReconstructionDataModule with flow_offset: 20"):
        trainer(max_epochs=1).fit(module, ReconstructionDataModule(archive, crop=None))
    with pytest.raises(ConfigError, match="no flow to the planes 10 before and after"):
        ReconstructionDataModule(archive, flow_offset=10, crop=None).setup("fit")


def test_known_flows_are_the_true_flow_at_every_level_in_pixels_of_that_level() -> None:
    truth = torch.zeros(1, 2, 2, 12, 16)  # padded to 16 rows, two more at either end
    truth[:, 0, 0], truth[:, 1, 1] = 4.0, -8.0
    truth[..., :8] = torch.nan
    flows = oracle_flow_pyramid(truth, 4)
    assert sorted(flows) == [1, 2, 3]
    for level, flow in flows.items():
        side = 16 // 2 ** (level - 1)
        assert flow.shape == (1, 4, side, side)
        scale = 2 ** (level - 1)
        middle = flow[0, :, side // 2, -1].tolist()
        assert middle == [4.0 / scale, 0.0, 0.0, -8.0 / scale]
        assert (flow[..., : side // 2] == 0).all(), "unknown flow is 0"


def test_with_oracle_flow_the_network_aligns_by_it_in_tests_and_needs_it(archive: str) -> None:
    module = module_with(oracle=True).eval()
    data = datamodule(archive)
    data.setup("test")
    batch: Any = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    images, (field, _) = module.predict_with_flow(batch, 0)
    known = torch.isfinite(batch["flow"])
    assert torch.equal(field[known], batch["flow"][known])
    still: Any = {**batch, "flow": torch.zeros_like(batch["flow"])}
    assert not torch.equal(module.predict_step(still, 0), images), "the flow changes the image"
    assert torch.equal(module.predict_step(batch, 0), images)
    metrics = trainer(limit_test_batches=1).test(module, data, verbose=False)[0]
    assert metrics["test/epe"] == 0
    with pytest.raises(UsageError, match=r"flow\.oracle: this method needs the ground-truth flow"):
        module(batch["spikes"], batch["rate_scale"])
    still_data = ReconstructionDataModule(archive, batch_size=1, crop=16)
    with pytest.raises(ConfigError, match=r"flow\.oracle: the data have no ground-truth flow"):
        trainer(fast_dev_run=True).fit(module.train(), still_data)


def test_with_start_from_doubled_the_coarsest_flow_is_passed_to_the_finest_level() -> None:
    module = module_with(start_from_doubled=True).eval()
    with torch.no_grad():
        heads: Any = {name: decoder.head for name, decoder in module.network.decoders.items()}
        for level in ("3", "2"):  # only the coarsest level predicts flow
            heads[level].weight[:4], heads[level].bias[:4] = 0.0, 0.0
        heads["3"].bias[:4] = torch.tensor([0.5, -0.25, -0.5, 0.25])
    pyramid = module.network.pyramid(torch.zeros(1, 61, 32, 32))
    main_field = pyramid.fields()[0][0, :, :, 8:-8, 8:-8]  # borders fade
    torch.testing.assert_close(main_field[0, 0], torch.full((16, 16), 2.0))
    torch.testing.assert_close(main_field[1, 1], torch.full((16, 16), 1.0))
