"""Fast convolutions (fused batch norm, PReLU, matrix products) against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.nn.fast import (
    ConvPReLU,
    JoiningConvPReLU,
    NarrowConv2d,
    PointwiseConv2d,
    conv_norm,
    lay_out,
)
from spike_zoo.nn.fast.convolutions import convolve_to_few

WIDTHS = (1, 60, 72)  # together 133 channels, 11 short of whole vectors
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def plain(layer: ConvPReLU) -> nn.Sequential:
    """Return PyTorch's standard layers with the same weights."""
    inside, outside = layer.conv.in_channels, layer.conv.out_channels
    own = nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.PReLU(outside))
    own.load_state_dict(dict(zip(own.state_dict(), layer.state_dict().values(), strict=True)))
    return own.to(layer.conv.weight.dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_and_gradients_are_those_of_pytorch(layout: torch.memory_format) -> None:
    layer = ConvPReLU(5, 7).double()
    lay_out(layer, layout)
    own = plain(layer)
    x = torch.randn(2, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    found, wanted = layer(x), own(x)
    torch.testing.assert_close(found, wanted)
    gradient = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, *layer.parameters()], gradient),
        torch.autograd.grad(wanted, [x, *own.parameters()], gradient),
    )


@pytest.mark.parametrize("side", [4, 50])  # without and with channels of zeros
@pytest.mark.parametrize("layout", LAYOUTS)
def test_joined_parts_give_values_and_gradients_of_pytorch(
    side: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    joining, following = JoiningConvPReLU(133, 133).double(), ConvPReLU(133, 3).double()
    lay_out(joining, layout)
    lay_out(following, layout)
    shapes = [(1, width, side, side) for width in WIDTHS]
    parts = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    first, second = plain(joining), plain(following)
    wanted = second(first(torch.cat(parts, dim=1)))
    found = following(joining(joining.join(parts)))
    torch.testing.assert_close(found, wanted)
    gradient = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, [*parts, *joining.parameters()], gradient),
        torch.autograd.grad(wanted, [*parts, *first.parameters()], gradient),
    )


def learned_pair(**norm_arguments: bool) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return convolution and batch norm with statistics and parameters that are not initial."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8, **norm_arguments)
    for _ in range(5):
        norm(conv(3 * torch.randn(2, 3, 9, 9) + 1))
    if norm.affine:
        nn.init.uniform_(norm.weight)
        nn.init.normal_(norm.bias)
    return conv, norm


@pytest.mark.parametrize("arguments", [{}, {"affine": False}, {"track_running_stats": False}])
def test_pictures_are_the_same_with_the_norm_inside_the_convolution(
    arguments: dict[str, bool],
) -> None:
    conv, norm = learned_pair(**arguments)
    norm.eval()
    x = torch.randn(1, 3, 7, 7)
    with torch.no_grad():
        torch.testing.assert_close(conv_norm(conv, norm, x), norm(conv(x)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("is_training", [True, False])
def test_values_gradients_and_statistics_are_those_of_pytorch(
    layout: torch.memory_format, is_training: bool
) -> None:
    x = torch.randn(2, 3, 9, 9)
    results = []
    for compute in (conv_norm, lambda conv, norm, x: norm(conv(x))):
        conv, norm = learned_pair()
        lay_out(conv, layout)
        norm.train(is_training)
        y = compute(conv, norm, x)
        y.square().sum().backward()
        learned = [*conv.parameters(), *norm.parameters()]
        results.append([y, *(p.grad for p in learned), norm.running_mean, norm.running_var])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def test_statistics_of_channels_last_images_are_exact() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, momentum=1.0)
    nn.init.dirac_(conv.weight)  # it gives what it is given
    x = (10.0 + torch.rand(3, 4, 256, 256)).to(memory_format=torch.channels_last)
    conv_norm(conv, norm, x)
    assert norm.running_mean is not None
    wanted = x.double().mean(dim=(0, 2, 3))
    # 1.5e-4 by PyTorch alone
    torch.testing.assert_close(norm.running_mean.double(), wanted, rtol=0, atol=1e-6)


@given(
    batch=st.integers(1, 2),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 9),
    count=st.integers(1, 8),
)
def test_taps_add_up_to_the_convolution_and_so_do_their_gradients(
    batch: int, height: int, width: int, channels: int, count: int
) -> None:
    conv = nn.Conv2d(channels, count, 3, padding=1).double()
    assert conv.bias is not None
    x = torch.randn(batch, channels, height, width, dtype=torch.float64, requires_grad=True)
    wanted, found = conv(x), convolve_to_few(x, conv.weight, conv.bias)
    torch.testing.assert_close(found, wanted)
    with torch.no_grad():
        torch.testing.assert_close(convolve_to_few(x, conv.weight, conv.bias), wanted)
    gradient, learned = torch.randn_like(wanted), [x, conv.weight, conv.bias]
    torch.testing.assert_close(
        torch.autograd.grad(found, learned, gradient),
        torch.autograd.grad(wanted, learned, gradient),
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layer_is_a_convolution_in_every_layout(layout: torch.memory_format) -> None:
    narrow, theirs = NarrowConv2d(6, 2), nn.Conv2d(6, 2, 3, padding=1)
    theirs.load_state_dict(narrow.state_dict())
    lay_out(narrow, layout)
    x = torch.randn(2, 6, 5, 8)
    torch.testing.assert_close(narrow(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_it_is_counted_as_the_convolution() -> None:
    narrow = NarrowConv2d(6, 2)
    lay_out(narrow, torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        narrow(torch.randn(2, 6, 5, 8))
    assert counter.get_total_flops() == 2 * 2 * 6 * 2 * 9 * 5 * 8


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
def test_a_1x1_convolution_is_that_of_pytorch(layout: torch.memory_format, bias: bool) -> None:
    ours, theirs = PointwiseConv2d(21, 11, bias=bias).double(), nn.Conv2d(21, 11, 1, bias=bias)
    theirs.double().load_state_dict(ours.state_dict())
    x = torch.randn(2, 21, 6, 5, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    found, wanted = ours(x), theirs(x)
    torch.testing.assert_close(found, wanted)
    assert found.is_contiguous(memory_format=layout)
    gradient = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, *ours.parameters()], gradient),
        torch.autograd.grad(wanted, [x, *theirs.parameters()], gradient),
    )


def test_a_1x1_convolution_is_counted_as_one() -> None:
    x = torch.randn(2, 21, 6, 5).to(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter:
        PointwiseConv2d(21, 11)(x)
    assert counter.get_total_flops() == 2 * 2 * 21 * 11 * 6 * 5
