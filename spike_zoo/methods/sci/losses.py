"""What SCI's stages are trained by, each loss with its terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.blocks import warped
from spike_zoo.methods.sci.motion import FACTORS
from spike_zoo.metrics.smoothness import laplacian

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.methods.sci.fam import Branches

PRELIMINARY = 0.1
"""Weight of the preliminary images beside the final one."""
LEVEL_WEIGHTS = (0.4, 0.2, 0.1, 0.05, 0.025)
"""Weight of the end-point error at each level of the motion, the coarsest first."""


def smoothness_terms(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Return both norms of a feature's Laplacian, ``mean |Lap F|`` and ``mean (Lap F)^2``.

    Args:
        feature: ``(B, 3, H, W)``.
    """
    values = laplacian(feature)
    return values.abs().mean(), values.square().mean()


def extraction_terms(feature: Tensor, image: Tensor, w_lap: float) -> dict[str, Tensor]:
    """Return the terms of stage ``fem``: the anchor and the smoothness constraint.

    The anchor has no head that could learn: it keeps a feature from becoming smooth by fading.

    Args:
        feature: ``(B, 3, H, W)``.
        image: ``(B, 1, H, W)`` in [0, 1], the luminance at the feature's time.
        w_lap: Weight of the two Laplacian norms.
    """
    anchor = F.mse_loss(feature.float().mean(dim=1, keepdim=True), image)
    absolute, square = smoothness_terms(feature.float())
    total = anchor + w_lap * (absolute + square)
    return {"anchor": anchor, "lap1": absolute, "lap2": square, "total": total}


def motion_terms(
    motions: Sequence[Tensor],
    current: Tensor,
    reference: Tensor,
    truth: Tensor | None,
    w_true: float,
) -> dict[str, Tensor]:
    """Return the terms of stage ``motion``: the warped feature's error and, where known, the truth.

    Args:
        motions: Of every level, the coarsest first, see :meth:`MotionEstimation.pyramid`.
        current: ``(B, 3, H, W)``, of the size of the last motion.
        reference: The feature before it.
        truth: Backward motion ``(B, 2, H, W)``, NaN where unknown; None where no data have it.
        w_true: Weight of the end-point errors.
    """
    photometric = F.mse_loss(warped(reference.float(), motions[-1]), current.float())
    terms = {"warp": photometric, "total": photometric}
    if truth is not None and w_true > 0:
        errors = [
            end_point_error(motion, pooled_motion(truth, factor))
            for motion, factor in zip(motions, FACTORS, strict=True)
        ]
        weighted = torch.stack([w * e for w, e in zip(LEVEL_WEIGHTS, errors, strict=True)]).sum()
        terms |= {"epe": errors[-1].detach(), "true": weighted}
        terms["total"] = photometric + w_true * weighted
    return terms


def pooled_motion(truth: Tensor, factor: int) -> Tensor:
    """Return a motion at a smaller size, in pixels of that: the mean of what is known there.

    Args:
        truth: ``(B, 2, H, W)``, NaN where unknown.
        factor: How much smaller.
    """
    known = torch.isfinite(truth).all(dim=1, keepdim=True)
    share = F.avg_pool2d(known.to(truth.dtype), factor)
    mean = F.avg_pool2d(torch.where(known, truth, 0.0), factor) / share / factor
    return torch.where(share > 0, mean, torch.nan)


def end_point_error(motion: Tensor, truth: Tensor) -> Tensor:
    """Return the mean distance in pixels between a motion and the truth, where that is known."""
    known = torch.isfinite(truth).all(dim=1)
    difference = motion - torch.where(known[:, None], truth, 0.0)
    distance = (difference.square().sum(dim=1) + 1e-6).sqrt()  # no kink where both agree
    return (distance * known).sum() / known.sum().clamp(min=1)


def reconstruction_terms(found: Branches, image: Tensor) -> dict[str, Tensor]:
    """Return the terms of stage ``fam``: the image, and a tenth of the preliminary ones.

    Args:
        found: What FAM made.
        image: ``(B, 1, H, W)`` in [0, 1].
    """
    final, previous, following = (F.mse_loss(one.float(), image) for one in found)
    preliminary = previous + following
    return {
        "image": final,
        "preliminary": preliminary,
        "total": final + PRELIMINARY * preliminary,
    }
