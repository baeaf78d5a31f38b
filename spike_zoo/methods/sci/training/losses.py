"""What SCI's stages are trained by, each loss with its terms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.analysis.fam import FAMOutput
from spike_zoo.methods.sci.codec.frames import DecodedFrame
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.blocks import warped
from spike_zoo.methods.sci.features.motion_estimation import FACTORS
from spike_zoo.metrics.smoothness import laplacian
from spike_zoo.nn.flow import mean_error, motion_loss

PRELIMINARY = 0.1
"""Weight of the preliminary images beside the final one."""


def extraction_terms(feature: Tensor, image: Tensor, smoothness_weight: float) -> dict[str, Tensor]:
    """Return the terms of stage ``fem``: the anchor and the smoothness constraint.

    The anchor has no head that could learn: it keeps a feature from becoming smooth by fading.

    Args:
        feature: ``(B, 3, H, W)``.
        image: ``(B, 1, H, W)`` in [0, 1], the luminance at the feature's time.
        smoothness_weight: Weight of the two Laplacian norms.
    """
    anchor = F.mse_loss(feature.float().mean(dim=1, keepdim=True), image)
    values = laplacian(feature.float())
    absolute, square = values.abs().mean(), values.square().mean()
    total = anchor + smoothness_weight * (absolute + square)
    return {"anchor": anchor, "lap1": absolute, "lap2": square, "total": total}


def motion_terms(
    motions: Sequence[Tensor],
    current: Tensor,
    reference: Tensor,
    truth: Tensor | None,
    flow_loss_weight: float,
) -> dict[str, Tensor]:
    """Return the terms of stage ``motion``: the warped feature's error and, where known, the truth.

    Args:
        motions: Of every level, the coarsest first, see :meth:`MotionEstimation.pyramid`.
        current: ``(B, 3, H, W)``, of the size of the last motion.
        reference: The feature before it.
        truth: Backward motion ``(B, 2, H, W)``, NaN where unknown; None where no data have it.
        flow_loss_weight: Weight of the end-point errors.
    """
    photometric = F.mse_loss(warped(reference.float(), motions[-1]), current.float())
    terms = {"warp": photometric, "total": photometric}
    if truth is not None and flow_loss_weight > 0:
        weighted = motion_loss(dict(zip(FACTORS, motions, strict=True)), truth)
        terms |= {"epe": mean_error(motions[-1], truth).detach(), "true": weighted}
        terms["total"] = photometric + flow_loss_weight * weighted
    return terms


def reconstruction_terms(found: FAMOutput, image: Tensor) -> dict[str, Tensor]:
    """Return the terms of stage ``fam``: the image, and a tenth of the preliminary ones.

    Args:
        found: What FAM made.
        image: ``(B, 1, H, W)`` in [0, 1].
    """
    final, previous, following = (F.mse_loss(one.float(), image) for one in found)
    preliminary = previous + following
    total = final + PRELIMINARY * preliminary
    return {"image": final, "preliminary": preliminary, "total": total}


def rate_of(symbols: RateEstimator, group: Sequence[Tensor]) -> Tensor:
    """Return the bits of a pixel of a feature, the mean over frames."""
    samples, _, height, width = group[0].shape
    return torch.as_tensor(symbols.bits) / (len(group) * samples * height * width)


def distortion_of(frames: Sequence[DecodedFrame], group: Sequence[Tensor]) -> Tensor:
    """Return the mean square error of decoded features, the mean over frames."""
    errors = [F.mse_loss(frame.feature, one) for frame, one in zip(frames, group, strict=True)]
    return torch.stack(errors).mean()


def motion_error(frames: Sequence[DecodedFrame]) -> Tensor:
    """Return the mean difference of decoded and estimated motion in pixels.

    No gradient reaches the estimation.
    """
    errors = [
        (one.motion - one.estimated.detach()).abs().mean()
        for one in frames
        if one.estimated is not None
    ]
    return torch.stack(errors).mean()
