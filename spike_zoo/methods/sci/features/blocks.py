"""Layers that all networks of SCI share, and the scaling of their widths."""

import torch
from torch import Tensor, nn

from spike_zoo.nn.fast.convolutions import PointwiseConv2d
from spike_zoo.nn.warp import warp

FEATURES = 3  # channels of a feature, as of an RGB image, so that video codecs can code it


def scale_channels(channels: int, width: float) -> int:
    """Return a number of channels times a width, rounded to a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))


def scale_repeats(count: int, width: float) -> int:
    """Return a number of blocks times a width, rounded half to even, at least 1."""
    return max(1, round(count * width))


def check_width(name: str, width: float) -> None:
    """Raise unless a width is positive and finite."""
    if not 0 < width < float("inf"):
        raise ValueError(f"{name} must be above 0 (1 is the paper's), got {width}")


def conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution with bias and zero padding."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


class Res(nn.Module):
    """A residual block: ``x + conv3(relu(conv3(x)))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv3(channels, channels)
        self.second = conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, H, W)`` for ``(B, C, H, W)``."""
        return self.second(self.first(x).relu_()).add_(x)


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    """Return a sequence of residual blocks."""
    return nn.Sequential(*(Res(channels) for _ in range(count)))


class DSB(nn.Module):
    """A depthwise-separable block: 3x3 depthwise, two 1x1 with a GELU between, and a shortcut.

    Args:
        inputs: Channels of the input; the GELU has twice as many.
        outputs: Channels of the output; by default as the input.
    """

    def __init__(self, inputs: int, outputs: int | None = None) -> None:
        super().__init__()
        outputs = inputs if outputs is None else outputs
        self.spatial = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.widen = PointwiseConv2d(inputs, 2 * inputs)
        self.narrow = PointwiseConv2d(2 * inputs, outputs)
        self.shortcut = nn.Identity() if inputs == outputs else PointwiseConv2d(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, O, H, W)`` for ``(B, C, H, W)``."""
        hidden = nn.functional.gelu(self.widen(self.spatial(x)))
        return self.narrow(hidden).add_(self.shortcut(x))


def separable_blocks(channels: int, count: int) -> nn.Sequential:
    """Return a sequence of depthwise-separable blocks."""
    return nn.Sequential(*(DSB(channels) for _ in range(count)))


class Up(nn.Module):
    """Upsampling by 2 with a convolution and pixel shuffle, ``(B, C, H, W)`` -> ``(B, O, 2H, 2W)``.

    Args:
        inputs: C.
        outputs: O.
        kernel: Kernel size of the convolution, 1 or 3.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 4 * outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Upsample features."""
        return nn.functional.pixel_shuffle(self.conv(x), 2)


def warp_features(features: Tensor, motion: Tensor) -> Tensor:
    """Warp features ``(B, C, H, W)`` of another time by :func:`spike_zoo.nn.warp.warp`.

    The backward motion ``(B, 2, H, W)`` is (dx, dy) in pixels, from each pixel of the output to the
    position in ``features``.
    """
    is_real = not (motion.is_meta or torch.compiler.is_compiling())
    if is_real and not motion.sum(dtype=torch.float32).isfinite():  # faster than of each value
        raise ValueError("motion is not finite; training may have diverged: lower learning_rate")
    return warp(features, motion)
