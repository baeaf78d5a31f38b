"""Colours of all pixels from those of a Bayer mosaic, and a luminance of full size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import torch
from torch.nn import functional as F

from spike_zoo.spikes.cfa import cfa_masks

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.spikes.cfa import Cfa

Demosaicking = Literal["malvar", "bilinear"]

_BINOMIAL: Final = torch.tensor([1.0, 2.0, 1.0])
_CROSS: Final = torch.tensor([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]]) / 4
_TENT: Final = _BINOMIAL[:, None] * _BINOMIAL / 4
_MALVAR_GREEN: Final = torch.tensor(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
)
_MALVAR_ROW: Final = torch.tensor(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
)
_MALVAR_OTHER: Final = torch.tensor(
    [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]
)
#: At green in a red row red's neighbours are beside it, elsewhere above and below.
_MALVAR: Final = torch.stack([_MALVAR_GREEN, _MALVAR_ROW, _MALVAR_ROW.T, _MALVAR_OTHER]) / 8


def demosaicked(mosaics: Tensor, cfa: Cfa, method: Demosaicking = "malvar") -> Tensor:
    """Return red, green and blue at every pixel of mosaics.

    Borders are mirrored without their last row or column, so that the mosaic goes on.

    Args:
        mosaics: ``(N, H, W)``, H and W at least 3.
        cfa: Layout of the filters.
        method: ``"bilinear"``, or ``"malvar"``, whose colours gain from one another.

    Returns:
        ``(N, 3, H, W)``; malvar overshoots at edges.

    Source: Malvar, He and Cutler, *High-quality linear interpolation for demosaicing of
    Bayer-patterned color images*, ICASSP 2004.

    Example:
        >>> demosaicked(torch.ones(1, 4, 6), "RGGB").shape
        torch.Size([1, 3, 4, 6])
    """
    masks = _masks(cfa, mosaics)
    if method == "bilinear":
        kernels = torch.stack([_TENT, _CROSS, _TENT])[:, None].to(mosaics)
        padded = F.pad(mosaics[:, None] * masks, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, kernels, groups=3)
    padded = F.pad(mosaics[:, None], (2, 2, 2, 2), mode="reflect")
    green, row, column, other = F.conv2d(padded, _MALVAR[:, None].to(mosaics)).unbind(1)
    red_rows, blue_rows = (masks[channel].any(dim=1, keepdim=True) for channel in (0, 2))
    at_green = masks[1]
    colours = []
    for channel, rows in ((0, red_rows), (1, None), (2, blue_rows)):
        others = green if rows is None else torch.where(rows, row, column)
        if rows is not None:
            others = torch.where(at_green, others, other)
        colours.append(torch.where(masks[channel], mosaics, others))
    return torch.stack(colours, dim=1)


def luminance(mosaics: Tensor) -> Tensor:
    """Return R/4 + G/2 + B/4 at every pixel of mosaics ``(N, H, W)``, whatever their layout.

    A binomial 3 x 3 has these weights wherever it lies on a Bayer mosaic.
    """
    kernel = (_BINOMIAL / 4).to(mosaics)
    padded = F.pad(mosaics[:, None], (1, 1, 1, 1), mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, 3, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, 3))[:, 0]


def _masks(cfa: Cfa, like: Tensor) -> Tensor:
    """Return which pixels see red, green and blue, bool ``(3, H, W)``."""
    return torch.from_numpy(cfa_masks(cfa, *like.shape[-2:])).to(like.device)
