"""Backward warping by optical flow."""

import torch
from torch import Tensor
from torch.nn import functional as F


def _axis(length: int, like: Tensor) -> Tensor:
    # In float32 for any flow: double precision uses the same rounded positions.
    axis = torch.linspace(-1.0, 1.0, length, dtype=torch.float32, device=like.device)
    return axis.to(like.dtype)


def sampling_grid(flow: Tensor) -> Tensor:
    """Return the normalised sampling positions of a flow, for ``align_corners=True``.

    Args:
        flow: ``(B, 2, H, W)`` in pixels; channel 0 is to the right, channel 1 down.

    Returns:
        ``(B, H, W, 2)``; -1 and 1 are the centres of the first and last pixel. At least float32,
        because neighbouring columns are equal in bfloat16 and float16. NaN is replaced by the
        first pixel, because grid_sample would read outside its memory.
    """
    flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
    height, width = flow.shape[-2:]
    x = _axis(width, flow) + flow[:, 0] * (2.0 / max(width - 1, 1))
    y = _axis(height, flow)[:, None] + flow[:, 1] * (2.0 / max(height - 1, 1))
    return torch.stack((x, y), dim=-1).nan_to_num(-1.0)


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Return features sampled where the flow points: ``out(y, x) = features(y + v, x + u)``.

    Interpolation is bilinear; positions outside the image are clamped to its border.

    Args:
        features: ``(B, C, H, W)``.
        flow: ``(B, 2, H, W)`` in pixels of the features, (u, v) to the right and down.

    Returns:
        ``(B, C, H, W)`` in the features' precision, sampled in at least float32.

    Example:
        >>> import torch
        >>> ramp = torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]])
        >>> right = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 4)
        >>> warp(ramp, right).tolist()
        [[[[1.0, 2.0, 3.0, 3.0]]]]
    """
    grid = sampling_grid(flow)
    sampled = F.grid_sample(
        features.to(grid.dtype), grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return sampled.to(features.dtype)
