"""How far estimated motion is from the true one, beside no motion at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def motion_spread(motions: Tensor) -> Tensor:
    """Return how little vectors lie on one line: 1 if all directions are equal, 0 on a line.

    The ratio of the deviations along the two principal axes of vectors about zero.

    Args:
        motions: ``(B, 2, H, W)``.
    """
    vectors = motions.double().transpose(0, 1).flatten(1)
    smaller, larger = torch.linalg.eigvalsh(vectors @ vectors.T / vectors.shape[1])
    return (smaller.clamp(min=0) / larger.clamp(min=1e-12)).sqrt().float()


def error_ratios(values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the ratio of the mean errors of the motion and of no motion, of all and by pace.

    Args:
        values: What was measured, as ``val/epe`` and ``val/epe_still_fast``.

    Returns:
        As ``val/epe_ratio`` and ``val/epe_ratio_fast``.
    """
    ratios = {}
    for name, still in values.items():
        stem, found, pace = name.partition("epe_still")
        if found and f"{stem}epe{pace}" in values and still > 0:
            ratios[f"{stem}epe_ratio{pace}"] = values[f"{stem}epe{pace}"] / still
    return ratios


end_point_error.higher_is_better = False  # type: ignore[attr-defined]
still_error.higher_is_better = False  # type: ignore[attr-defined]
