"""Convolutions as matrix products: 3x3 to a few channels, and 1x1.

The former is one product and nine shifted sums. From 48 channels to one it takes two thirds of the
time for pictures and half in training; at five channels nothing is left of the gain. The latter is
a tenth faster in training at 21 channels.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spike_zoo.nn.fast.layout import has_rows, is_channels_last, is_eager_cpu


class NarrowConv2d(nn.Conv2d):
    """A 3x3 convolution to a few channels: a flow, an image.

    Shape:
        - Input: ``(B, in_channels, H, W)``.
        - Output: ``(B, out_channels, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if self.bias is None or not (is_eager_cpu(x) and is_channels_last(self)):
            return super().forward(x)
        return convolve_to_few(x, self.weight, self.bias)


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution; of channels-last input one matrix product on CPUs.

    Shape:
        - Input: ``(B, in_channels, H, W)``.
        - Output: ``(B, out_channels, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if x.device.type != "cpu" or not has_rows(x):
            return super().forward(x)
        # The pixels are the rows of a matrix already; the transpositions move no memory.
        rows = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return rows.permute(0, 3, 1, 2)


def convolve_to_few(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a 3x3 convolution to a few channels, padded with zeros.

    A convolution computes output channels by the sixteen. Here the nine taps are the columns of one
    matrix product, shifted and summed afterwards.

    Args:
        x: ``(B, C, H, W)``, channels-last.
        weight: ``(N, C, 3, 3)``.
        bias: ``(N,)``.

    Returns:
        ``(B, N, H, W)``.
    """
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _ConvolveToFew.apply(x, weight, bias)  # type: ignore[no-untyped-call]  # torch's own
    return _sum_of_taps(x, weight, bias)


class _ConvolveToFew(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401  # torch's own
        """Convolve."""
        ctx.save_for_backward(x, weight)
        return _sum_of_taps(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401  # torch's own
        """Return the gradients of the input, the weights and the biases."""
        x, weight = ctx.saved_tensors
        # The same backwards: the gradient of all taps of a pixel lies in one row of a matrix, and
        # one product gives the gradient of the input, another that of the weights.
        height, width = x.shape[-2:]
        padded = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        shifted = [padded[:, 2 - row :, 2 - column :] for row in range(3) for column in range(3)]
        taps = torch.cat([part[:, :height, :width] for part in shifted], dim=-1).flatten(0, 2)
        of_x = rearrange(taps @ _columns(weight), "(b h w) c -> b c h w", h=height, w=width)
        of_columns = taps.t() @ rearrange(x, "b c h w -> (b h w) c")
        of_weight = rearrange(of_columns, "(row column n) c -> n c row column", row=3, column=3)
        return of_x, of_weight, gradient.sum(dim=(0, 2, 3))


def _sum_of_taps(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    count = weight.shape[0]
    batch, _, height, width = x.shape
    taps = F.linear(x.permute(0, 2, 3, 1), _columns(weight))  # (B, H, W, 9 * N), (row, column, n)
    # A tap that looks up and left adds to the pixels down and right of those it saw. Sums that fall
    # outside of the image land in a margin of one pixel that is cut off, which pads with zeros.
    total = bias.expand(batch, height + 2, width + 2, count).contiguous()
    for index, tap in enumerate(taps.split(count, dim=-1)):
        row, column = divmod(index, 3)
        total[:, 2 - row : 2 - row + height, 2 - column : 2 - column + width] += tap
    return total[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _columns(weight: Tensor) -> Tensor:
    """Return the taps of a convolution's weight as rows."""
    return rearrange(weight, "n c row column -> (row column n) c")
