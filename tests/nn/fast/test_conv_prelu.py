"""Convolution and PReLU together, with and without channels of zeros, against one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spike_zoo.nn.fast import ConvPReLU, JoiningConvPReLU, lay_out

WIDTHS = (1, 60, 72)  # together 133 channels, 11 short of whole vectors
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def plain(layer: ConvPReLU) -> nn.Sequential:
    """Return PyTorch's own layers with the same weights."""
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
    handed_over = list(parts)
    found = following(joining(handed_over))
    assert not handed_over  # nobody holds them any more
    torch.testing.assert_close(found, wanted)
    gradient = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, [*parts, *joining.parameters()], gradient),
        torch.autograd.grad(wanted, [*parts, *first.parameters()], gradient),
    )
