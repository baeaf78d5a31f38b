"""Sizes that a network can halve or turn: padding evenly on both sides, and cropping back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def split_evenly(missing: int) -> tuple[int, int]:
    """Return how many of some missing pixels to add before and after."""
    return missing // 2, missing - missing // 2


def centred_padding(size: int, multiple: int) -> tuple[int, int]:
    """Return how many pixels to add before and after for the next multiple of a size."""
    return split_evenly(-size % multiple)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Return ``(B, C, H, W)`` with its border repeated until H and W are multiples."""
    top, bottom = centred_padding(x.shape[-2], multiple)
    left, right = centred_padding(x.shape[-1], multiple)
    if not (top or bottom or left or right):
        return x
    return F.pad(x, (left, right, top, bottom), mode="replicate")


def pad_to_square(x: Tensor) -> Tensor:
    """Return ``(B, C, side, side)``, the shorter side of ``(B, C, H, W)`` mirrored to the longer.

    Either half of what is missing must be less than the shorter side.
    """
    height, width = x.shape[-2:]
    if height == width:
        return x
    before, after = split_evenly(abs(height - width))
    sides = (before, after, 0, 0) if height > width else (0, 0, before, after)
    return F.pad(x, sides, mode="reflect")


def crop_padding(x: Tensor, height: int, width: int) -> Tensor:
    """Return the ``height x width`` pixels in the middle, the inverse of the padding."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
