"""Reference implementations of parts of SCI in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def reference_deform_conv2d(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, mask: Tensor
) -> Tensor:
    """Return a deformable convolution that keeps the samples of all taps in memory.

    Args:
        input: ``(B, C, H, W)``.
        offset: ``(B, 2 * groups * K * K, H, W)``, per group and tap down and right, in pixels.
        weight: ``(N, C, K, K)``.
        bias: ``(N,)``.
        mask: ``(B, groups * K * K, H, W)``.
    """
    batch, channels, height, width = input.shape
    kernel = weight.shape[-1]
    taps, reach = kernel**2, kernel // 2
    groups = mask.shape[1] // taps
    moved = offset.view(batch, groups, taps, 2, height, width)
    counted = mask.view(batch, groups, taps, 1, height, width)
    rows = torch.arange(height, dtype=input.dtype)[:, None]
    columns = torch.arange(width, dtype=input.dtype)
    image = input.reshape(batch * groups, channels // groups, height, width)
    samples = []
    for tap in range(taps):
        y = rows + (tap // kernel - reach) + moved[:, :, tap, 0]
        x = columns + (tap % kernel - reach) + moved[:, :, tap, 1]
        grid = torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)
        sampled = F.grid_sample(image, grid.flatten(0, 1), align_corners=True)
        sampled = sampled.view(batch, groups, channels // groups, height, width)
        samples.append(sampled * counted[:, :, tap])
    matrix = torch.stack(samples, dim=3).view(batch, channels * taps, height * width)
    return (weight.flatten(1) @ matrix).view(batch, -1, height, width) + bias[:, None, None]
