"""Reconstruction module: metrics, images and checks of the clip length."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from spike_zoo.errors import ConfigError
from spike_zoo.tasks import ReconstructionModule
from spike_zoo.tasks.batch import ReconstructionBatch
from spike_zoo.tasks.evaluation import MeasuredImage, Origin
from spike_zoo.testing import QUIET

LENGTH = 25


class Grey(ReconstructionModule):
    """Method that returns the same grey image for every clip."""

    clip_length = LENGTH

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        return torch.full((len(spikes), 1, *spikes.shape[2:]), 0.5)


def _batch() -> ReconstructionBatch:
    """Return two clips whose images are brighter than grey by 0.1 and 0.01."""
    spikes = torch.zeros(2, LENGTH, 12, 16)
    spikes[0, 2:9] = 1  # 7 of the 21 planes around the middle
    spikes[1, :2] = 1  # none of them
    spikes[1, -2:] = 1
    truth = torch.full((2, 1, 12, 16), 0.6)
    truth[1] = 0.51
    scale, plane = torch.tensor([0.5, 0.25]), torch.tensor([40, 12])
    batch = {"spikes": spikes, "image": truth, "rate_scale": scale, "plane": plane}
    return cast("ReconstructionBatch", {**batch, "name": ["street", "alley"]})


@pytest.fixture
def module() -> Grey:
    module = Grey(lpips="off")
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]  # outside a trainer
    module.setup("test")
    return module


def test_a_batch_of_other_data_must_have_all_entries(module: Grey) -> None:
    batch = cast("ReconstructionBatch", {"spikes": torch.zeros(1, LENGTH, 4, 4)})
    with pytest.raises(ConfigError, match=r"have no image, name, plane, rate_scale; .*Batch"):
        module.test_step(batch, 0)


def test_every_clip_is_measured_and_shown(module: Grey) -> None:
    evaluation = module.test_step(_batch(), 3)
    assert evaluation.values["psnr"].tolist() == pytest.approx([20.0, 40.0], abs=1e-3)
    origins = [Origin("street", 40), Origin("alley", 12)]
    assert module.origins(_batch()) == origins
    assert evaluation.measured == [
        MeasuredImage(origins[0], 40, 0.5),
        MeasuredImage(origins[1], 12, 0.25),
    ]
    expected = [[7 / 21 / 0.5, 0.5, 0.6], [0.0, 0.5, 0.51]]
    for sample, origin, values in zip(evaluation.samples, origins, expected, strict=True):
        assert sample.caption == f"{origin.name}, plane {origin.plane}"
        assert sample.stem == f"{origin.name}-plane{origin.plane}"
        assert list(sample.images) == ["playback, 21 planes", "reconstruction", "ground truth"]
        shades = [image.unique().item() for image in sample.images.values()]
        assert shades == pytest.approx(values)


def test_clips_of_another_length_are_rejected_with_the_required_length(module: Grey) -> None:
    batch = _batch()
    batch["spikes"] = batch["spikes"][:, 1:]
    with pytest.raises(ConfigError, match=r"clips have 24 planes, Grey takes 25; set it to 25$"):
        module.predict_step(batch, 0)
    data: Any = SimpleNamespace()
    module.check_data(data, "fit")  # data without a length are checked batch by batch
    data.clip_length = LENGTH
    module.check_data(data, "fit")
    data.clip_length = LENGTH + 2
    with pytest.raises(ConfigError, match=r"^data\.init_args\.clip_length: the clips have 27"):
        module.check_data(data, "fit")


def logged_metrics(names: list[list[str]], verb: str = "test") -> dict[str, float]:
    """Return the logged metrics of batches of the two clips with given names."""
    batches = [{**_batch(), "name": pair} for pair in names]
    trainer = Trainer(logger=False, **QUIET)
    loader: DataLoader[Any] = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]  # a list
    getattr(trainer, verb)(Grey(lpips="off"), loader, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize(("verb", "split"), [("validate", "val"), ("test", "test")])
def test_recordings_of_each_speed_have_separate_means(verb: str, split: str) -> None:
    plain = logged_metrics([["street", "alley"], ["street", "alley"]], verb)
    by_speed = logged_metrics([["street-fast-1", "alley-slow"], ["breakfast", "alley_fast"]], verb)
    assert {name: by_speed[name] for name in plain} == plain
    assert set(plain) == {f"{split}/psnr", f"{split}/ssim"}
    assert set(by_speed) - set(plain) == {
        f"{split}/{metric}_{speed}" for metric in ("psnr", "ssim") for speed in ("slow", "fast")
    }
    assert by_speed[f"{split}/psnr_fast"] == pytest.approx((20.0 + 40.0) / 2, abs=1e-3)
    assert by_speed[f"{split}/psnr_slow"] == pytest.approx(40.0, abs=1e-3)


def test_the_error_of_held_out_spikes_estimates_the_squared_error_without_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    size, scale = (1, 1, 400, 400), 0.5
    truth = 0.2 + 0.6 * torch.rand(size, generator=generator)
    image, reference = (truth + 0.05 * torch.randn(size, generator=generator) for _ in range(2))
    image += 0.03
    spikes = torch.rand((5, *size), generator=generator) < scale * truth
    rates = spikes.float().mean(dim=0)
    rates[..., ::2, :] = torch.nan  # not hidden

    class Fixed(Grey):
        def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
            return image

    clip = torch.zeros(1, LENGTH, 400, 400)
    batch: dict[str, Any] = {"spikes": clip, "hidden_spikes": clip, "image": reference}
    batch |= {"hidden_rates": rates, "rate_scale": torch.tensor([scale])}
    batch |= {"plane": torch.tensor([40]), "name": ["a"]}
    module = Fixed(lpips="off")
    module.setup("validate")
    evaluation = module.evaluate(cast(ReconstructionBatch, batch), "val", 0)
    expected = (image - truth).square().mean() - (reference - truth).square().mean()
    assert evaluation.values["heldout_mse"].item() == pytest.approx(expected.item(), abs=2e-4)
    assert expected.item() == pytest.approx(0.0009, abs=1e-4)
