"""Centred padding to multiples and squares, and the inverse cropping."""

from torch import Tensor
from torch.nn import functional as F


def split_evenly(missing: int) -> tuple[int, int]:
    """Split a number of missing pixels into those added before and after."""
    return missing // 2, missing - missing // 2


def centred_padding(size: int, multiple: int) -> tuple[int, int]:
    """Return the pixels to add before and after to pad a size to the next multiple."""
    return split_evenly(-size % multiple)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad ``(B, C, H, W)`` by repeating its border until H and W are multiples."""
    top, bottom = centred_padding(x.shape[-2], multiple)
    left, right = centred_padding(x.shape[-1], multiple)
    if not (top or bottom or left or right):
        return x
    return F.pad(x, (left, right, top, bottom), mode="replicate")


def pad_to_square(x: Tensor) -> Tensor:
    """Pad ``(B, C, H, W)`` by reflection of its shorter side to a square.

    The padding on each side must be smaller than the shorter side.
    """
    height, width = x.shape[-2:]
    if height == width:
        return x
    before, after = split_evenly(abs(height - width))
    sides = (before, after, 0, 0) if height > width else (0, 0, before, after)
    return F.pad(x, sides, mode="reflect")


def crop_padding(x: Tensor, height: int, width: int) -> Tensor:
    """Return the central ``height x width`` pixels, the inverse of the padding."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
