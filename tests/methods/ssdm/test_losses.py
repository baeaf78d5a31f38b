"""Tests of the losses and of spike-guided deblurring."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from spike_zoo.methods.ssdm import spike_guided_deblur
from spike_zoo.methods.ssdm.losses import (
    DISTANCES,
    DistillationLoss,
    LPIPSDistance,
    default_reblur,
    dissimilarity,
    make_distance,
    multiscale,
)
from spike_zoo.methods.ssdm.sdm import grey, mean_rate, random_window_rate
from spike_zoo.metrics import ssim


def absolute(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().mean(dim=(1, 2, 3))


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
def test_invalid_weights_are_rejected(teacher: float, reblur: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistillationLoss(None, teacher, reblur)


def test_the_gradient_of_a_pixel_without_features_is_0(vgg_path: Path) -> None:
    distance = LPIPSDistance(vgg_path)
    for parameter in distance._network.net.parameters():
        parameter.data.clamp_(max=0.0)  # no activation is above 0
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    distances = distance(torch.rand(1, 3, 32, 32), image)
    assert distances.item() == 0.0, "no feature may be active in this test"
    distances.sum().backward()
    assert image.grad is not None
    assert not image.grad.any()  # 0 and not NaN


def test_as_published_false_rescales_images_to_minus_1_to_1(vgg_path: Path) -> None:
    first, second = torch.rand(2, 1, 3, 32, 32)
    rescaled = LPIPSDistance(vgg_path)(2 * first - 1, 2 * second - 1)
    torch.testing.assert_close(LPIPSDistance(vgg_path, as_published=False)(first, second), rescaled)


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.rand(2, 3, 3, 32, 36, generator=generator)
    return first, second


@pytest.mark.parametrize("name", [*DISTANCES, "charbonnier+gradient"])
def test_a_distance_is_0_for_equal_images_positive_for_others_and_per_image(name: str) -> None:
    distance, (first, second) = make_distance(name), pair()
    torch.testing.assert_close(distance(first, first), torch.zeros(3), rtol=0.0, atol=1e-6)
    assert (distance(first, second) > 0.05).all()
    torch.testing.assert_close(distance(first, second)[1:2], distance(first[1:2], second[1:2]))


@pytest.mark.parametrize("name", DISTANCES)
def test_the_gradient_of_the_predictions_is_finite(name: str) -> None:
    first, second = pair()
    first.requires_grad_()
    second[0] = first[0].detach()  # square roots and quotients of zeros have no finite gradient
    second.requires_grad_()
    make_distance(name)(first.detach(), second).sum().backward()
    assert second.grad is not None
    assert second.grad.isfinite().all()
    assert second.grad[1:].any()


def test_distances_of_a_constant_difference_equal_closed_forms() -> None:
    labels, predictions = torch.full((1, 3, 16, 16), 0.3), torch.full((1, 3, 16, 16), 0.7)
    for name, expected in (("charbonnier", 0.4), ("multiscale", 0.4), ("gradient", 0.0)):
        assert make_distance(name)(labels, predictions).item() == pytest.approx(expected, abs=1e-3)


def test_noise_contributes_less_at_coarser_scales() -> None:
    flat, noise = torch.full((1, 1, 64, 64), 0.5), 0.1 * torch.randn(1, 1, 64, 64)
    assert multiscale(flat + noise, flat) < 0.7 * make_distance("charbonnier")(flat + noise, flat)


def test_dissimilarity_is_1_minus_ssim_apart_from_the_border() -> None:
    first, second = torch.rand(2, 1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    second = 0.7 * first + 0.3 * second
    torch.testing.assert_close(
        dissimilarity(first, second), 1 - ssim(first, second), rtol=0.0, atol=5e-3
    )


def test_sums_of_distances_and_their_default_weights_add_up() -> None:
    first, second = pair()
    expected = make_distance("charbonnier")(first, second) + make_distance("ssim")(first, second)
    torch.testing.assert_close(make_distance("charbonnier+ssim")(first, second), expected)
    assert default_reblur("charbonnier+ssim") == 125.0
    assert default_reblur("lpips") == 100.0  # as published


@given(threshold=st.floats(0.01, 100.0))
def test_deblurring_does_not_depend_on_the_firing_threshold(threshold: float) -> None:
    generator = torch.Generator().manual_seed(1)
    blur = torch.rand(2, 3, 4, 5, generator=generator)
    long, short = torch.rand(2, 2, 1, 4, 5, generator=generator) + 0.01
    scaled = spike_guided_deblur(blur, long / threshold, short / threshold)
    torch.testing.assert_close(scaled, spike_guided_deblur(blur, long, short))


def test_dark_pixels_are_black_and_pass_no_gradient() -> None:
    long = torch.tensor([[[[0.0, 0.5]]]], requires_grad=True)
    short = torch.tensor([[[[0.3, 0.25]]]], requires_grad=True)
    image = spike_guided_deblur(torch.ones(1, 3, 1, 2), long, short)
    assert image[0, :, 0, 0].tolist() == [0.0, 0.0, 0.0]
    assert image[0, :, 0, 1].tolist() == [0.5, 0.5, 0.5]
    image.sum().backward()
    assert long.grad is not None
    assert short.grad is not None
    assert long.grad.flatten().tolist() == [0.0, -3.0]  # 3 channels of -0.25 / 0.5 ** 2
    assert short.grad.flatten().tolist() == [0.0, 6.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bool])
def test_a_rate_is_the_fraction_of_planes_with_a_spike(dtype: torch.dtype) -> None:
    spikes = torch.zeros(1, 8, 1, 2, dtype=dtype)
    spikes[0, 2:5, 0, 0] = 1
    assert mean_rate(spikes, 2, 6).flatten().tolist() == [0.75, 0.0]


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 3), (5, 9)])
def test_planes_and_windows_that_do_not_fit_are_rejected(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"planes .* outside of the stream's planes 0\.\.8"):
        mean_rate(torch.zeros(1, 8, 1, 1), start, stop)
    with pytest.raises(ValueError, match=r"21 planes does not fit into planes 10\.\.30"):
        random_window_rate(torch.zeros(1, 40, 1, 1), 10, 30, 21, torch.Generator())


def test_every_pixel_has_the_rate_of_a_separately_drawn_window_inside_the_exposure() -> None:
    draws = torch.Generator().manual_seed(0)
    spikes = (torch.rand(2, 40, 16, 16, generator=draws) < 0.4).to(torch.uint8)
    spikes[:, :10], spikes[:, 30:] = 1, 1  # outside the exposure
    rates = random_window_rate(spikes, 10, 30, 5, draws)
    windows = torch.cat([mean_rate(spikes, first, first + 5) for first in range(10, 26)], dim=1)
    assert rates.shape == (2, 1, 16, 16)
    is_equal = (windows - rates).abs() < 1e-6
    assert is_equal.any(dim=1).all()
    assert not is_equal.all(dim=(0, 2, 3)).any(), "times differ between pixels"
    many = torch.cat([random_window_rate(spikes, 10, 30, 5, draws) for _ in range(400)], dim=1)
    torch.testing.assert_close(many.mean(1), windows.mean(1), atol=0.06, rtol=0)
    torch.testing.assert_close(
        random_window_rate(spikes, 10, 30, 20, draws), mean_rate(spikes, 10, 30)
    )


def test_grey_has_the_published_weights() -> None:
    red, green, blue = torch.eye(3).view(3, 3, 1, 1)
    for image, weight in ((red, 0.30), (green, 0.59), (blue, 0.11)):
        assert grey(image).item() == pytest.approx(weight)
    assert grey(torch.rand(5, 2, 3, 4, 6)).shape == (5, 2, 1, 4, 6)
