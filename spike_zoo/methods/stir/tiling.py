"""Overlapping tiles of frames that need too much memory without tiles."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.nn.padding import centred_padding, crop_padding

WHOLE_PIXELS = 2**20  # largest frame that is not tiled by default: about 1.3 GB in float32
AUTOMATIC_SIDE = 1024
MIN_SIDE = 128
OVERLAP = 64  # pixels that adjacent tiles share
MARGIN = 16  # pixels at a tile's inner edges with weight 0: they lack context beyond the tile


@dataclass(frozen=True)
class Span:
    """One tile along one axis of the padded frame."""

    start: int  #: first pixel
    stop: int  #: one past the last pixel
    weight: Tensor  #: weight of each pixel of the span; the weights of all spans add up to 1


class TileGrid:
    """Overlapping tiles of a frame, aligned to the pyramid's grid and blended linearly.

    The frame is padded like an untiled frame, by replication of the border. Tiles begin at
    multiples of the pyramid's step; at other positions, pixels differ by 0.002 on average. The
    remaining differences are due to the attention, which depends on all pixels, and to motion from
    outside of a tile. On a 250 x 400 recording, tiles of 128 and 192 pixels differ from the untiled
    frame by 4e-5 at most.

    Args:
        height: Rows of the frame.
        width: Columns of the frame.
        multiple: Step of the pyramid in pixels.
        side: Largest side of a tile in pixels. 0 disables tiles; None is 1024 for frames above a
            million pixels, else 0.

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
        """Return one tile of planes ``(T, H, W)`` after padding, float32 ``(T, h, w)``."""
        rows, before_rows, after_rows = _inside(tile[0], self.top, self.size[0])
        columns, before_columns, after_columns = _inside(tile[1], self.left, self.size[1])
        part = planes[:, rows, columns].float()
        padding = (before_columns, after_columns, before_rows, after_rows)
        return F.pad(part, padding, mode="replicate") if any(padding) else part

    def join(self, images: list[Tensor]) -> Tensor:
        """Return the frame ``(B, 1, H, W)`` blended from images ``(B, 1, h, w)`` of ``tiles``."""
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
    """Raise ValueError for a side below 128 other than 0: such tiles are mostly overlap."""
    if side is not None and side != 0 and side < MIN_SIDE:
        raise ValueError(
            f"tile: sides of {side} pixels are too small, give at least {MIN_SIDE}, or 0 for "
            "no tiles"
        )


def spans(length: int, longest: int, multiple: int) -> list[Span]:
    """Return the smallest number of equal spans that cover a length, as short as possible.

    Spans begin at multiples of ``multiple`` pixels; the length and the longest span are such
    multiples.
    """
    count = max(1, math.ceil((length - OVERLAP) / (longest - OVERLAP))) if length > longest else 1
    side = math.ceil((length + (count - 1) * OVERLAP) / count / multiple) * multiple
    starts = [min(index * (side - OVERLAP), length - side) for index in range(count)]
    # The last span is moved back inside and may overlap by more than OVERLAP. Ramps then do not add
    # up to 1, so each is divided by the sum of all.
    total = torch.zeros(length)
    ramps = [_ramp(side, start > 0, start + side < length) for start in starts]
    for start, ramp in zip(starts, ramps, strict=True):
        total[start : start + side] += ramp
    return [
        Span(start, start + side, ramp / total[start : start + side])
        for start, ramp in zip(starts, ramps, strict=True)
    ]


def _ramp(side: int, has_before: bool, has_after: bool) -> Tensor:
    """Return the weight of a span's pixels, which decreases towards ends that overlap a span."""
    ramp = torch.ones(side)
    # 0 over the margin, 1 over the adjacent span's margin, linear in between.
    fade = (torch.arange(OVERLAP) + 0.5 - MARGIN) / (OVERLAP - 2 * MARGIN)
    fade = fade.clamp(0.0, 1.0)
    if has_before:
        ramp[:OVERLAP] = fade
    if has_after:
        ramp[-OVERLAP:] = torch.minimum(ramp[-OVERLAP:], fade.flip(0))
    return ramp


def _inside(span: Span, padding: int, length: int) -> tuple[slice, int, int]:
    """Return the slice of the unpadded axis in a span, and the padding before and after it."""
    start, stop = span.start - padding, span.stop - padding
    return slice(max(start, 0), min(stop, length)), max(-start, 0), max(stop - length, 0)
