"""The small layers that STIR's encoder and decoders are built from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.stir.activation import activate
from spike_zoo.methods.stir.inference import convolve_to_few, only_makes_pictures


class ConvPReLU(nn.Module):
    """A 3x3 convolution and a PReLU with one slope per channel.

    Shape:
        - Input: ``(B, in_channels, H, W)``.
        - Output: ``(B, out_channels, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        return activate(self.act, self.conv(x))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a ReLU beside the identity, nothing after the sum.

    Both start Xavier normal with zero bias.

    Shape:
        - Input and output: ``(B, channels, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        for conv in (self.conv1, self.conv2):
            nn.init.xavier_normal_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # it has a bias

    def forward(self, x: Tensor) -> Tensor:
        """Add the block's correction to its input."""
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class NarrowConv(nn.Conv2d):
    """A 3x3 convolution to a few channels: a flow, an image.

    Shape:
        - Input: ``(B, in_channels, H, W)``.
        - Output: ``(B, out_channels, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if self.bias is None or not only_makes_pictures(x):
            return super().forward(x)
        return convolve_to_few(x, self.weight, self.bias)


def is_channels_last(layer: nn.Conv2d) -> bool:
    """Return whether a convolution computes channels-last, as its weights are laid out."""
    return layer.weight.is_contiguous(memory_format=torch.channels_last)


def concatenate(parts: Sequence[Tensor], consumer: nn.Conv2d) -> Tensor:
    """Join ``(B, C_i, H, W)`` along the channels, in the precision and layout of their consumer.

    Within autocast the cast comes before the copy, which halves what is copied. Where the consumer
    computes channels-last the copy interleaves the channels at once: doing it afterwards costs as
    much as a tenth of a forward pass of STIR.
    """
    device = parts[0].device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        parts = [part.to(dtype) for part in parts]
    return join_rows(parts) if is_channels_last(consumer) else torch.cat(list(parts), dim=1)


def join_rows(parts: Sequence[Tensor]) -> Tensor:
    """Join ``(B, C_i, H, W)`` of any layout along the channels in channels-last."""
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=-1).permute(0, 3, 1, 2)
