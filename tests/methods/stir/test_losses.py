"""Tests of the terms of STIR's loss against their definitions."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints import backbones
from spike_zoo.errors import WeightsError
from spike_zoo.methods.stir import STIRLossOptions
from spike_zoo.methods.stir.decoder import Level
from spike_zoo.methods.stir.losses import PerceptualLoss, STIRLoss
from spike_zoo.methods.stir.network import STIRPyramid


def pyramid_of(images: list[Tensor], height: int, width: int) -> STIRPyramid:
    levels = {number: Level(image, image) for number, image in enumerate(images, start=1)}
    return STIRPyramid(images[0][..., :height, :width], levels, {})


def constant_pyramid(values: list[float], size: int = 32) -> STIRPyramid:
    images = [
        torch.full((2, 1, size >> i, size >> i), value, requires_grad=True)
        for i, value in enumerate(values)
    ]
    return pyramid_of(images, size, size)


def test_terms_are_weighted_means_of_absolute_differences() -> None:
    target = torch.full((2, 1, 32, 32), 0.5)
    terms = STIRLoss(STIRLossOptions(2.0, 3.0))(constant_pyramid([0.4, 0.3, 0.1, 0.9, 0.5]), target)
    assert terms["reconstruction"].item() == pytest.approx(0.1)
    multi_scale = (0.5 * 0.2 + 0.25 * 0.4 + 0.25 * 0.4 + 0.25 * 0.0) / 4
    assert terms["multi_scale"].item() == pytest.approx(multi_scale)
    assert terms["total"].item() == pytest.approx(2.0 * 0.1 + 3.0 * multi_scale)


def test_multi_scale_term_of_three_levels_is_divided_by_two() -> None:
    terms = STIRLoss()(constant_pyramid([0.5, 0.3, 0.1]), torch.full((2, 1, 32, 32), 0.5))
    assert terms["multi_scale"].item() == pytest.approx((0.5 * 0.2 + 0.25 * 0.4) / 2)


def test_padding_does_not_contribute_to_the_reconstruction_term() -> None:
    image = torch.full((1, 1, 32, 32), 9.0)
    image[..., 3:-3, 3:-3] = 0.25  # a 26 x 26 input is in the middle
    terms = STIRLoss(STIRLossOptions(multi_scale=0.0))(
        pyramid_of([image], 26, 26), torch.full((1, 1, 26, 26), 0.5)
    )
    assert terms["total"].item() == pytest.approx(0.25)


@pytest.mark.parametrize("clamp", [True, False])
def test_a_pixel_out_of_range_gets_a_gradient_only_without_the_clamp(clamp: bool) -> None:
    pyramid = constant_pyramid([-0.2, 1.2, 0.5])
    STIRLoss(STIRLossOptions(clamp=clamp))(pyramid, torch.full((2, 1, 32, 32), 0.5))[
        "total"
    ].backward()
    for number in (1, 2):
        gradient = pyramid.levels[number].image.grad
        assert gradient is not None
        assert bool(gradient.any()) is not clamp


def test_a_weight_of_zero_drops_its_term() -> None:
    pyramid, target = constant_pyramid([0.4, 0.3, 0.1]), torch.full((2, 1, 32, 32), 0.5)
    images_alone = STIRLoss(STIRLossOptions(multi_scale=0.0))(pyramid, target)
    assert set(images_alone) == {"reconstruction", "total"}
    coarse_alone = STIRLoss(STIRLossOptions(reconstruction=0.0))(pyramid, target)
    assert set(coarse_alone) == {"multi_scale", "total"}


@pytest.mark.parametrize("weights", [(-1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (float("nan"), 1.0, 0.0)])
def test_invalid_loss_weights_are_rejected(weights: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="loss weights"):
        STIRLossOptions(*weights)


def test_perceptual_term_uses_shifted_normalised_grey_images() -> None:
    image, target = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    std = torch.tensor([0.229, 0.224, 0.225])
    loss = PerceptualLoss(nn.Identity())(image, target)
    # With features that are the pixels, only the shift's factor 1/2 and the scale remain.
    expected = ((image - target) / 2).square().mean() * (1 / std.square()).mean()
    torch.testing.assert_close(loss, expected)


def test_perceptual_features_are_frozen_and_not_saved() -> None:
    features = nn.Conv2d(3, 4, 3)
    loss = STIRLoss(STIRLossOptions(perceptual=0.2), features)
    image = torch.rand(1, 1, 32, 32, requires_grad=True)
    coarser = [F.avg_pool2d(image, 2), F.avg_pool2d(image, 4)]
    loss(pyramid_of([image, *coarser], 32, 32), torch.rand(1, 1, 32, 32))["perceptual"].backward()
    assert image.grad is not None
    assert image.grad.any()
    assert features.weight.grad is None
    assert loss.state_dict() == {}


def test_weights_of_another_network_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"other\.pth"):
        backbones.vgg19_features(path)


def test_perceptual_features_end_at_relu5_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):  # shapes and layers only: the weights are half a gigabyte
        weights = torchvision.models.vgg19(weights=None).state_dict()
        monkeypatch.setattr(backbones, "load_backbone", lambda *_: weights)
        features = backbones.vgg19_features()
        assert features(torch.empty(1, 3, 64, 32)).shape == (1, 512, 4, 2)
    kinds = [type(layer).__name__ for layer in features.children()]
    blocks = "".join(kinds).replace("Conv2dReLU", "c").split("MaxPool2d")
    assert [len(block) for block in blocks] == [2, 2, 4, 4, 1]
    assert set("".join(blocks)) == {"c"}
