"""Sizes that the pyramid can halve: replicate padding, the same on both sides."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def centred_padding(size: int, multiple: int) -> tuple[int, int]:
    """Return how many pixels to add before and after for the next multiple of a size."""
    missing = -size % multiple
    return missing // 2, missing - missing // 2


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Return ``(B, C, H, W)`` with its border repeated until H and W are multiples."""
    top, bottom = centred_padding(x.shape[-2], multiple)
    left, right = centred_padding(x.shape[-1], multiple)
    if not (top or bottom or left or right):
        return x
    return F.pad(x, (left, right, top, bottom), mode="replicate")


def crop_padding(x: Tensor, height: int, width: int) -> Tensor:
    """Return the ``height x width`` pixels in the middle, the inverse of the padding."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
