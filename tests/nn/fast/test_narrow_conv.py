"""Convolutions by a matrix product against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.nn.fast import NarrowConv2d, PointwiseConv2d, lay_out
from spike_zoo.nn.fast.narrow_conv import convolve_to_few


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
