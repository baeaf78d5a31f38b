"""Convolutions for CPUs: with a batch norm, with a PReLU, to a few channels, and 1x1.

A batch norm inside the convolution's weights takes a tenth off the time of pictures at 11 channels.
A 3x3 convolution to a few channels is one matrix product and nine shifted sums: from 48 channels to
one it takes two thirds of the time for pictures and half in training; at five channels nothing is
left of the gain. A 1x1 convolution as a matrix product takes a tenth off training at 21 channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from spike_zoo.nn.fast.layout import (
    has_rows,
    is_channels_last,
    is_eager_cpu,
    join_channels,
    laid_out_for,
    only_makes_pictures,
)
from spike_zoo.nn.fast.prelu import PReLU, prelu

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where training fills up the channels with zeros, see spare_channels.
VECTOR, WIDE, LARGE = 16, 128, 48 * 48  # channels, channels, pixels


def conv_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return the batch norm of a convolution of ``(B, C, H, W)``, as ``norm(conv(x))``.

    A batch norm that only applies its running statistics is a factor and a summand of each channel,
    which the convolution's own weights and bias take in: nothing is read and written once more.
    """
    # norm(y) = gamma (y - mean) / sigma + beta, and y is linear in the weights: gamma / sigma goes
    # into them, what is left into the bias. Not in training, where mean and sigma depend on y.
    mean, variance = norm.running_mean, norm.running_var
    if norm.training or mean is None or variance is None or not only_makes_pictures(x):
        return _normalised(norm, conv(x))
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _normalised(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Apply a batch norm whose statistics are exact to float32.

    On CPUs PyTorch adds up the numbers of a channel in float32 where they lie channels-last, and in
    float64 where they lie together; the difference moves STIR's image by 1e-5.
    """
    if not norm.training or x.device.type != "cpu" or x.dtype != torch.float32:
        return norm(x)
    normal = norm(x.contiguous())
    return normal if x.is_contiguous() else normal.contiguous(memory_format=torch.channels_last)


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
    """A :class:`ConvPReLU` of what :meth:`join` returns, for another one to read.

    Shape:
        - Input: ``(B, in_channels, H, W)``, in training perhaps with channels of zeros behind, see
          :func:`spare_channels`.
        - Output: ``(B, out_channels, H, W)``, with channels of zeros behind if the input has them.
    """

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Join ``(B, C_i, H, W)``, together ``in_channels``, as the convolution reads them."""
        like, spare = parts[0], spare_channels(self.conv, parts[0])
        zeros = [like.new_zeros(like.shape[0], spare, *like.shape[-2:])] if spare else []
        return join_channels([*parts, *zeros], consumer=self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        has_spare = x.shape[1] > self.conv.in_channels
        return self._computed(x, -self.conv.out_channels % VECTOR if has_spare else 0)


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
