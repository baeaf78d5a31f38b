"""Weights of groups of planes aligned along optical flow, and deblurring of their average."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.classical.alignment import DEBLUR_MARGIN, HALF, WINDOW, PlaneAlignment
from spike_zoo.methods.classical.intervals import Intervals, is_compiled_for

_SPREAD, _NOISE_SPREAD = 5, 15  # sides of the squares over which differences and noise are averaged
_TOLERANCE: Final = 1.5  # difference that does not reduce a weight, in noise powers
_MIN_NOISE: Final = 1e-5  # smallest noise power; white is 1
_ROUNDS: Final = 2
_STEP: Final = 0.6  # share of the excess that is added in a round
_CAUTION: Final = 3.0  # factor of the noise power in the Wiener filter of the excess
_SIDE: Final = 7  # side of the squares over which the power of the excess is averaged
_MIN_VALUE: Final = 0.2  # lower bound of the share of groups with an interval inside the clip


def box_filter(images: Tensor, side: int) -> Tensor:
    """Return means of ``(N, H, W)`` over odd squares around each pixel, cut at the borders."""
    if is_compiled_for(images.device):
        sums = [_box_sum(image, side) for image in images.numpy()]
        return torch.from_numpy(np.stack(sums)).div_(_pixels_in_square(*images.shape[1:], side))
    half = side // 2
    return F.avg_pool2d(images[:, None], side, 1, half, count_include_pad=False)[:, 0]


@functools.lru_cache(maxsize=8)
def _pixels_in_square(height: int, width: int, side: int) -> Tensor:
    """Return the number of pixels in the square around each pixel, ``(H, W)``."""
    return torch.from_numpy(_box_sum(np.ones((height, width), np.float32), side))


def _box_sum(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    import cv2  # six times as fast as torch

    options: Any = {"normalize": False, "borderType": cv2.BORDER_CONSTANT}
    return np.asarray(cv2.boxFilter(image, -1, (side, side), **options))


def group_weights(groups: Tensor, offsets: Sequence[int]) -> Tensor:
    """Return the weights of groups of planes at each pixel, ``(N, H, W)``; they sum to 1.

    A group that differs from the groups around the middle by more than noise gets less weight
    (occlusion or wrong flow). Distant groups get less weight too. Noise is measured by the
    difference of the groups before and after the middle group.

    Args:
        groups: ``(N, H, W)``, means aligned to the middle plane, white about 1.
        offsets: Distance of each group from the middle group in planes; must contain 0.
    """
    middle = list(offsets).index(0)
    central = groups[max(middle - 1, 0) : middle + 2]
    noise = box_filter((central[-1:] - central[:1]).square() / 2, _NOISE_SPREAD) + _MIN_NOISE
    near, weights = central.mean(dim=0), torch.empty_like(groups)
    shares = [max(1 - abs(offset) / (WINDOW // 2 + HALF + 1), 0.1) ** 0.5 for offset in offsets]
    size = 1 if is_compiled_for(groups.device) else len(groups)  # one group is in the CPU's cache
    share_of_group = torch.tensor(shares, device=groups.device).view(-1, 1, 1)
    parts = (x.split(size) for x in (groups, share_of_group, weights))
    for group, share, weight in zip(*parts, strict=True):
        difference = box_filter((group - near).square_(), _SPREAD)
        excess = difference.div_(noise).sub_(_TOLERANCE).clamp_(min=0)
        torch.div(share, excess.square_().add_(1), out=weight)
    return weights.div_(weights.sum(dim=0))


def weighted_sum(weights: Tensor, images: Iterable[Tensor]) -> Tensor:
    """Return the sum of N images ``(H, W)`` times weights ``(N, H, W)``."""
    total = torch.zeros_like(weights[0])
    for weight, image in zip(weights, images, strict=True):  # avoids a product (N, H, W)
        total.addcmul_(weight, image)
    return total


def deblurred(
    image: Tensor, intervals: Intervals, alignment: PlaneAlignment, weights: Tensor
) -> Tensor:
    """Remove the motion blur of intervals from an average along the flow.

    An interval measures the mean light between two spikes. Objects move during the interval, so
    dark pixels blur most. Each round computes the excess of intervals over the image's prediction
    (:meth:`PlaneAlignment.excess`), aligns the excess to the middle plane and adds the mean. A
    Wiener filter reduces the mean where groups of planes differ.

    Args:
        image: ``(H, W)``, spikes per plane at the middle plane.
        intervals: Intervals of a block of planes.
        alignment: Alignment of the groups to the middle plane.
        weights: Weights of the groups, see :func:`group_weights`.

    Source: developed in this project, after the iterative back-projection of Irani and Peleg,
    CVGIP 1991.
    """
    clip = blur_clip(alignment, len(intervals.rates))
    whole = weighted_sum(weights, alignment.whole(intervals, clip)).clamp_(min=_MIN_VALUE)
    means = alignment.from_first.means
    for _ in range(_ROUNDS):  # the excess has no name, so that its memory is freed immediately
        added = _increment(means(alignment.excess(image[None], intervals, clip)), whole, weights)
        image = (image + added).clamp(min=0)
    return image


def blur_clip(alignment: PlaneAlignment, planes: int) -> range:
    """Return the range of a block's planes that may hold intervals used for deblurring."""
    window = alignment.planes
    return range(max(min(window) - DEBLUR_MARGIN, 0), min(max(window) + DEBLUR_MARGIN + 1, planes))


def trusted_excess(excess: Tensor, share: Tensor, weights: Tensor, caution: float) -> Tensor:
    """Return the increment of a round if only a share of the samples of each group was measured.

    ``excess`` are means of groups ``(N, H, W)`` in which samples that were not measured count as 0,
    and ``share`` are the shares of measured samples. ``caution`` is added to the mean share, so
    that few samples give a small increment.
    """
    measured = weighted_sum(weights, share) + caution
    mean = weighted_sum(weights, excess) / measured
    deviations = (
        (group - mean * part).square_() for group, part in zip(excess, share, strict=True)
    )
    spread = weighted_sum(weights, deviations)
    return _filtered(mean, spread / measured.square(), weights)


def _increment(excess: Tensor, whole: Tensor, weights: Tensor) -> Tensor:
    """Return the increment of a round: the weighted mean of groups, reduced where they differ."""
    mean = weighted_sum(weights, excess) / whole
    spread = weighted_sum(weights, ((group - mean).square_() for group in excess))
    return _filtered(mean, spread, weights)


def _filtered(mean: Tensor, spread: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of groups times a Wiener filter (from their variance) and step size."""
    noise = spread * weighted_sum(weights, weights)
    power, noise = box_filter(torch.stack([mean.square(), noise]), _SIDE)
    return _STEP * (mean * power / (power + _CAUTION * noise + 1e-12))
