"""The small layers that STIR's encoder and decoders are built from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.nn.fast.narrow_conv import convolve_to_few
from spike_zoo.nn.fast.prelu import activate

# Where training fills up the channels with zeros, see spare_channels.
VECTOR, WIDE, LARGE = 16, 128, 48 * 48  # channels, channels, pixels


class ConvPReLU(nn.Module):
    """A 3x3 convolution and a PReLU with one slope per channel.

    Shape:
        - Input: ``(B, in_channels, H, W)``; further channels are not looked at.
        - Output: ``(B, out_channels + spare, H, W)``, the spare ones 0.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor, spare: int = 0) -> Tensor:
        """Convolve and activate; ``spare`` channels of zeros follow, see :func:`spare_channels`."""
        unseen = x.shape[1] - self.conv.in_channels
        if not (unseen or spare):
            return activate(self.conv(x), self.act.weight)
        weight = F.pad(self.conv.weight, (0, 0, 0, 0, 0, unseen, 0, spare))
        bias = F.pad(cast("Tensor", self.conv.bias), (0, spare))
        x = F.conv2d(x, weight, bias, padding=1)
        return activate(x, F.pad(self.act.weight, (0, spare)))


def spare_channels(conv: nn.Conv2d, x: Tensor) -> int:
    """Return how many channels of zeros beside its input make training with a convolution faster.

    Where the channels of a pixel do not fill whole vectors, the gradient of the weights takes CPUs
    up to twice as long. The zeros cost less than that where channels and pixels are many. In bf16
    nothing is gained.

    Args:
        conv: Computes channels-last, or gains nothing.
        x: Of the height, the width and on the device of its input.
    """
    is_exact = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    is_slow = is_exact and torch.is_grad_enabled() and is_channels_last(conv)
    is_worth_it = conv.in_channels > WIDE and x.shape[-2] * x.shape[-1] > LARGE
    return -conv.in_channels % VECTOR if is_slow and is_worth_it else 0


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
        is_eager_cpu = x.device.type == "cpu" and not torch.compiler.is_compiling()
        if self.bias is None or not (is_eager_cpu and is_channels_last(self)):
            return super().forward(x)
        return convolve_to_few(x, self.weight, self.bias)


def is_channels_last(layer: nn.Conv2d) -> bool:
    """Return whether a convolution computes channels-last, as its weights are laid out."""
    return layer.weight.is_contiguous(memory_format=torch.channels_last)


def laid_out_for(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return ``(B, C, H, W)`` as a convolution's weights are laid out, as their gradient will be.

    PyTorch computes channels-last if either is; gradients of another layout than the weights' are
    copied over and over.
    """
    is_last = is_channels_last(layer)
    return x.contiguous(memory_format=torch.channels_last if is_last else torch.contiguous_format)


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
