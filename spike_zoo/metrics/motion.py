"""How far estimated motion is from the true one, beside no motion at all."""

from __future__ import annotations

import torch
from torch import Tensor


def end_point_error(motions: Tensor, truths: Tensor) -> Tensor:
    """Return the mean distance in pixels between each motion and the truth, where that is known.

    Shape:
        - motions: ``(B, 2, H, W)``.
        - truths: ``(B, 2, H, W)``, NaN where unknown; somewhere known.
        - Output: ``(B,)``.
    """
    known = torch.isfinite(truths).all(dim=1)
    distances = torch.linalg.vector_norm(motions - truths.nan_to_num(), dim=1)
    return (distances * known).sum(dim=(1, 2)) / known.sum(dim=(1, 2))


def still_error(motions: Tensor, truths: Tensor) -> Tensor:
    """Return the end-point error of no motion: how far things moved. Shapes as above."""
    return end_point_error(torch.zeros_like(motions), truths)


end_point_error.higher_is_better = False  # type: ignore[attr-defined]
still_error.higher_is_better = False  # type: ignore[attr-defined]
