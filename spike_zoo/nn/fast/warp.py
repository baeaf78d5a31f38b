"""Backward warping of channels-last features by ``embedding_bag``, for inference.

For three flows and 16 channels it takes half the time of ``grid_sample`` and the conversion of its
output to channels-last. It has no gradient of the flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.nn.fast.layout import has_rows, is_eager_inference
from spike_zoo.nn.warp import sampling_grid, warp

if TYPE_CHECKING:
    from collections.abc import Sequence


def warp_each(features: Tensor, flows: Sequence[Tensor]) -> list[Tensor]:
    """Warp features by several flows, with the result of :func:`spike_zoo.nn.warp`.

    Args:
        features: ``(B, C, H, W)``.
        flows: Flows, each ``(B, 2, H, W)`` in pixels.
    """
    if is_eager_inference(features) and has_rows(features) and min(features.shape[-2:]) > 1:
        return [warp_rows(features, flow) for flow in flows]
    contiguous = features.contiguous()  # once; grid_sample would copy them for every flow
    return [warp(contiguous, flow) for flow in flows]


def warp_rows(features: Tensor, flow: Tensor) -> Tensor:
    """Warp channels-last features, with the result of :func:`spike_zoo.nn.warp` in channels-last.

    The channels of a pixel are adjacent in memory, so a sample is a weighted sum of four rows of a
    table. ``grid_sample`` processes the channels one by one and returns them contiguous.

    Args:
        features: ``(B, C, H, W)``, H and W at least 2.
        flow: ``(B, 2, H, W)`` in pixels.
    """
    batch, channels, height, width = features.shape
    grid = sampling_grid(flow)
    x, y = grid.unbind(-1)
    column, right = _corner_and_rest(x, width)
    row, down = _corner_and_rest(y, height)
    # Bilinear: the weight of a corner is the area opposite to it.
    left, up = 1.0 - right, 1.0 - down
    shares = torch.stack((left * up, right * up, left * down, right * down), dim=-1)
    first = row.mul_(width).add_(column)
    first += torch.arange(batch, dtype=torch.int32).mul_(height * width)[:, None, None]
    # The four corners of every sample; positions have been clamped to the image.
    rows = torch.stack((first, first + 1, first + width, first + (width + 1)), dim=-1)
    # In terms of embeddings, pixels are words and samples are bags of four words.
    sampled = F.embedding_bag(
        rows.view(-1, 4),
        features.permute(0, 2, 3, 1).reshape(-1, channels).to(grid.dtype),
        per_sample_weights=shares.view(-1, 4),
        mode="sum",
    )
    return sampled.view(batch, height, width, channels).permute(0, 3, 1, 2).to(features.dtype)


def _corner_and_rest(normalised: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the pixel before a position in [-1, 1] and the distance of the position to it."""
    # Positions outside are clamped to the border. The last pixel has no next one, so for it the
    # corner is the pixel before and the rest is 1.
    position = (normalised + 1.0).mul_(0.5 * (length - 1)).clamp_(0.0, length - 1)
    pixel = position.floor().clamp_(max=length - 2)
    return pixel.int(), position.sub_(pixel)
