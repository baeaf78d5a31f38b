"""Losses of SCI's training stages."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.analysis.fam import FAMOutput
from spike_zoo.methods.sci.codec.frame_encoder import DecodedFrame
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.methods.sci.features.blocks import warp_features
from spike_zoo.methods.sci.features.motion_estimation import FACTORS
from spike_zoo.metrics import smoothness
from spike_zoo.nn import flow as flow_losses

PRELIMINARY = 0.1
"""Weight of the errors of the preliminary images."""


def extraction_terms(feature: Tensor, image: Tensor, smoothness_weight: float) -> dict[str, Tensor]:
    """Return the terms of stage ``fem``: the anchor and the weighted smoothness constraint.

    The anchor is the error of the feature's mean over channels against the image, without trainable
    layers. It prevents features from becoming smooth by losing contrast.
    """
    anchor = F.mse_loss(feature.float().mean(dim=1, keepdim=True), image)
    values = smoothness.laplacian(feature.float())
    absolute, square = values.abs().mean(), values.square().mean()
    total = anchor + smoothness_weight * (absolute + square)
    return {"anchor": anchor, "lap1": absolute, "lap2": square, "total": total}


def flow_terms(
    motions: Sequence[Tensor],
    current: Tensor,
    reference: Tensor,
    truth: Tensor | None,
    flow_loss_weight: float,
) -> dict[str, Tensor]:
    """Return the terms of stage ``motion``: errors of the warped feature and of the motion.

    ``motions`` are those of each level, see :meth:`MotionEstimation.pyramid`. The last has the size
    of the features ``(B, 3, H, W)`` and of the true backward motion ``(B, 2, H, W)``, NaN where
    unknown.
    """
    photometric = F.mse_loss(warp_features(reference.float(), motions[-1]), current.float())
    terms = {"warp": photometric, "total": photometric}
    if truth is not None and flow_loss_weight > 0:
        weighted = flow_losses.flow_loss(dict(zip(FACTORS, motions, strict=True)), truth)
        terms |= {"epe": flow_losses.mean_error(motions[-1], truth).detach(), "true": weighted}
        terms["total"] = photometric + flow_loss_weight * weighted
    return terms


def reconstruction_terms(output: FAMOutput, truth: Tensor) -> dict[str, Tensor]:
    """Return the terms of stage ``fam``: errors of the image and of the preliminary images."""
    final, previous, following = (F.mse_loss(image.float(), truth) for image in output)
    preliminary = previous + following
    total = final + PRELIMINARY * preliminary
    return {"image": final, "preliminary": preliminary, "total": total}


def rate_of(symbols: RateEstimator, group: Sequence[Tensor]) -> Tensor:
    """Return the bits per pixel of a feature, averaged over the frames of a group."""
    samples, _, height, width = group[0].shape
    return torch.as_tensor(symbols.bits) / (len(group) * samples * height * width)


def distortion_of(frames: Sequence[DecodedFrame], group: Sequence[Tensor]) -> Tensor:
    """Return the mean square error of decoded features, averaged over frames."""
    pairs = zip(frames, group, strict=True)
    return torch.stack([F.mse_loss(frame.feature, target) for frame, target in pairs]).mean()


def motion_error(frames: Sequence[DecodedFrame]) -> Tensor:
    """Return the mean absolute difference of decoded and estimated motion in pixels.

    The estimated motion has no gradient.
    """
    errors = [
        (frame.motion - frame.estimated.detach()).abs().mean()
        for frame in frames
        if frame.estimated is not None
    ]
    return torch.stack(errors).mean()
