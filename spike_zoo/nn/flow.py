"""Supervised multi-scale loss of optical flow."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.nn.padding import centred_padding

FLOW_WEIGHTS: Final = MappingProxyType({1: 0.025, 2: 0.05, 4: 0.1, 8: 0.2, 16: 0.4})
"""Downscaling factor of a flow -> weight of its end-point error."""


def flow_loss(flows: Mapping[int, Tensor], truth: Tensor) -> Tensor:
    """Return the weighted sum of the end-point errors of flows at several scales.

    ``flows`` is downscaling factor n -> flow ``(B, 2, H / n, W / n)`` in pixels of that scale;
    the true flow ``(B, 2, H, W)`` is NaN where unknown.
    """
    weighted = [
        FLOW_WEIGHTS[factor] * mean_error(flow, pooled_flow(truth, factor))
        for factor, flow in flows.items()
    ]
    return torch.stack(weighted).sum()


def mean_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Return the mean end-point error of a flow in pixels, over the pixels with known flow."""
    known = torch.isfinite(truth).all(dim=1)
    difference = flow - torch.where(known[:, None], truth, 0.0)
    distance = (difference.square().sum(dim=1) + 1e-6).sqrt()  # differentiable at 0
    return (distance * known).sum() / known.sum().clamp(min=1)


def pooled_flow(truth: Tensor, factor: int) -> Tensor:
    """Downscale a flow ``(B, 2, H, W)`` by averaging known vectors, in pixels of that size."""
    known = torch.isfinite(truth).all(dim=1, keepdim=True)
    share = F.avg_pool2d(known.to(truth.dtype), factor)
    mean = F.avg_pool2d(torch.where(known, truth, 0.0), factor) / share / factor
    return torch.where(share > 0, mean, torch.nan)


def padded_flow(truth: Tensor, multiple: int) -> Tensor:
    """Pad a flow ``(..., H, W)`` with NaN (unknown) to the size of :func:`pad_to_multiple`."""
    rows, columns = (centred_padding(side, multiple) for side in truth.shape[-2:])
    return F.pad(truth, (*columns, *rows), value=torch.nan)
