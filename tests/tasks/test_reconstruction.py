"""Reconstruction module: metrics, pictures and checks of the clip length."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from spike_zoo.errors import ConfigError
from spike_zoo.tasks import MeasuredImage, Origin, ReconstructionModule
from spike_zoo.testing import QUIET

if TYPE_CHECKING:
    from spike_zoo.tasks.batch import ReconstructionBatch

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


def test_every_clip_has_metrics_under_its_name(module: Grey) -> None:
    evaluation = module.test_step(_batch(), 3)
    assert evaluation.values["psnr"].tolist() == pytest.approx([20.0, 40.0], abs=1e-3)
    assert evaluation.measured == [
        MeasuredImage(Origin("street", 40), 40, 0.5),
        MeasuredImage(Origin("alley", 12), 12, 0.25),
    ]


def test_a_clip_is_shown_as_playback_reconstruction_and_truth(module: Grey) -> None:
    street, alley = module.test_step(_batch(), 3).samples
    assert (street.caption, alley.caption) == ("street, plane 40", "alley, plane 12")
    assert (street.stem, alley.stem) == ("street-plane40", "alley-plane12")
    assert list(street.pictures) == ["playback, 21 planes", "reconstruction", "ground truth"]
    values = [
        [picture.unique().item() for picture in sample.pictures.values()]
        for sample in (street, alley)
    ]
    assert values[0] == pytest.approx([7 / 21 / 0.5, 0.5, 0.6])
    assert values[1] == pytest.approx([0.0, 0.5, 0.51])


def test_predictions_are_images_of_the_clips_in_their_order(module: Grey) -> None:
    assert module.predict_step(_batch(), 0).shape == (2, 1, 12, 16)
    assert module.origins(_batch()) == [Origin("street", 40), Origin("alley", 12)]


def test_clips_of_another_length_are_rejected_with_the_required_length(module: Grey) -> None:
    batch = _batch()
    batch["spikes"] = batch["spikes"][:, 1:]
    with pytest.raises(ConfigError, match=r"clips have 24 planes, Grey takes 25; set it to 25$"):
        module.predict_step(batch, 0)


def test_the_clip_length_of_the_data_is_checked_if_stated(module: Grey) -> None:
    data: Any = SimpleNamespace()
    module.check_data(data, "fit")  # these are checked batch by batch
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


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_recordings_of_each_speed_have_separate_means(verb: str) -> None:
    split = verb[:3] if verb == "validate" else verb
    plain = logged_metrics([["street", "alley"], ["street", "alley"]], verb)
    by_speed = logged_metrics([["street-fast-1", "alley-slow"], ["breakfast", "alley_fast"]], verb)
    assert {name: by_speed[name] for name in plain} == plain
    assert set(plain) == {f"{split}/psnr", f"{split}/ssim"}
    assert set(by_speed) - set(plain) == {
        f"{split}/{metric}_{speed}" for metric in ("psnr", "ssim") for speed in ("slow", "fast")
    }
    assert by_speed[f"{split}/psnr_fast"] == pytest.approx((20.0 + 40.0) / 2, abs=1e-3)
    assert by_speed[f"{split}/psnr_slow"] == pytest.approx(40.0, abs=1e-3)
