"""Equal but faster ways to compute some layers, for pictures made on processors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from spike_zoo.nn.warp import sampling_grid


def only_makes_pictures(x: Tensor) -> bool:
    """Return whether what is computed of ``x`` is not learned from, on a processor, in eager mode.

    Then layers may write over their input and take weights together that are learned apart.
    """
    is_eager = not torch.compiler.is_compiling()
    return is_eager and x.device.type == "cpu" and not torch.is_grad_enabled()


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution with its batch norm's running statistics inside."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    return fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )


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
    left, up = 1.0 - right, 1.0 - down
    shares = torch.stack((left * up, right * up, left * down, right * down), dim=-1)
    first = row.mul_(width).add_(column)
    first += torch.arange(batch, dtype=torch.int32).mul_(height * width)[:, None, None]
    rows = torch.stack((first, first + 1, first + width, first + (width + 1)), dim=-1)
    sampled = F.embedding_bag(
        rows.view(-1, 4),
        features.permute(0, 2, 3, 1).reshape(-1, channels).to(grid.dtype),
        per_sample_weights=shares.view(-1, 4),
        mode="sum",
    )
    return sampled.view(batch, height, width, channels).permute(0, 3, 1, 2).to(features.dtype)


def _corner_and_rest(normalised: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the pixel before a position in [-1, 1] and how far beyond it the position lies."""
    position = (normalised + 1.0).mul_(0.5 * (length - 1)).nan_to_num_(0.0).clamp_(0.0, length - 1)
    pixel = position.floor().clamp_(max=length - 2)
    return pixel.int(), position.sub_(pixel)
