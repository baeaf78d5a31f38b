"""Means over squares of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def box_filter(values: Tensor, side: int) -> Tensor:
    """Return means over squares around every pixel of ``(N, H, W)``, cut at the borders.

    Args:
        values: The pictures.
        side: Of the squares in pixels, odd.
    """
    near = F.avg_pool2d(values[:, None], side, 1, side // 2, count_include_pad=False)
    return near[:, 0]
