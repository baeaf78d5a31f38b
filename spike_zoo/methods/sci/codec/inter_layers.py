"""Analysis, context mining and synthesis networks of P-frames.

``width`` multiplies channels and block counts; 1 is the paper's budget.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.sci.codec.intra import block_analysis, block_synthesis
from spike_zoo.methods.sci.features.blocks import (
    DSB,
    FEATURES,
    Res,
    Up,
    conv3,
    residual_blocks,
    scale_channels,
    scale_repeats,
    separable_blocks,
    warp_features,
)
from spike_zoo.nn.fast.convolutions import PointwiseConv2d
from spike_zoo.nn.fast.layout import join_channels

MOTION, MOTION_HYPER = 64, 64
CONTENT, CONTENT_HYPER = 128, 96
COEFFICIENTS = 64  # least channels of the latent of content with a transform of blocks
STEPS, MOTION_STEPS = 8.0, 4.0
"""Initial gains of the latents of content and motion. Untrained latents must not all round to zero,
and motion must resolve a quarter of a pixel."""


class Contexts(NamedTuple):
    """Contexts of a frame at three sizes, from the decoded previous frame and motion."""

    full: Tensor  # (B, C, H, W)
    half: Tensor  # (B, C, H/2, W/2)
    quarter: Tensor  # (B, C, H/4, W/4)


class MotionAnalysis(nn.Module):
    """Analysis transforms of motion: latent and hyper latent."""

    def __init__(self, width: float) -> None:
        super().__init__()
        wide, wider, hyper = (scale_channels(c, width) for c in (64, 96, MOTION_HYPER))
        latent = scale_channels(MOTION, width)
        self.transform = nn.Sequential(
            conv3(2, wide, stride=2),
            separable_blocks(wide, 2),
            conv3(wide, wide, stride=2),
            separable_blocks(wide, 2),
            conv3(wide, wider, stride=2),
            DSB(wider),
            conv3(wider, latent, stride=2),
        )
        self.hyper = hyper_analysis(latent, hyper)
        init_kaiming_linear(self.transform)
        with torch.no_grad():
            cast("nn.Conv2d", self.transform[-1]).weight.mul_(MOTION_STEPS)

    def forward(self, motion: Tensor) -> Tensor:
        """Return the latent, ``(B, 2, H, W)`` -> ``(B, N, H/16, W/16)``."""
        return self.transform(motion)


class ContentAnalysis(nn.Module):
    """Analysis transforms of content, conditioned on contexts: latent and hyper latent."""

    def __init__(self, width: float, latent: int, *, block_transform: bool) -> None:
        super().__init__()
        wide, wider = (scale_channels(c, width) for c in (64, 96))
        self.at_full = conv3(FEATURES + wide, wide, stride=2)
        self.at_half = nn.Sequential(
            conv3(2 * wide, wide), residual_blocks(wide, scale_repeats(4, width))
        )
        self.to_quarter = conv3(wide, wider, stride=2)
        self.at_quarter = nn.Sequential(
            conv3(wider + wide, wider),
            Res(wider),
            DSB(wider),
            conv3(wider, latent, stride=2),
            separable_blocks(latent, 2),
            conv3(latent, latent, stride=2),
            DSB(latent),
        )
        self.hyper = hyper_analysis(latent, scale_channels(CONTENT_HYPER, width))
        init_kaiming_linear(self.at_full, self.at_half, self.to_quarter, self.at_quarter)
        with torch.no_grad():  # the transform of blocks alone spans several rounding steps
            cast("nn.Conv2d", self.at_quarter[-2]).weight.mul_(0.0 if block_transform else STEPS)
        self.blocks = block_analysis(latent, 0.0) if block_transform else None

    def forward(self, feature: Tensor, contexts: Contexts, difference: Tensor) -> Tensor:
        """Return the latent, ``(B, N, H/16, W/16)``.

        Args:
            feature: The feature, or its difference to the warped frame, ``(B, 3, H, W)``.
            contexts: The contexts.
            difference: The difference to the warped frame, ``(B, 3, H, W)``.
        """
        half = self.at_full(join_channels([feature, contexts.full]))
        half = self.at_half(join_channels([half, contexts.half]))
        latent = self.at_quarter(join_channels([self.to_quarter(half), contexts.quarter]))
        return latent if self.blocks is None else latent + self.blocks(difference)


class InterAnalysis(nn.Module):
    """Analysis (encoder) networks of a P-frame, without motion estimation."""

    def __init__(self, width: float, content: int, *, block_transform: bool) -> None:
        super().__init__()
        self.motion = MotionAnalysis(width)
        self.content = ContentAnalysis(width, content, block_transform=block_transform)


class ContextMining(nn.Module):
    """Extract contexts: features of the previous frame at three sizes, warped by motion."""

    def __init__(self, width: float) -> None:
        super().__init__()
        wide = scale_channels(64, width)
        self.enter = nn.Sequential(conv3(FEATURES, wide), PointwiseConv2d(wide, wide), DSB(wide))
        self.to_half = nn.Sequential(conv3(wide, wide, stride=2), DSB(wide))
        self.to_quarter = nn.Sequential(conv3(wide, wide, stride=2), DSB(wide))
        self.at_quarter = DSB(wide)
        self.raise_quarter, self.raise_half = Up(wide, wide), Up(wide, wide)
        self.at_half = nn.Sequential(PointwiseConv2d(2 * wide, wide), DSB(wide))
        self.at_full = nn.Sequential(PointwiseConv2d(2 * wide, wide), DSB(wide))
        init_kaiming_linear(self)

    def pyramid(self, reference: Tensor) -> list[Tensor]:
        """Return the features of the previous decoded feature at three sizes, not warped."""
        full = self.enter(reference)
        half = self.to_half(full)
        return [full, half, self.to_quarter(half)]

    def forward(
        self, reference: Tensor, motion: Tensor, pyramid: Sequence[Tensor] | None = None
    ) -> Contexts:
        """Return the contexts of a frame, from the previous decoded feature and the motion.

        ``pyramid`` is that of the feature, if it is known.
        """
        pyramid = self.pyramid(reference) if pyramid is None else pyramid
        moved = [
            warp_features(x, smaller_motion(motion, factor))
            for x, factor in zip(pyramid, (1, 2, 4), strict=True)
        ]
        quarter = self.at_quarter(moved[2])
        half = self.at_half(
            join_channels(
                [self.raise_quarter(quarter), moved[1]], cast("nn.Conv2d", self.at_half[0])
            )
        )
        full = self.at_full(
            join_channels([self.raise_half(half), moved[0]], cast("nn.Conv2d", self.at_full[0]))
        )
        return Contexts(full, half, quarter)


class MotionSynthesis(nn.Sequential):
    """Synthesis transform of motion, ``(B, N, H/16, W/16)`` -> ``(B, 2, H, W)``."""

    def __init__(self, width: float) -> None:
        latent, wider, wide, narrow, last = (
            scale_channels(c, width) for c in (MOTION, 96, 64, 32, 16)
        )
        super().__init__(
            DSB(latent),
            Up(latent, wider, 3),
            DSB(wider),
            Up(wider, wide, 3),
            separable_blocks(wide, 2),
            Up(wide, narrow, 3),
            separable_blocks(narrow, 2),
            Up(narrow, last),
            conv3(last, 2),
        )
        init_kaiming_linear(self)


class ContentSynthesis(nn.Module):
    """Synthesis transform of content: latent and contexts to the change of the warped frame.

    Before training, the output is zero, or that of the transform of blocks.
    """

    def __init__(self, width: float, latent: int, *, block_transform: bool) -> None:
        super().__init__()
        wider, wide, narrow = (scale_channels(c, width) for c in (96, 64, 32))
        joined = narrow + wide + (FEATURES if block_transform else 0)
        self.to_quarter = nn.Sequential(
            DSB(latent), Up(latent, latent, 3), separable_blocks(latent, 2), Up(latent, wider, 3)
        )
        self.at_quarter = nn.Sequential(
            conv3(wider + wide, wider), separable_blocks(wider, 2), Up(wider, wide, 3)
        )
        self.at_half = nn.Sequential(
            conv3(2 * wide, wide), separable_blocks(wide, 2), Up(wide, narrow)
        )
        self.at_full = nn.Sequential(
            conv3(joined, wide), Res(wide), separable_blocks(wide, 2), conv3(wide, FEATURES)
        )
        self.blocks = block_synthesis(latent, 0.0) if block_transform else None
        init_kaiming_linear(self)
        for parameter in self.at_full[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, latent: Tensor, contexts: Contexts) -> Tensor:
        """Return the change of the warped frame: ``(B, N, H/16, W/16)`` -> ``(B, 3, H, W)``."""
        quarter = join_channels([self.to_quarter(latent), contexts.quarter])
        half = join_channels([self.at_quarter(quarter), contexts.half])
        full = [self.at_half(half), contexts.full]
        if self.blocks is None:
            return self.at_full(join_channels(full))
        blocks = self.blocks(latent)
        return blocks + self.at_full(join_channels([*full, blocks]))


def init_kaiming_linear(*parts: nn.Module) -> None:
    """Initialise convolutions outside of blocks to preserve the standard deviation.

    PyTorch's default divides the variance by three per layer. Latents far below one rounding step
    are then always rounded to zero, and are not learned.
    """
    in_blocks = {
        layer
        for part in parts
        for block in part.modules()
        if isinstance(block, (DSB, Res))
        for layer in block.modules()
    }
    for part in parts:
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d) and layer not in in_blocks:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
                nn.init.zeros_(cast("Tensor", layer.bias))


def hyper_analysis(channels: int, hyper: int) -> nn.Sequential:
    """Return the hyper analysis transform, which downsamples a latent by 4."""
    return nn.Sequential(
        conv3(channels, channels),
        nn.GELU(),
        conv3(channels, channels, stride=2),
        nn.GELU(),
        conv3(channels, hyper, stride=2),
    )


def smaller_motion(motion: Tensor, factor: int) -> Tensor:
    """Downsample motion by a factor, in pixels of the smaller size."""
    return motion if factor == 1 else F.avg_pool2d(motion, factor) / factor
