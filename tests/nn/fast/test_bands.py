"""Deformable convolution in bands and threads against PyTorch operations."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from spike_zoo.nn import deformable
from spike_zoo.nn.deformable import deform_conv2d
from spike_zoo.nn.fast import bands
from spike_zoo.nn.fast.bands import convolve, convolve_backwards
from spike_zoo.nn.threads import torch_threads

Arguments = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Compute in bands of a few pixels with one and with two threads."""
    monkeypatch.setattr(bands, "BAND", 500)
    monkeypatch.setattr(bands, "SHARED_BAND", 500)
    monkeypatch.setattr(bands, "SMALL", 0)
    with torch_threads(request.param):
        yield request.param


def draw(
    batch: int, groups: int, channels: int, height: int, width: int, *, reach: float = 2.0
) -> Arguments:
    """Return random input, offset, weight and mask with a number of channels per group."""
    return (
        torch.randn(batch, groups * channels, height, width),
        reach * torch.randn(batch, 18 * groups, height, width),
        torch.randn(5, groups * channels, 3, 3) / 8,
        torch.rand(batch, 9 * groups, height, width),
    )


def plain(arguments: Arguments, gradient: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return output and gradients of the convolution computed without the operator."""
    learned = tuple(tensor.clone().requires_grad_() for tensor in arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deformable, "has_operator", lambda device: False)
        output = deform_conv2d(*learned[:3], mask=learned[3])
    return output.detach(), torch.autograd.grad(output, learned, gradient)


@pytest.mark.usefixtures("threads")
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batch=st.integers(1, 3),
    groups=st.sampled_from([1, 3, 8]),
    channels=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    reach=st.sampled_from([0.0, 0.3, 3.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_bands_equal_the_convolution_of_the_whole_image(
    batch: int, groups: int, channels: int, height: int, width: int, reach: float, seed: int
) -> None:
    torch.manual_seed(seed)
    arguments = draw(batch, groups, channels, height, width, reach=reach)
    gradient = torch.randn(batch, 5, height, width)
    expected, gradients = plain(arguments, gradient)
    torch.testing.assert_close(convolve(*arguments), expected, rtol=1e-5, atol=1e-5)
    actual = convolve_backwards(gradient, *arguments)
    torch.testing.assert_close(actual, gradients, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("threads")
def test_output_and_gradients_have_the_memory_format_of_the_input() -> None:
    arguments, gradient = draw(2, 2, 4, 6, 7), torch.randn(2, 5, 6, 7)
    expected, gradients = convolve(*arguments), convolve_backwards(gradient, *arguments)
    image, offset, mask, turned = (
        x.contiguous(memory_format=torch.channels_last)
        for x in (*arguments[:2], arguments[3], gradient)
    )
    output = convolve(image, offset, arguments[2], mask)
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output, expected)
    actual = convolve_backwards(turned, image, offset, arguments[2], mask)
    assert actual[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(actual, gradients)


@pytest.mark.usefixtures("threads")
def test_no_mask_is_a_mask_of_ones() -> None:
    image, offset, weight, mask = draw(2, 2, 4, 6, 7)
    ones = torch.ones_like(mask)
    torch.testing.assert_close(
        convolve(image, offset, weight, None), convolve(image, offset, weight, ones)
    )
    gradient = torch.randn(2, 5, 6, 7)
    actual = convolve_backwards(gradient, image, offset, weight, None)
    assert actual[3].numel() == 0
    expected = convolve_backwards(gradient, image, offset, weight, ones)
    torch.testing.assert_close(actual[:3], expected[:3])


def test_an_empty_batch_gives_an_empty_output() -> None:
    arguments = draw(0, 2, 4, 6, 7)
    assert convolve(*arguments).shape == (0, 5, 6, 7)
    weight_gradient = convolve_backwards(torch.empty(0, 5, 6, 7), *arguments)[2]
    assert weight_gradient.abs().max() == 0


def test_autocast_does_not_round_gradients() -> None:
    arguments, gradient = draw(1, 2, 4, 6, 7), torch.randn(1, 5, 6, 7)
    expected = convolve_backwards(gradient, *arguments)
    with torch.autocast("cpu", torch.bfloat16):
        actual = convolve_backwards(gradient, *arguments)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
