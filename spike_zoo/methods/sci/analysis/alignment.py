"""Associated feature regression (AFR): a neighbour's feature brought to a time by two ways."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.sci.features.blocks import conv3, residuals, warped
from spike_zoo.nn.deformable import deform_conv2d
from spike_zoo.nn.precision import in_full_precision

Align = Literal["afr", "dcn", "warp", "none"]

GROUPS = 8
MAX_OFFSET = 10.0  # pixels
_TAPS = 9


class DeformableConv(nn.Module):
    """A modulated 3x3 convolution: another map gives the offset and weight of each tap.

    It begins as a plain convolution: the layer that makes offsets and masks begins with zeros.

    Args:
        channels: Channels of input, guide and output.

    Shape:
        - x, guide: ``(B, C, H, W)``; the output too.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = min(GROUPS, channels)
        self.guidance = conv3(channels, 3 * _TAPS * self.groups)
        for parameter in self.guidance.parameters():
            nn.init.zeros_(parameter)
        self.conv = conv3(channels, channels)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Sample and convolve; offsets of at most 10 pixels, masks in [0, 2]."""
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
    """Warp a neighbour along the known motion, and correct the error of large movements.

    Args:
        channels: Channels of the embedded features.
        blocks: Residual blocks.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.mend = nn.Sequential(
            conv3(2 * channels + 2, channels), nn.ReLU(), residuals(channels, blocks)
        )

    def forward(self, neighbour: Tensor, centre: Tensor, motion: Tensor) -> Tensor:
        """Return the warped and corrected neighbour, ``(B, C, H, W)``."""
        moved = warped(neighbour, motion)
        seen = torch.cat([moved, centre, motion.to(moved.dtype)], dim=1)
        return moved + self.mend(seen)


class DeformableBranch(nn.Module):
    """Bring a neighbour by deformable convolutions at two sizes: small, precise movements.

    Args:
        channels: Channels of the embedded features.
    """

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
        guide = self.guide(torch.cat([fine_guide, _enlarged(coarse_guide)], dim=1))
        return self.fine(neighbour, guide) + _enlarged(coarse)


class Alignment(nn.Module):
    """Align a neighbour's embedded feature to a time, with weights that all neighbours share.

    Args:
        align: ``"afr"`` warps, deforms and fuses both; ``"dcn"`` deforms alone, ``"warp"`` warps
            alone, ``"none"`` leaves the neighbour as it is.
        channels: Channels of the embedded features.
        blocks: Residual blocks of the warping branch.

    Shape:
        - neighbour, centre: ``(B, C, H, W)``, H and W even.
        - motion: ``(B, 2, H, W)`` in pixels, from the centre's time to the neighbour's.
        - Output: ``(B, C, H, W)``.

    Source: Sec. IV-C and Fig. 6 of the paper; the layers are this project's.
    """

    def __init__(self, align: Align, channels: int, blocks: int) -> None:
        super().__init__()
        self.warp = WarpBranch(channels, blocks) if align in ("afr", "warp") else None
        self.deform = DeformableBranch(channels) if align in ("afr", "dcn") else None
        self.fuse = None
        if align == "afr":
            self.fuse = nn.Sequential(
                conv3(3 * channels, channels), nn.ReLU(), residuals(channels, 1)
            )

    def forward(self, neighbour: Tensor, centre: Tensor, motion: Tensor) -> Tensor:
        """Return the aligned neighbour."""
        return self.steps(neighbour, centre, motion)[-1]

    def steps(self, neighbour: Tensor, centre: Tensor, motion: Tensor) -> list[Tensor]:
        """Return the neighbour warped, deformed and fused, as far as each is done; the last is it.

        Pictures of them are Fig. 17 of the paper.
        """
        found = [neighbour if self.warp is None else self.warp(neighbour, centre, motion)]
        if self.deform is not None:
            found.append(self.deform(found[0], centre))
        if self.fuse is not None:
            found.append(self.fuse(torch.cat([*found, centre], dim=1)))
        return found


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")
