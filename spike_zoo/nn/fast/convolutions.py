"""Faster convolutions on CPUs: fused batch norm, with PReLU, few output channels, and 1x1.

A batch norm fused into the convolution's weights reduces the time of inference by a tenth at 11
channels. A 3x3 convolution to few channels is computed as one matrix product and nine shifted sums:
from 48 channels to one it takes two thirds of the time in inference and half in training; with five
output channels there is no gain. A 1x1 convolution as a matrix product reduces the time of training
by a tenth at 21 channels.
"""

from collections.abc import Sequence
from typing import Any, cast

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
    is_eager_inference,
    join_channels,
    to_layer_format,
)
from spike_zoo.nn.fast.prelu import PReLU, prelu

# Limits of spare_channels: channels per vector, least channels, least pixels.
VECTOR, WIDE, LARGE = 16, 128, 48 * 48


def conv_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return ``norm(conv(x))`` for ``(B, C, H, W)``, with the batch norm fused in inference.

    With running statistics, a batch norm is an affine map of each channel, so it is fused into the
    convolution's weights and bias. This saves one pass over memory.
    """
    # norm(y) = gamma (y - mean) / sigma + beta, and y is linear in the weights: gamma / sigma is
    # multiplied into them, the rest is added to the bias. Not in training, because there mean and
    # sigma depend on y.
    mean, variance = norm.running_mean, norm.running_var
    if norm.training or mean is None or variance is None or not is_eager_inference(x):
        return _normalised(norm, conv(x))
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _normalised(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Apply a batch norm with statistics accumulated in float64.

    On CPUs, PyTorch accumulates in float32 for channels-last inputs and in float64 for contiguous
    ones. The difference changes STIR's image by 1e-5.
    """
    if not norm.training or x.device.type != "cpu" or x.dtype != torch.float32:
        return norm(x)
    y = norm(x.contiguous())
    return y if x.is_contiguous() else y.contiguous(memory_format=torch.channels_last)


class ConvPReLU(nn.Module):
    """3x3 convolution and PReLU with one slope per channel.

    Shape:
        - Input: ``(B, in_channels, H, W)``; additional channels of zeros are ignored.
        - Output: ``(B, out_channels, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.act = PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        return self._computed(to_layer_format(self.conv, x), spare=0)

    def _computed(self, x: Tensor, spare: int) -> Tensor:
        """Return the output, followed by ``spare`` channels of zeros."""
        extra = x.shape[1] - self.conv.in_channels
        if not (extra or spare):
            return self.act(self.conv(x))
        # The weights are padded with zeros for the extra input and the spare output channels. The
        # backward pass crops the padding, so the layer's parameters are trained as usual.
        weight = F.pad(self.conv.weight, (0, 0, 0, 0, 0, extra, 0, spare))
        bias = F.pad(cast("Tensor", self.conv.bias), (0, spare))
        x = F.conv2d(x, weight, bias, padding=1)
        return prelu(x, F.pad(self.act.weight, (0, spare)))


class JoiningConvPReLU(ConvPReLU):
    """:class:`ConvPReLU` of the output of :meth:`join`, followed by another such layer.

    Shape:
        - Input: ``(B, in_channels, H, W)``; in training possibly followed by channels of zeros, see
          :func:`spare_channels`.
        - Output: ``(B, out_channels, H, W)``, followed by channels of zeros if the input has them.
    """

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Concatenate ``(B, C_i, H, W)``, in total ``in_channels``, in the convolution's layout."""
        like, spare = parts[0], spare_channels(self.conv, parts[0])
        zeros = [like.new_zeros(like.shape[0], spare, *like.shape[-2:])] if spare else []
        return join_channels([*parts, *zeros], consumer=self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        has_spare = x.shape[1] > self.conv.in_channels
        return self._computed(x, -self.conv.out_channels % VECTOR if has_spare else 0)


def spare_channels(conv: nn.Conv2d, x: Tensor) -> int:
    """Return how many channels of zeros to add to a convolution's input for faster training.

    If the number of channels is not a multiple of the vector length, the gradient of the weights
    takes some CPUs up to twice as long. For many channels and pixels, the zeros cost less. There is
    no gain in bf16 or for convolutions that are not channels-last. Height, width and device are
    those of ``x``.
    """
    is_exact = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    is_slow = is_exact and torch.is_grad_enabled() and is_channels_last(conv)
    saves_time = conv.in_channels > WIDE and x.shape[-2] * x.shape[-1] > LARGE
    return -conv.in_channels % VECTOR if is_slow and saves_time else 0


class NarrowConv2d(nn.Conv2d):
    """3x3 convolution to few output channels, for example a flow or an image.

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
    """1x1 convolution; on CPUs a matrix product for channels-last input.

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
        # The pixels are the rows of a matrix; the permutations do not copy.
        rows = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return rows.permute(0, 3, 1, 2)


def convolve_to_few(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a 3x3 convolution to few output channels, with zero padding.

    Standard convolutions compute output channels in blocks of sixteen. Here the nine taps are the
    columns of one matrix product; they are shifted and summed afterwards. The input
    ``(B, C, H, W)`` is channels-last, the weight is ``(N, C, 3, 3)``.
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
        # The gradients of all taps of a pixel are one row of a matrix. One product gives the
        # gradient of the input, another one that of the weights.
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
    # The upper left tap of a pixel contributes to the pixel down and right of it. Sums outside the
    # image are added to a margin of one pixel, which is cropped; this equals zero padding.
    total = bias.expand(batch, height + 2, width + 2, count).contiguous()
    for index, tap in enumerate(taps.split(count, dim=-1)):
        row, column = divmod(index, 3)
        total[:, 2 - row : 2 - row + height, 2 - column : 2 - column + width] += tap
    return total[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _columns(weight: Tensor) -> Tensor:
    """Return the taps of a convolution's weight as rows."""
    return rearrange(weight, "n c row column -> (row column n) c")
