"""Associated feature regression (AFR): alignment by warping and by deformable convolution."""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.sci.features.blocks import conv3, residual_blocks, warp_features
from spike_zoo.nn.deformable import deform_conv2d
from spike_zoo.nn.fast.layout import join_channels
from spike_zoo.nn.precision import in_full_precision

Align = Literal["afr", "dcn", "warp", "none"]

GROUPS = 8
MAX_OFFSET = 10.0  # pixels
_TAPS = 9


class DeformableConv(nn.Module):
    """A modulated deformable 3x3 convolution, with offsets and masks predicted from a guide.

    The layer that predicts offsets and masks is initialised with zeros, so that it starts as a
    plain convolution.

    Args:
        channels: Channels of input, guide and output.

    Shape:
        - x, guide and output: ``(B, C, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = min(GROUPS, channels)
        self.guidance = conv3(channels, 3 * _TAPS * self.groups)
        for parameter in self.guidance.parameters():
            nn.init.zeros_(parameter)
        self.conv = conv3(channels, channels)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Sample and convolve, with offsets of at most 10 pixels and masks in [0, 2]."""
        raw = in_full_precision(self.guidance, guide)
        offsets, masks = raw.split([2 * _TAPS * self.groups, _TAPS * self.groups], dim=1)
        return deform_conv2d(
            x,
            MAX_OFFSET * torch.tanh(offsets / MAX_OFFSET),
            self.conv.weight,
            self.conv.bias,
            padding=1,
            mask=2 * torch.sigmoid(masks),
        )


class WarpBranch(nn.Module):
    """Warp a neighbour along the given motion, and correct the errors of large motion."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.mend = nn.Sequential(
            conv3(2 * channels + 2, channels), nn.ReLU(), residual_blocks(channels, blocks)
        )

    def forward(self, neighbour: Tensor, centre: Tensor, motion: Tensor) -> Tensor:
        """Return the warped and corrected neighbour, ``(B, C, H, W)``."""
        moved = warp_features(neighbour, motion)
        first = cast("nn.Conv2d", self.mend[0])
        return moved + self.mend(join_channels([moved, centre, motion.to(moved.dtype)], first))


class DeformableBranch(nn.Module):
    """Align a neighbour by deformable convolutions at two sizes, for small and precise motion."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = conv3(channels, channels, stride=2)
        self.coarse_guide = conv3(2 * channels, channels)
        self.coarse = DeformableConv(channels)
        self.fine_guide = conv3(2 * channels, channels)
        self.guide = conv3(2 * channels, channels)
        self.fine = DeformableConv(channels)

    def forward(self, neighbour: Tensor, centre: Tensor) -> Tensor:
        """Return the deformed neighbour, ``(B, C, H, W)``; H and W even."""
        half, half_centre = self.down(neighbour), self.down(centre)
        coarse_guide = self.coarse_guide(torch.cat([half, half_centre], dim=1))
        coarse = self.coarse(half, coarse_guide)
        fine_guide = self.fine_guide(torch.cat([neighbour, centre], dim=1))
        guide = self.guide(torch.cat([fine_guide, _upsample(coarse_guide)], dim=1))
        return self.fine(neighbour, guide) + _upsample(coarse)


class Alignment(nn.Module):
    """Align a neighbour's embedded feature to the centre; all neighbours share the weights.

    Args:
        align: ``"afr"`` warps, deforms the warped feature, and fuses both; ``"dcn"`` only deforms;
            ``"warp"`` only warps; ``"none"`` returns the neighbour unchanged.
        channels: Channels of the embedded features.
        blocks: Residual blocks of the warping branch.

    Shape:
        - neighbour, centre: ``(B, C, H, W)``, H and W even.
        - motion: ``(B, 2, H, W)`` in pixels, from the centre's time to the neighbour's.
        - Output: ``(B, C, H, W)``.

    Source: Sec. IV-C and Fig. 6 of the paper, which does not describe the layers.
    """

    def __init__(self, align: Align, channels: int, blocks: int) -> None:
        super().__init__()
        self.warp = WarpBranch(channels, blocks) if align in ("afr", "warp") else None
        self.deform = DeformableBranch(channels) if align in ("afr", "dcn") else None
        self.fuse = None
        if align == "afr":
            self.fuse = nn.Sequential(
                conv3(3 * channels, channels), nn.ReLU(), residual_blocks(channels, 1)
            )

    def forward(self, neighbour: Tensor, centre: Tensor, motion: Tensor) -> Tensor:
        """Return the aligned neighbour."""
        return self.steps(neighbour, centre, motion)[-1]

    def steps(self, neighbour: Tensor, centre: Tensor, motion: Tensor) -> list[Tensor]:
        """Return the warped, deformed and fused neighbour, each if enabled; the last is the output.

        Fig. 17 of the paper shows them.
        """
        outputs = [neighbour if self.warp is None else self.warp(neighbour, centre, motion)]
        if self.deform is not None:
            outputs.append(self.deform(outputs[0], centre))
        if self.fuse is not None:
            outputs.append(self.fuse(torch.cat([*outputs, centre], dim=1)))
        return outputs


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")
