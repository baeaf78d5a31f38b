"""Distances to the teacher's images, by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from spike_zoo.checkpoints.backbones import FOLDER_VARIABLE
from spike_zoo.errors import MissingFileError
from spike_zoo.methods.ssdm.distances import (
    NAMED,
    default_reblur,
    dissimilarity,
    make_distance,
    multiscale,
)
from spike_zoo.metrics import ssim


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    one, two = torch.rand(2, 3, 3, 32, 36, generator=generator)
    return one, two


@pytest.mark.parametrize("name", [*NAMED, "charbonnier+gradient"])
def test_a_distance_is_0_for_equal_images_positive_for_others_and_knows_no_batch(name: str) -> None:
    distance, (one, two) = make_distance(name), pair()
    torch.testing.assert_close(distance(one, one), torch.zeros(3), rtol=0.0, atol=1e-6)
    assert (distance(one, two) > 0.05).all()
    torch.testing.assert_close(distance(one, two)[1:2], distance(one[1:2], two[1:2]))


@pytest.mark.parametrize("name", NAMED)
def test_a_gradient_flows_to_the_predictions_and_is_a_number_everywhere(name: str) -> None:
    one, two = pair()
    one.requires_grad_()
    two[0] = one[0].detach()  # where a root or a quotient of zeros would have none
    two.requires_grad_()
    make_distance(name)(one.detach(), two).sum().backward()
    assert two.grad is not None
    assert two.grad.isfinite().all()
    assert two.grad[1:].any()


def test_a_constant_difference_is_known_in_closed_form() -> None:
    labels, predictions = torch.full((1, 3, 16, 16), 0.3), torch.full((1, 3, 16, 16), 0.7)
    for name, wanted in (("charbonnier", 0.4), ("multiscale", 0.4), ("gradient", 0.0)):
        assert make_distance(name)(labels, predictions).item() == pytest.approx(wanted, abs=1e-3)


def test_noise_of_the_teacher_counts_less_at_coarser_scales() -> None:
    flat, noise = torch.full((1, 1, 64, 64), 0.5), 0.1 * torch.randn(1, 1, 64, 64)
    assert multiscale(flat + noise, flat) < 0.7 * make_distance("charbonnier")(flat + noise, flat)


def test_dissimilarity_is_one_less_the_metric_but_for_its_border() -> None:
    one, two = torch.rand(2, 1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    two = 0.7 * one + 0.3 * two
    torch.testing.assert_close(dissimilarity(one, two), 1 - ssim(one, two), rtol=0.0, atol=5e-3)


def test_sums_add_up_and_so_do_the_weights_beside_them() -> None:
    one, two = pair()
    wanted = make_distance("charbonnier")(one, two) + make_distance("ssim")(one, two)
    torch.testing.assert_close(make_distance("charbonnier+ssim")(one, two), wanted)
    assert default_reblur("charbonnier+ssim") == 125.0
    assert default_reblur("lpips") == 100.0  # as published


def test_an_unknown_distance_is_refused_with_those_known() -> None:
    with pytest.raises(ValueError, match=r"distance must be lpips, charbonnier.*'l2'"):
        make_distance("l2")


def test_lpips_without_its_backbone_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in (FOLDER_VARIABLE, "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(MissingFileError, match=r"vgg16-397923af\.pth"):
        make_distance("lpips")


def test_lpips_comes_from_the_file_that_is_named(vgg_path: Path) -> None:
    one, two = pair()
    assert (make_distance("lpips", vgg_path)(one, two) > 0).all()
