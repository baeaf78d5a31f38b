"""Likelihood of held-out spikes: a quality score of reconstructions without ground truth.

An integrate-and-fire pixel of threshold 1 that gathers charge A over K planes fires n times with
probability max(0, 1 - abs(n - A)), for any course of the light, because its phase is unknown. The
expected logarithm of this probability is largest at the true A.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import torch
from torch.nn import functional as F

from spike_zoo.nn.warp import warp

if TYPE_CHECKING:
    from torch import Tensor

SIGMA: Final = 0.25
"""Standard deviation of the charge: shot noise, jitter and small errors of the flow."""
EPSILON: Final = 0.01
"""Weight of a uniform distribution of counts (outliers)."""
MAX_SHIFT: Final = 6.0
"""Largest displacement to the held-out planes in pixels; flow beyond it is too inaccurate."""


class HeldOut(NamedTuple):
    """Score of an image's prediction of held-out spikes."""

    bits: float  #: gain over a histogram of counts in bits per pixel and plane; higher is better
    #: mean squared error of the predicted counts, divided by K squared; lower is better
    brier: float
    share: float  #: fraction of the pixels that are evaluated


def count_log2(
    counts: Tensor, charge: Tensor, planes: int, sigma: float = SIGMA, epsilon: float = EPSILON
) -> Tensor:
    """Return log2 of the probability of counts of spikes, float64.

    Args:
        counts: Spikes in ``planes`` planes.
        charge: Predicted light in these planes, in units of the threshold.
        planes: Number of planes.
        sigma: See :data:`SIGMA`.
        epsilon: See :data:`EPSILON`.
    """
    distance = counts.double() - charge.double()
    probability = _tent(distance + 1, sigma) - 2 * _tent(distance, sigma)
    probability += _tent(distance - 1, sigma)
    return ((1 - epsilon) * probability.clamp(min=0) + epsilon / (planes + 1)).log2()


def heldout_likelihood(
    image: Tensor,
    spikes: Tensor,
    offset: int,
    *,
    rate_scale: float,
    preceding: Tensor,
    velocity: Tensor | None = None,
    mask: Tensor | None = None,
    gain: Literal["fitted", "one"] = "fitted",
) -> HeldOut:
    """Score an image by later spikes that were not used for its reconstruction.

    Args:
        image: ``(1, H, W)`` or ``(H, W)`` in [0, 1].
        spikes: ``(K, H, W)``, consecutive held-out planes. At least 20 planes must lie between
            these and the planes used for the image: charge is conserved, so errors of neighbouring
            planes are opposite.
        offset: Planes from the image's plane to the first of ``spikes``.
        rate_scale: Spikes per plane at white.
        preceding: ``(K, H, W)``, the last planes before the held-out planes; their counts are the
            baseline.
        velocity: ``(2, H, W)``, (dx, dy) in pixels per plane; by default zero. Pixels that move by
            more than 6 pixels or come from outside the image are not evaluated.
        mask: bool ``(H, W)``; pixels with False are not evaluated either.
        gain: ``"fitted"`` scales the prediction to the number of spikes, so that the score is
            independent of the unknown brightness; ``"one"`` does not scale.

    Returns:
        The score; NaN if no pixel is evaluated.

    Raises:
        ValueError: If sizes differ.

    Example:
        >>> spikes = torch.zeros(11, 4, 4)
        >>> spikes[::2] = 1
        >>> score = heldout_likelihood(
        ...     torch.full((4, 4), 0.5), spikes, 53, rate_scale=1.0, preceding=spikes
        ... )
        >>> round(score.share, 1)
        1.0
    """
    image = image.reshape(image.shape[-2:]).double()
    if {image.shape, spikes.shape[1:], preceding.shape[1:]} != {image.shape}:
        raise ValueError(
            f"image {tuple(image.shape)}, spikes {tuple(spikes.shape)} and preceding "
            f"{tuple(preceding.shape)} must have one height and width"
        )
    planes = len(spikes)
    charge, inside = _carried(image, offset, planes, velocity)
    inside = inside if mask is None else inside & mask
    if not inside.any():
        return HeldOut(math.nan, math.nan, 0.0)
    counts = spikes.double().sum(dim=0)[inside]
    charge = rate_scale * charge[inside]
    if gain == "fitted":
        charge = charge * (counts.sum() / charge.sum().clamp(min=1e-12))
    charge = charge.clamp(0, planes)
    before = preceding.double().sum(dim=0)[inside].long()
    histogram = torch.bincount(before, minlength=planes + 1).double() + 0.5
    baseline = (histogram / histogram.sum())[counts.long()].log2()
    bits = (count_log2(counts, charge, planes) - baseline).mean() / planes
    brier = (counts - charge).square().mean() / planes**2
    return HeldOut(float(bits), float(brier), float(inside.double().mean()))


def _carried(
    image: Tensor, offset: int, planes: int, velocity: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the light of a moving image summed over some planes, and a mask of valid pixels."""
    height, width = image.shape
    if velocity is None:
        return planes * image, torch.ones_like(image, dtype=torch.bool)
    velocity = velocity.double()
    far = (offset + planes - 1) * velocity
    rows = torch.arange(height, dtype=torch.float64)[:, None] - far[1]
    columns = torch.arange(width, dtype=torch.float64) - far[0]
    inside = (far.norm(dim=0) <= MAX_SHIFT) & (rows >= 0) & (rows <= height - 1)
    inside &= (columns >= 0) & (columns <= width - 1)
    light = torch.zeros_like(image)
    for plane in range(offset, offset + planes):
        light += warp(image[None, None], -plane * velocity[None])[0, 0]
    return light, inside


def _tent(x: Tensor, sigma: float) -> Tensor:
    """Return max(x, 0), smoothed by a normal distribution."""
    if sigma == 0:
        return F.relu(x)
    cumulative = torch.special.ndtr(x / sigma)
    density = torch.exp(-(x / sigma).square() / 2) / math.sqrt(2 * math.pi)
    return x * cumulative + sigma * density
