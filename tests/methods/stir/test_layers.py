"""Precision and layout of STIR's small layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spike_zoo.methods.stir.layers import (
    ConvPReLU,
    ResidualBlock,
    concatenate,
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
