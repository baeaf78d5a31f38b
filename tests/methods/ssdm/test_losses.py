"""What the stages are held to, beyond the figures of the reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from spike_zoo.checkpoints.backbones import FOLDER_VARIABLE
from spike_zoo.errors import MissingFileError, WeightsError
from spike_zoo.methods.ssdm import DistillationLoss, LPIPSDistance


def absolute(one: Tensor, two: Tensor) -> Tensor:
    return (one - two).abs().mean(dim=(1, 2, 3))


def test_terms_are_means_over_times_and_their_weighted_sum() -> None:
    blur = torch.full((1, 3, 4, 4), 0.5)
    labels = torch.zeros(2, 1, 3, 4, 4)
    predictions = torch.stack([torch.full((1, 3, 4, 4), value) for value in (0.2, 0.4)])
    terms = DistillationLoss(absolute, teacher=2.0, reblur=10.0)(blur, labels, predictions)
    assert terms["teacher"].item() == pytest.approx(0.3)
    assert terms["reblur"].item() == pytest.approx((0.3 - 0.5) ** 2)
    assert terms["total"].item() == pytest.approx(2 * 0.3 + 10 * 0.04)


def test_a_weight_of_zero_drops_its_term() -> None:
    blur, sequence = torch.rand(1, 3, 4, 4), torch.rand(2, 1, 3, 4, 4)
    assert list(DistillationLoss(None, teacher=0.0)(blur, sequence, sequence)) == [
        "reblur",
        "total",
    ]
    terms = DistillationLoss(absolute, reblur=0.0)(blur, sequence, sequence)
    assert list(terms) == ["teacher", "total"]


def test_a_pixel_outside_the_range_gets_no_gradient() -> None:
    predictions = torch.tensor([-0.5, 0.5, 1.5]).view(1, 1, 3, 1, 1).requires_grad_()
    blur = torch.full((1, 3, 1, 1), 0.25)
    DistillationLoss(None, teacher=0.0)(blur, predictions, predictions)["total"].backward()
    assert predictions.grad is not None
    assert (predictions.grad.flatten() != 0).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("teacher", "reblur", "message"),
    [(0.0, 0.0, "nor all 0"), (-1.0, 1.0, "negative"), (1.0, 1.0, "needs a distance")],
)
def test_losses_of_nothing_are_refused(teacher: float, reblur: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistillationLoss(None, teacher, reblur)


def test_equal_images_have_no_perceptual_distance(vgg_path: Path) -> None:
    images = torch.rand(2, 3, 32, 32)
    assert LPIPSDistance(vgg_path)(images, images).tolist() == [0.0, 0.0]


def test_a_pixel_without_features_has_a_gradient_that_is_a_number(vgg_path: Path) -> None:
    distance = LPIPSDistance(vgg_path)
    for parameter in distance._network.net.parameters():
        parameter.data.clamp_(max=0.0)  # nothing is ever active
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    apart = distance(torch.rand(1, 3, 32, 32), image)
    assert apart.item() == 0.0, "something is active: the test looks at nothing"
    apart.sum().backward()
    assert image.grad is not None
    assert not image.grad.any()  # a number, and the right one


def test_the_range_the_network_was_made_for_is_an_option(vgg_path: Path) -> None:
    one, two = torch.rand(2, 1, 3, 32, 32)
    moved = LPIPSDistance(vgg_path)(2 * one - 1, 2 * two - 1)
    torch.testing.assert_close(LPIPSDistance(vgg_path, as_published=False)(one, two), moved)


def test_a_missing_backbone_is_refused_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingFileError, match=r"vgg16-397923af\.pth.*SPIKE_ZOO_BACKBONES"):
        LPIPSDistance()


def test_another_backbone_is_refused_by_its_first_difference(
    vgg_path: Path, tmp_path: Path
) -> None:
    state = torch.load(vgg_path, weights_only=True)
    state["features.16.weight"] = state.pop("features.17.weight")
    torch.save(state, tmp_path / "vgg19.pth")
    with pytest.raises(WeightsError, match=r"vgg16: 1 missing, first features\.17\.weight"):
        LPIPSDistance(tmp_path / "vgg19.pth")
