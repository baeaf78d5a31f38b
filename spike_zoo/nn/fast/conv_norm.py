"""A convolution with a batch norm: one operation for pictures, exact statistics in training.

The one operation takes a tenth off the time at 11 channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from spike_zoo.nn.fast.layout import only_makes_pictures


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
    return conv._conv_forward(x, weight, bias)


def _normalised(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Apply a batch norm whose statistics are exact to float32.

    On CPUs PyTorch adds up the numbers of a channel in float32 where they lie channels-last, and in
    float64 where they lie together; the difference moves STIR's image by 1e-5.
    """
    if not norm.training or x.device.type != "cpu" or x.dtype != torch.float32:
        return norm(x)
    normal = norm(x.contiguous())
    return normal if x.is_contiguous() else normal.contiguous(memory_format=torch.channels_last)
