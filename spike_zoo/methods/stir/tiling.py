"""Tiles of a frame: sensors whose pictures do not fit into memory as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.nn.padding import centred_padding, crop_padding

WHOLE_PIXELS = 2**20  # up to which a frame is computed as a whole: about 1.3 GB in float32
AUTOMATIC_SIDE = 1024
SMALLEST_SIDE = 128
OVERLAP = 64  # pixels that neighbouring tiles share
MARGIN = 16  # of these, next to a tile's inner edges, that are not shown: they lack what is beyond


@dataclass(frozen=True)
class Span:
    """One tile along one axis of the padded frame.

    Attributes:
        start: First pixel.
        stop: One past the last pixel.
        weight: Its share of every pixel; the shares of all spans add up to 1.
    """

    start: int
    stop: int
    weight: Tensor


class TileGrid:
    """Overlapping tiles of a frame, cut on the raster of the pyramid and blended linearly.

    The frame is padded as a whole would be, by repeating its border, and tiles begin on multiples
    of the pyramid's step: one that begins elsewhere shows other pixels by 0.002 on average. What is
    left is the attention, which looks at all pixels, and what moves in from beyond a tile: on a
    250 x 400 recording tiles of 128 and 192 pixels differ from the whole by 4e-5 at most.

    Args:
        height: Rows of the frame.
        width: Columns of the frame.
        multiple: The step of the pyramid.
        side: Largest side of a tile in pixels; 0 for the whole frame, None for 1024 above a
            million pixels.

    Raises:
        ValueError: If the side is below 128 pixels.
    """

    def __init__(self, height: int, width: int, multiple: int, side: int | None = None) -> None:
        check_side(side)
        self.size = (height, width)
        self.top, bottom = centred_padding(height, multiple)
        self.left, right = centred_padding(width, multiple)
        self.padded = (self.top + height + bottom, self.left + width + right)
        if side is None:
            side = AUTOMATIC_SIDE if math.prod(self.padded) > WHOLE_PIXELS else 0
        longest = side // multiple * multiple or max(self.padded)
        down, across = (spans(length, longest, multiple) for length in self.padded)
        self.tiles = [(rows, columns) for rows in down for columns in across]

    def cut(self, planes: Tensor, tile: tuple[Span, Span]) -> Tensor:
        """Return one tile ``(T, h, w)`` of the padded planes, given unpadded, in float32."""
        rows, before_rows, after_rows = _inside(tile[0], self.top, self.size[0])
        columns, before_columns, after_columns = _inside(tile[1], self.left, self.size[1])
        part = planes[:, rows, columns].float()
        padding = (before_columns, after_columns, before_rows, after_rows)
        return F.pad(part, padding, mode="replicate") if any(padding) else part

    def join(self, images: list[Tensor]) -> Tensor:
        """Return the frame ``(B, 1, H, W)`` of its tiles' images ``(B, 1, h, w)``, in order."""
        if len(images) == 1:
            return crop_padding(images[0], *self.size)
        frame = images[0].new_zeros(*images[0].shape[:2], *self.padded)
        for (rows, columns), image in zip(self.tiles, images, strict=True):
            weight = rows.weight[:, None] * columns.weight
            frame[..., rows.start : rows.stop, columns.start : columns.stop] += (
                weight.to(image) * image
            )
        return crop_padding(frame, *self.size)


def check_side(side: int | None) -> None:
    """Raise ValueError for a side below 128 but 0: such tiles are mostly overlap."""
    if side is not None and side != 0 and side < SMALLEST_SIDE:
        raise ValueError(
            f"tiles of {side} pixels are mostly overlap: give at least {SMALLEST_SIDE}, or 0 for "
            "the whole frame"
        )


def spans(length: int, longest: int, multiple: int) -> list[Span]:
    """Return equal spans over a length, as few and as short as cover it.

    Args:
        length: Pixels to cover, a multiple of ``multiple``.
        longest: Pixels of a span at most, a multiple of ``multiple``.
        multiple: Where spans may begin.
    """
    count = max(1, math.ceil((length - OVERLAP) / (longest - OVERLAP))) if length > longest else 1
    side = math.ceil((length + (count - 1) * OVERLAP) / count / multiple) * multiple
    starts = [min(index * (side - OVERLAP), length - side) for index in range(count)]
    # Ramps of neighbours that overlap by other than OVERLAP (the last span is moved back inside) do
    # not add up to 1 by themselves, so each is divided by the sum of all.
    total = torch.zeros(length)
    ramps = [_ramp(side, start > 0, start + side < length) for start in starts]
    for start, ramp in zip(starts, ramps, strict=True):
        total[start : start + side] += ramp
    return [
        Span(start, start + side, ramp / total[start : start + side])
        for start, ramp in zip(starts, ramps, strict=True)
    ]


def _ramp(side: int, has_before: bool, has_after: bool) -> Tensor:
    """Return the weight of a span's pixels, which fades towards its inner ends."""
    ramp = torch.ones(side)
    # 0 over the margin, 1 over the neighbour's margin, straight between.
    fade = (torch.arange(OVERLAP) + 0.5 - MARGIN) / (OVERLAP - 2 * MARGIN)
    fade = fade.clamp(0.0, 1.0)
    if has_before:
        ramp[:OVERLAP] = fade
    if has_after:
        ramp[-OVERLAP:] = torch.minimum(ramp[-OVERLAP:], fade.flip(0))
    return ramp


def _inside(span: Span, padding: int, length: int) -> tuple[slice, int, int]:
    """Return which pixels of the unpadded axis a span holds, and how many to add at its ends."""
    start, stop = span.start - padding, span.stop - padding
    return slice(max(start, 0), min(stop, length)), max(-start, 0), max(stop - length, 0)
