"""Arithmetic on exposures: what cancels, what is dark, and gradients without holes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.methods.ssdm import spike_guided_deblur
from spike_zoo.methods.ssdm.sdm import grey, mean_rate, rate_of_own_times, reordered


@given(threshold=st.floats(0.01, 100.0))
def test_the_firing_threshold_cancels(threshold: float) -> None:
    generator = torch.Generator().manual_seed(1)
    blur = torch.rand(2, 3, 4, 5, generator=generator)
    long, short = torch.rand(2, 2, 1, 4, 5, generator=generator) + 0.01
    scaled = spike_guided_deblur(blur, long / threshold, short / threshold)
    torch.testing.assert_close(scaled, spike_guided_deblur(blur, long, short))


def test_a_scene_that_does_not_change_is_its_own_blur() -> None:
    blur, rate = torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4) + 0.1
    torch.testing.assert_close(spike_guided_deblur(blur, rate, rate), blur)


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
def test_a_rate_is_the_share_of_planes_with_a_spike(dtype: torch.dtype) -> None:
    spikes = torch.zeros(1, 8, 1, 2, dtype=dtype)
    spikes[0, 2:5, 0, 0] = 1
    assert mean_rate(spikes, 2, 6).flatten().tolist() == [0.75, 0.0]


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 3), (5, 9)])
def test_planes_outside_the_stream_are_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"planes .* the stream has 0\.\.8"):
        mean_rate(torch.zeros(1, 8, 1, 1), start, stop)


def test_every_pixel_has_the_rate_of_a_window_inside_the_exposure_at_a_time_of_its_own() -> None:
    draws = torch.Generator().manual_seed(0)
    spikes = (torch.rand(2, 40, 16, 16, generator=draws) < 0.4).to(torch.uint8)
    spikes[:, :10], spikes[:, 30:] = 1, 1  # outside the exposure
    rates = rate_of_own_times(spikes, 10, 30, 5, draws)
    windows = torch.cat([mean_rate(spikes, first, first + 5) for first in range(10, 26)], dim=1)
    assert rates.shape == (2, 1, 16, 16)
    is_one = (windows - rates).abs() < 1e-6
    assert is_one.any(dim=1).all()
    assert not is_one.all(dim=(0, 2, 3)).any(), "no time is that of all pixels"
    many = torch.cat([rate_of_own_times(spikes, 10, 30, 5, draws) for _ in range(400)], dim=1)
    torch.testing.assert_close(many.mean(1), windows.mean(1), atol=0.06, rtol=0)
    torch.testing.assert_close(
        rate_of_own_times(spikes, 10, 30, 20, draws), mean_rate(spikes, 10, 30)
    )


def test_a_window_longer_than_the_exposure_is_refused() -> None:
    with pytest.raises(ValueError, match=r"21 planes does not fit into planes 10\.\.30"):
        rate_of_own_times(torch.zeros(1, 40, 1, 1), 10, 30, 21, torch.Generator())


def test_an_exposure_that_leaves_the_stream_is_refused() -> None:
    with pytest.raises(ValueError, match=r"planes 10\.\.41 were asked for, the stream has 0\.\.40"):
        rate_of_own_times(torch.zeros(1, 40, 1, 1), 10, 41, 9, torch.Generator())


def test_grey_weighs_the_colours_as_published_in_either_order() -> None:
    red, green, blue = torch.eye(3).view(3, 3, 1, 1)
    for image, weight in ((red, 0.30), (green, 0.59), (blue, 0.11)):
        assert grey(image).item() == pytest.approx(weight)
        assert grey(reordered(image, "bgr"), "bgr").item() == pytest.approx(weight)
    assert grey(torch.rand(5, 2, 3, 4, 6)).shape == (5, 2, 1, 4, 6)
