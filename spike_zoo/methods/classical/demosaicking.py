"""Demosaicking of Bayer mosaics, and their luminance at full resolution."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.spikes.cfa import Cfa, cfa_masks

Demosaicking = Literal["malvar", "bilinear"]


def demosaicked(mosaics: Tensor, cfa: Cfa, method: Demosaicking = "malvar") -> Tensor:
    """Return red, green and blue at every pixel of mosaics.

    Borders are mirrored without repeating the last row or column, which continues the mosaic.

    Args:
        mosaics: ``(N, H, W)``, H and W at least 3.
        cfa: Layout of the filters.
        method: ``"bilinear"`` uses each colour alone, ``"malvar"`` the gradients of the others too.

    Returns:
        ``(N, 3, H, W)``; ``"malvar"`` overshoots at edges.

    Source: Malvar, He and Cutler, *High-quality linear interpolation for demosaicing of
    Bayer-patterned color images*, ICASSP 2004.

    Example:
        >>> demosaicked(torch.ones(1, 4, 6), "RGGB").shape
        torch.Size([1, 3, 4, 6])
    """
    masks = torch.from_numpy(cfa_masks(cfa, *mosaics.shape[-2:])).to(mosaics.device)
    (across, along), diagonal, further = _neighbours(mosaics)
    if method == "bilinear":
        green = torch.where(masks[1], mosaics, (across + along) / 4)
        red, blue = (4 * luminance(mosaics * masks[channel]) for channel in (0, 2))
        return torch.stack([red, green, blue], dim=1)
    far_across, far_along = further
    green = 4 * mosaics + 2 * (across + along) - far_across - far_along
    other = 6 * mosaics + 2 * diagonal - 1.5 * (far_across + far_along)
    # at green pixels: a colour with samples to the left and right, or above and below
    middle = 5 * mosaics - diagonal
    in_row = middle + 4 * along - far_along + far_across / 2
    in_column = middle + 4 * across - far_across + far_along / 2
    colours = []
    for channel, mask in enumerate(masks):
        missing = green
        if channel != 1:
            is_in_row = mask.any(dim=1, keepdim=True)
            at_green = torch.where(is_in_row, in_row, in_column)
            missing = torch.where(masks[1], at_green, other)
        colours.append(torch.where(mask, mosaics, missing / 8))
    return torch.stack(colours, dim=1)


def luminance(mosaics: Tensor) -> Tensor:
    """Return R/4 + G/2 + B/4 at every pixel of mosaics ``(N, H, W)`` of any Bayer layout.

    A binomial filter of 3 x 3 has these weights at every position of a Bayer mosaic.
    """
    padded = F.pad(mosaics, (1, 1, 1, 1), mode="reflect")
    rows = padded[:, :-2] + padded[:, 2:]
    rows += 2 * padded[:, 1:-1]
    sums = rows[..., :-2] + rows[..., 2:]
    sums += 2 * rows[..., 1:-1]
    return sums.div_(16)


def _neighbours(mosaics: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, tuple[Tensor, Tensor]]:
    """Return sums of vertical and horizontal neighbours, of diagonal ones, and two pixels away."""
    padded = F.pad(mosaics, (2, 2, 2, 2), mode="reflect")
    height, width = mosaics.shape[-2:]

    def at(down: int, right: int) -> Tensor:
        return padded[:, 2 + down : 2 + down + height, 2 + right : 2 + right + width]

    adjacent = at(-1, 0) + at(1, 0), at(0, -1) + at(0, 1)
    diagonal = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    return adjacent, diagonal, (at(-2, 0) + at(2, 0), at(0, -2) + at(0, 2))
