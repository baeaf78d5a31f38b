"""Precision and layout of STIR's small layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spike_zoo.nn.fast.conv_prelu import (
    ConvPReLU,
    NarrowConv,
    ResidualBlock,
    concatenate,
    spare_channels,
)


def test_residual_block_without_weights_is_the_identity() -> None:
    block = ResidualBlock(4)
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(block(x), x)  # negative values too: nothing after the sum


def test_decoder_convolutions_have_a_slope_per_channel() -> None:
    assert ConvPReLU(3, 7).act.weight.shape == (7,)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("autocast", [False, True])
def test_parts_are_joined_in_precision_and_layout_of_their_consumer(
    layout: torch.memory_format, autocast: bool
) -> None:
    conv = nn.Conv2d(5, 5, 3)
    conv = conv.to(memory_format=layout)  # type: ignore[call-overload]  # true
    parts = [torch.rand(2, channels, 6, 7) for channels in (1, 4)]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        joined = concatenate(parts, consumer=conv)
    assert joined.dtype == (torch.bfloat16 if autocast else torch.float32)
    assert joined.is_contiguous(memory_format=layout)
    torch.testing.assert_close(joined, torch.cat(parts, dim=1).to(joined.dtype))


def test_spare_channels_change_neither_images_nor_gradients() -> None:
    first, second = ConvPReLU(5, 4).double(), ConvPReLU(4, 3).double()
    x = torch.randn(2, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    zeros = torch.zeros(2, 3, 6, 7, dtype=torch.float64)
    filled = first(torch.cat([x, zeros], dim=1), spare=2)
    assert filled.shape[1] == 4 + 2
    assert not filled[:, 4:].any()
    found, wanted = second(filled), second(first(x))
    torch.testing.assert_close(found, wanted)
    gradient, learned = torch.randn_like(wanted), [x, *first.parameters(), *second.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(found, learned, gradient),
        torch.autograd.grad(wanted, learned, gradient),
    )


def test_channels_are_filled_up_only_where_training_gains_by_it() -> None:
    wide, narrow = (nn.Conv2d(channels, 8, 3) for channels in (133, 85))
    for conv in (wide, narrow):
        conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # it has this
    large, small = torch.empty(1, 1, 96, 96), torch.empty(1, 1, 24, 24)
    assert spare_channels(wide, large) == 144 - 133
    assert spare_channels(narrow, large) == spare_channels(wide, small) == 0
    with torch.no_grad():
        assert spare_channels(wide, large) == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert spare_channels(wide, large) == 0


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_narrow_convolution_is_a_convolution_in_every_layout(
    layout: torch.memory_format,
) -> None:
    narrow = NarrowConv(6, 2)
    narrow.to(memory_format=layout)  # type: ignore[call-overload]  # it has this
    x = torch.randn(2, 6, 5, 8)
    wanted = nn.functional.conv2d(x, narrow.weight, narrow.bias, padding=1)
    torch.testing.assert_close(narrow(x), wanted, rtol=1e-5, atol=1e-5)
