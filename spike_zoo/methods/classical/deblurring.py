"""Weights of groups of planes that are aligned along optical flow, and removal of motion blur."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch.nn import functional as F

from spike_zoo.methods.classical.alignment import HALF, LOOK, WINDOW
from spike_zoo.methods.classical.dispatch import is_compiled_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from spike_zoo.methods.classical.alignment import Intervals, PlaneAlignment

_SPREAD, _NOISE_SPREAD = 5, 15  # sides of the squares over which differences and noise are averaged
_TOLERANCE: Final = 1.5  # of a difference, in noise powers
_LEAST_NOISE: Final = 1e-5  # as a power, where white is 1
_ROUNDS: Final = 2
_STEP: Final = 0.6  # of the excess that is added in a round
_CAUTION: Final = 3.0  # noise powers in the Wiener filter of the excess
_SIDE: Final = 7  # of the squares in which its power is measured
_LEAST: Final = 0.2  # share of the groups that must have whole intervals


def box_filter(images: Tensor, side: int) -> Tensor:
    """Return means over squares around each pixel of ``(N, H, W)``, cut at the borders.

    Args:
        images: The images.
        side: Of the squares in pixels, odd.
    """
    if is_compiled_for(images.device):
        import cv2  # six times as fast

        options: dict[str, Any] = {"normalize": False, "borderType": cv2.BORDER_CONSTANT}
        sums = [cv2.boxFilter(one, -1, (side, side), **options) for one in images.numpy()]
        return torch.from_numpy(np.stack(sums)).div_(_pixels_in_square(*images.shape[1:], side))
    half = side // 2
    return F.avg_pool2d(images[:, None], side, 1, half, count_include_pad=False)[:, 0]


@functools.lru_cache(maxsize=8)
def _pixels_in_square(height: int, width: int, side: int) -> Tensor:
    """Return how many pixels the square around each pixel has, ``(H, W)``."""
    rows, columns = (torch.arange(size) for size in (height, width))
    half = side // 2
    counts = (
        (each + half).clamp(max=len(each) - 1) - (each - half).clamp(min=0) + 1
        for each in (rows, columns)
    )
    return torch.outer(*counts).float()


def group_weights(groups: Tensor, offsets: Sequence[int]) -> Tensor:
    """Return the weights of groups of planes at each pixel, ``(N, H, W)``, 1 in all.

    A group that differs from the middle ones by more than noise has less weight (something passed
    in front, or the flow is wrong), as has one further away. Noise is measured by the difference
    of the two groups beside the middle one.

    Args:
        groups: ``(N, H, W)``, means aligned to the middle plane, white about 1.
        offsets: Their middle planes relative to the middle one; one is 0.
    """
    middle = list(offsets).index(0)
    beside = groups[max(middle - 1, 0) : middle + 2]
    noise = box_filter((beside[-1:] - beside[:1]).square() / 2, _NOISE_SPREAD) + _LEAST_NOISE
    near, weights = beside.mean(dim=0), torch.empty_like(groups)
    for group, offset, weight in zip(groups, offsets, weights, strict=True):  # stays in the cache
        difference = box_filter((group - near).square_()[None], _SPREAD)
        excess = difference.div_(noise).sub_(_TOLERANCE).clamp_(min=0)
        share = max(1 - abs(offset) / (WINDOW // 2 + HALF + 1), 0.1) ** 0.5
        torch.div(share, excess.square_()[0].add_(1), out=weight)
    return weights.div_(weights.sum(dim=0))


def weighted_sum(weights: Tensor, images: Iterable[Tensor]) -> Tensor:
    """Return the sum of N images ``(H, W)`` times weights ``(N, H, W)``."""
    total = torch.zeros_like(weights[0])
    for weight, image in zip(weights, images, strict=True):  # no product as large as all images
        total.addcmul_(weight, image)
    return total


def deblurred(
    image: Tensor, intervals: Intervals, alignment: PlaneAlignment, weights: Tensor
) -> Tensor:
    """Remove the motion blur of intervals from an average along the flow.

    An interval measures the mean light between two spikes, during which objects move on: dark
    pixels blur most. What whole intervals measured beyond the image's prediction is moved back and
    added, as far as groups of planes agree.

    Args:
        image: ``(H, W)``, spikes per plane at the middle plane.
        intervals: Of a block of planes.
        alignment: The groups and their motion.
        weights: Of the groups, see :func:`group_weights`.

    Source: ours; iterative back-projection is Irani and Peleg's, CVGIP 1991.
    """
    clip = blur_clip(alignment, len(intervals.rates))
    whole = weighted_sum(weights, alignment.whole(intervals, clip)).clamp_(min=_LEAST)
    means = alignment.from_first.means
    for _ in range(_ROUNDS):  # without a name, the planes of differences are freed immediately
        added = _agreed(means(alignment.excess(image[None], intervals, clip)), whole, weights)
        image = (image + added).clamp(min=0)
    return image


def blur_clip(alignment: PlaneAlignment, planes: int) -> range:
    """Return the planes in which intervals may lie that measure the blur of a window.

    Args:
        alignment: The window.
        planes: How many planes there are.
    """
    window = alignment.planes
    return range(max(min(window) - LOOK, 0), min(max(window) + LOOK + 1, planes))


def trusted_excess(excess: Tensor, share: Tensor, weights: Tensor, caution: float) -> Tensor:
    """Return what a round adds where only a share of the pixels of each group was measured.

    Args:
        excess: ``(N, H, W)``, means of groups, in which pixels that were not measured are 0.
        share: ``(N, H, W)``, the share that was measured.
        weights: Of the groups.
        caution: Added to the share.
    """
    measured = weighted_sum(weights, share) + caution
    mean = weighted_sum(weights, excess) / measured
    away = ((one - mean * part).square_() for one, part in zip(excess, share, strict=True))
    spread = weighted_sum(weights, away)
    return _filtered(mean, spread / measured.square(), weights)


def _agreed(excess: Tensor, whole: Tensor, weights: Tensor) -> Tensor:
    """Return what a round adds: the weighted mean of groups, less where they differ."""
    mean = weighted_sum(weights, excess) / whole
    spread = weighted_sum(weights, ((one - mean).square_() for one in excess))
    return _filtered(mean, spread, weights)


def _filtered(mean: Tensor, spread: Tensor, weights: Tensor) -> Tensor:
    """Return a step of a mean after a Wiener filter.

    Args:
        mean: ``(H, W)``, of groups.
        spread: Variance of the groups.
        weights: Of the groups.
    """
    noise = spread * weighted_sum(weights, weights)
    power, noise = box_filter(torch.stack([mean.square(), noise]), _SIDE)
    return _STEP * (mean * power / (power + _CAUTION * noise + 1e-12))
