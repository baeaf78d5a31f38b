"""STIR's residual block."""

from __future__ import annotations

import torch
from torch import nn

from spike_zoo.methods.stir.residual import ResidualBlock


def test_residual_block_without_weights_is_the_identity() -> None:
    block = ResidualBlock(4)
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(block(x), x)  # negative values too: nothing after the sum
