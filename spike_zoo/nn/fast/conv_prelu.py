"""A 3x3 convolution with a PReLU, also of many channels whose number suits no vector."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.nn.fast.layout import is_channels_last, join_channels, laid_out_for
from spike_zoo.nn.fast.prelu import PReLU, prelu

# Where training fills up the channels with zeros, see spare_channels.
VECTOR, WIDE, LARGE = 16, 128, 48 * 48  # channels, channels, pixels


class ConvPReLU(nn.Module):
    """A 3x3 convolution and a PReLU with one slope per channel.

    Shape:
        - Input: ``(B, in_channels, H, W)``; further channels, all 0, change nothing.
        - Output: ``(B, out_channels, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.act = PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        return self._computed(laid_out_for(self.conv, x), spare=0)

    def _computed(self, x: Tensor, spare: int) -> Tensor:
        """Return the result with ``spare`` channels of zeros behind."""
        unseen = x.shape[1] - self.conv.in_channels
        if not (unseen or spare):
            return self.act(self.conv(x))
        # The weights grow, not the layer: zeros for the channels that are not looked at and for
        # those that stay 0. Padding is undone in the backward pass, so only the own weights learn.
        weight = F.pad(self.conv.weight, (0, 0, 0, 0, 0, unseen, 0, spare))
        bias = F.pad(cast("Tensor", self.conv.bias), (0, spare))
        x = F.conv2d(x, weight, bias, padding=1)
        return prelu(x, F.pad(self.act.weight, (0, spare)))


class JoiningConvPReLU(ConvPReLU):
    """A :class:`ConvPReLU` of many tensors joined along the channels, for another one to read.

    Shape:
        - parts: ``(B, C_i, H, W)``, together ``in_channels``. The list is emptied, so that memory
          holds either the parts or what they are joined to.
        - Output: ``(B, out_channels, H, W)``, in training perhaps with channels of zeros behind,
          see :func:`spare_channels`.
    """

    def forward(self, parts: list[Tensor]) -> Tensor:  # type: ignore[override]  # several inputs
        """Join, convolve and activate."""
        like, spare = parts[0], spare_channels(self.conv, parts[0])
        if spare:
            parts.append(like.new_zeros(like.shape[0], spare, *like.shape[-2:]))
        x = join_channels(parts, consumer=self.conv)
        parts.clear()
        return self._computed(x, -self.conv.out_channels % VECTOR if spare else 0)


def spare_channels(conv: nn.Conv2d, x: Tensor) -> int:
    """Return how many channels of zeros beside its input make training with a convolution faster.

    Where the channels of a pixel do not fill whole vectors, the gradient of the weights takes some
    CPUs up to twice as long. The zeros cost less than that where channels and pixels are many. In
    bf16 nothing is gained.

    Args:
        conv: Computes channels-last, or gains nothing.
        x: Of the height, the width and on the device of its input.
    """
    is_exact = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    is_slow = is_exact and torch.is_grad_enabled() and is_channels_last(conv)
    saves_time = conv.in_channels > WIDE and x.shape[-2] * x.shape[-1] > LARGE
    return -conv.in_channels % VECTOR if is_slow and saves_time else 0
