"""Coarse-to-fine motion estimation between features, chaining over time, and refinement (FMVR)."""

import itertools
import math
from collections.abc import Sequence
from functools import partial

import torch
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.classical.flow import image_flow
from spike_zoo.methods.sci.features.blocks import (
    FEATURES,
    check_width,
    conv3,
    scale_channels,
    warp_features,
)
from spike_zoo.nn.padding import crop_padding, pad_to_multiple
from spike_zoo.nn.precision import in_full_precision, without_autocast
from spike_zoo.nn.threads import results_in_order

FACTORS = (16, 8, 4, 2, 1)
"""Downsampling factors of the pyramid's levels, the coarsest first."""
INVERSE_STEPS = 2
FAINTEST = 1e-3
"""Added to the standard deviation of features, so that noise in dark scenes is not amplified."""


SMOOTHING = 12.0
"""Standard deviation of the filter of :func:`smooth_flow` in pixels."""
FLATTEST = 1e-5
"""Added to gradients, so that motion is also smoothed and fitted where a feature is flat."""

FIT_STRIDE = 2
"""Distance of the pixels that :func:`fit_affine` uses."""
FIT_SCALES = (4.0, 4.0, 2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25)
"""Distance in pixels at which the weight of a motion is halved, for each of its iterations."""
REFINING_STEPS = 4
REFINING_SCALE = 0.05
"""Difference of brightness at which :func:`refine_affine` halves the weight of a pixel."""


class LevelNet(nn.Module):
    """Network of one pyramid level, which predicts a correction of the motion."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [2 * FEATURES + 2, *(scale_channels(c, width) for c in (32, 64, 32, 16))]
        pairs = itertools.pairwise(channels)
        layers = [(nn.Conv2d(a, b, 5, padding=2), nn.ReLU()) for a, b in pairs]
        self.layers = nn.Sequential(*(layer for pair in layers for layer in pair))
        self.last = nn.Conv2d(channels[-1], 2, 5, padding=2)

    def forward(self, current: Tensor, reference: Tensor, motion: Tensor) -> Tensor:
        """Return the corrected motion ``(B, 2, h, w)`` in pixels of this level.

        ``current`` and ``reference``, the earlier feature, are ``(B, 3, h, w)``.
        """
        inputs = torch.cat(
            [current, warp_features(reference, motion), motion.to(current.dtype)], dim=1
        )
        return motion + in_full_precision(self.last, self.layers(inputs))


class DISMotion(nn.Module):
    """Estimate the backward motion between two features by DIS optical flow, without parameters.

    Shapes as of :class:`MotionEstimation`. It is computed on the CPU, from the means of features
    over their channels, and has no gradient. Not in the paper.
    """

    @torch.no_grad()
    def forward(self, current: Tensor, reference: Tensor) -> Tensor:
        """Return the motion, float32."""
        if current.is_meta:
            return current[:, :2].float()
        images = (feature.float().mean(dim=1).cpu() for feature in (current, reference))
        jobs = (partial(image_flow, *pair) for pair in zip(*images, strict=True))
        threads = min(len(current), torch.get_num_threads())
        return torch.stack(list(results_in_order(jobs, threads))).to(current.device)


class MotionEstimation(nn.Module):
    """Estimate the backward motion between two features, from coarse to fine.

    Args:
        width: Multiplier of the channels; 1 is the paper's budget.

    Shape:
        - current, reference: ``(B, 3, H, W)``, a feature and an earlier feature.
        - Output: ``(B, 2, H, W)`` in pixels, (dx, dy): ``reference(x + v(x)) ~ current(x)``.

    Source: Sec. IV-B of the paper, which estimates motion between a feature and the previous
    decoded feature. The pyramid is the usual one of learned video codecs, trained from scratch.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        check_width("codec_width", width)
        self.levels = nn.ModuleList(LevelNet(width) for _ in FACTORS)

    def forward(self, current: Tensor, reference: Tensor) -> Tensor:
        """Return the motion at full size, float32."""
        return crop_padding(self.pyramid(current, reference)[-1], *current.shape[-2:])

    def pyramid(self, current: Tensor, reference: Tensor) -> list[Tensor]:
        """Return the motion of each level, the coarsest first.

        The size of a level is the size of the features, padded to a multiple of 16, divided by its
        factor in :data:`FACTORS`. Motion is in pixels of that size.
        """
        pair = normalize_pair(torch.stack([current, reference], dim=1)).unbind(1)
        current, reference = (pad_to_multiple(x, FACTORS[0]) for x in pair)
        pairs = [[current, reference]]
        for _ in FACTORS[1:]:
            pairs.insert(0, [F.avg_pool2d(x, 2) for x in pairs[0]])
        motion = torch.zeros_like(pairs[0][0][:, :2])
        motions: list[Tensor] = []
        for level, smaller in zip(self.levels, pairs, strict=True):
            if motions:
                motion = 2 * F.interpolate(motions[-1], scale_factor=2, mode="bilinear")
            motions.append(level(*smaller, motion))
        return motions


def normalize_pair(pair: Tensor) -> Tensor:
    """Normalise pairs of features ``(B, 2, 3, H, W)`` to joint mean 0 and standard deviation 1.

    Differences by motion are small compared with brightness. Without normalisation, the first
    levels do not improve in 300 updates; with it, their error falls by an eighth.
    """
    pair = pair.float()
    dims = (1, 2, 3, 4)
    deviation = pair.std(dims, correction=0, keepdim=True)
    return (pair - pair.mean(dims, keepdim=True)) / (deviation + FAINTEST)


def smooth_flow(motion: Tensor, feature: Tensor) -> Tensor:
    """Return the mean of motion around each pixel, weighted by squared gradients of a feature.

    Estimated motion is noise where a feature is flat. There, it becomes the motion of the edges
    nearby, which needs fewer bits.

    Args:
        motion: ``(B, 2, H, W)``.
        feature: ``(B, C, H, W)``; its mean over the channels is used.
    """
    gradient = spatial_gradient(feature.float().mean(dim=1, keepdim=True))
    weight = gradient.square().sum(dim=2) + FLATTEST
    size, deviations = (2 * math.ceil(3 * SMOOTHING) + 1,) * 2, (SMOOTHING,) * 2
    weighted = torch.cat([motion * weight, weight], dim=1)
    with without_autocast(motion.device.type):
        total = gaussian_blur2d(weighted, size, deviations, border_type="replicate")
    return total[:, :2] / total[:, 2:]


def fit_affine(motion: Tensor, feature: Tensor) -> Tensor:
    """Return the affine motion of most edges of a feature, ``(B, 6, 1, 1)``.

    Motion is ``(B, 2, H, W)``. Weighted least squares over the pixels: edges have a large weight,
    and pixels whose motion is far from the last fit (other objects) a small one.
    """
    motion, feature = motion[..., ::FIT_STRIDE, ::FIT_STRIDE], feature.float().mean(1, keepdim=True)
    weight = spatial_gradient(feature).norm(dim=2)[..., ::FIT_STRIDE, ::FIT_STRIDE].flatten(1)
    terms = affine_terms(*motion.shape[-2:]).to(motion).flatten(1).mT
    values, robust = motion.flatten(2).mT, torch.ones_like(weight)
    with without_autocast(motion.device.type):
        for scale in FIT_SCALES:
            weighted = terms * ((weight + FLATTEST) * robust)[..., None]
            matrix = weighted.mT @ terms + FLATTEST * torch.eye(3).to(motion)
            solution = torch.linalg.solve(matrix, weighted.mT @ values)
            robust = 1 / (1 + ((terms @ solution - values).norm(dim=2) / scale) ** 2)
    return solution.mT.reshape(-1, 6, 1, 1)


@torch.no_grad()
def refine_affine(affine: Tensor, feature: Tensor, reference: Tensor) -> Tensor:
    """Return affine motion along which the warped reference frame is closer to a feature.

    Gauss-Newton steps on the square difference, in which pixels of objects with another motion have
    little weight. Samples that they do not improve keep their motion.

    Args:
        affine: ``(B, 6, 1, 1)``.
        feature: ``(B, C, H, W)``; its mean over the channels is used.
        reference: An earlier feature.
    """
    with without_autocast(affine.device.type):
        current, earlier = (x.float().mean(1, keepdim=True) for x in (feature, reference))
        size = current.shape[-2], current.shape[-1]
        terms = affine_terms(*size).to(current)
        brightness = torch.cat([earlier, spatial_gradient(earlier)[:, 0]], dim=1)

        def warped(affine: Tensor) -> Tensor:
            return warp_features(brightness, affine_flow(affine, size))

        def error(affine: Tensor) -> Tensor:
            square = (warped(affine)[:, :1] - current).square()
            return square.mean(dim=(1, 2, 3), keepdim=True)

        refined = affine
        for _ in range(REFINING_STEPS):
            predicted, gradient = warped(refined).tensor_split([1], dim=1)
            rest = (current - predicted).flatten(1)[..., None]
            factors = (gradient[:, :, None] * terms).flatten(3).flatten(1, 2)
            weighted = factors / (1 + (rest.mT / REFINING_SCALE) ** 2)
            matrix = weighted @ factors.mT + FLATTEST * torch.eye(6).to(current)
            refined = refined + torch.linalg.solve(matrix, weighted @ rest)[..., None]
        return torch.where(error(refined) < error(affine), refined, affine)


def affine_flow(affine: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the motion ``(B, 2, H, W)`` of the parameters ``(B, 6, 1, 1)``.

    Each component has three, in pixels: the motion in the middle, its change from there to the
    right border, and its change to the lower border.
    """
    parameters = affine.reshape(-1, 2, 3, 1, 1)
    return (parameters * affine_terms(*size).to(affine)).sum(dim=2)


def affine_terms(height: int, width: int) -> Tensor:
    """Return the factors of the parameters of affine motion, ``(3, H, W)``."""
    rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([torch.ones_like(x), x, y])


def invert_flow(motion: Tensor) -> Tensor:
    """Return the inverse of a motion ``(B, 2, H, W)`` to an earlier time.

    It is found by the fixed-point iteration ``u <- -v(x + u)`` from the negative motion.
    """
    back = -motion
    for _ in range(INVERSE_STEPS):
        back = -warp_features(motion, back)
    return back


def chain_flows(motions: Sequence[Tensor]) -> Tensor:
    """Return the motions from a time t to t-2, t-1, t+1 and t+2, ``(B, 4, 2, H, W)``.

    The arguments are the backward motions of t-1, t, t+1 and t+2 to the previous time, each
    ``(B, 2, H, W)``. A missing motion is zero; the rest of the chain still applies.
    """
    before, current, after, later = motions
    forward, onward = invert_flow(after), invert_flow(later)
    far_back = current + warp_features(before, current)
    far_forward = forward + warp_features(onward, forward)
    return torch.stack([far_back, current, forward, far_forward], dim=1)


class FMVR(nn.Module):
    """Refine decoded motion by the decoded feature (feature-level motion vector refinement).

    Before training, the motion is not changed.

    Shape:
        - motion: ``(B, 2, H, W)`` in pixels.
        - feature: ``(B, 3, H, W)``.
        - Output: ``(B, 2, H, W)``.

    Source: the paper's Eq. (8), convolutions with small kernels. Its channels are fixed.
    """

    def __init__(self) -> None:
        super().__init__()
        layers = conv3(2 + FEATURES, 16), conv3(16, 16), nn.Conv2d(16, 16, 1), conv3(16, 8)
        rectified = itertools.chain.from_iterable((layer, nn.ReLU()) for layer in layers)
        self.layers = nn.Sequential(*rectified, conv3(8, 2))
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, motion: Tensor, feature: Tensor) -> Tensor:
        """Return the refined motion."""
        return motion + self.layers(torch.cat([motion, feature], dim=1))
