"""Warping of channels-last features, row by row of a table.

Three flows of 16 channels take half of the time, with the step back to channels-last that the
general sampler needs; only for pictures, for it has no gradient of the flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.nn.fast.layout import has_rows, only_makes_pictures
from spike_zoo.nn.warp import sampling_grid, warp

if TYPE_CHECKING:
    from collections.abc import Sequence


def warp_each(features: Tensor, flows: Sequence[Tensor]) -> list[Tensor]:
    """Return features warped by each of some flows, as :func:`spike_zoo.nn.warp` does.

    Args:
        features: ``(B, C, H, W)``.
        flows: ``(B, 2, H, W)`` in pixels, each.
    """
    if only_makes_pictures(features) and has_rows(features) and min(features.shape[-2:]) > 1:
        return [warp_rows(features, flow) for flow in flows]
    apart = features.contiguous()  # the sampler would copy them for every flow
    return [warp(apart, flow) for flow in flows]


def warp_rows(features: Tensor, flow: Tensor) -> Tensor:
    """Return what :func:`spike_zoo.nn.warp` does, of channels-last features in channels-last.

    The channels of a pixel lie together, so a sample is a weighted sum of four rows of a table. The
    general sampler goes through the channels one by one and returns them apart.

    Args:
        features: ``(B, C, H, W)``, H and W at least 2.
        flow: ``(B, 2, H, W)`` in pixels.
    """
    batch, channels, height, width = features.shape
    grid = sampling_grid(flow)
    x, y = grid.unbind(-1)
    column, right = _corner_and_rest(x, width)
    row, down = _corner_and_rest(y, height)
    # Bilinear: each corner counts by the area of the pixel that lies opposite of it.
    left, up = 1.0 - right, 1.0 - down
    shares = torch.stack((left * up, right * up, left * down, right * down), dim=-1)
    first = row.mul_(width).add_(column)
    first += torch.arange(batch, dtype=torch.int32).mul_(height * width)[:, None, None]
    # The four corners of every sample; the border was repeated by moving the position inside.
    rows = torch.stack((first, first + 1, first + width, first + (width + 1)), dim=-1)
    # An embedding of words, as PyTorch sees it: pixels are the words, samples the bags of four.
    sampled = F.embedding_bag(
        rows.view(-1, 4),
        features.permute(0, 2, 3, 1).reshape(-1, channels).to(grid.dtype),
        per_sample_weights=shares.view(-1, 4),
        mode="sum",
    )
    return sampled.view(batch, height, width, channels).permute(0, 3, 1, 2).to(features.dtype)


def _corner_and_rest(normalised: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the pixel before a position in [-1, 1] and how far beyond it the position lies."""
    # The border rule: outside means on the border. The last pixel has none beyond, so there the
    # corner is the one before it and the rest is 1.
    position = (normalised + 1.0).mul_(0.5 * (length - 1)).clamp_(0.0, length - 1)
    pixel = position.floor().clamp_(max=length - 2)
    return pixel.int(), position.sub_(pixel)
