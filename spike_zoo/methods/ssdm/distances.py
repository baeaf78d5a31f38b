"""Distances of the student's images to the teacher's, by name; none but LPIPS needs a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kornia
import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.ssdm.losses import Distance, LPIPSDistance
from spike_zoo.nn.precision import without_autocast

if TYPE_CHECKING:
    from pathlib import Path

ROUNDING = 1e-3  # of Charbonnier's root, a quarter of a grey level
SCALES = 3
SSIM_SIDE = 11
LPIPS = "lpips"
PLUS = "+"


def charbonnier(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return the mean absolute difference of each image, rounded at 0.

    Every distance here has this form.

    Shape:
        - labels, predictions: ``(N, C, H, W)`` in [0, 1].
        - Output: ``(N,)``.
    """
    return _rounded(predictions - labels)


def gradient(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return how much neighbouring pixels differ otherwise, across and down."""
    difference = predictions - labels
    across, down = difference.diff(dim=-1), difference.diff(dim=-2)
    return 0.5 * (_rounded(across) + _rounded(down))


def multiscale(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return the mean absolute difference at full, half and quarter size, averaged."""
    difference = predictions - labels
    values = [_rounded(difference)]
    for _ in range(SCALES - 1):
        difference = F.avg_pool2d(difference, kernel_size=2)
        values.append(_rounded(difference))
    return torch.stack(values).mean(dim=0)


def dissimilarity(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return 1 - SSIM: Gaussian window of 11 pixels, sigma 1.5, data range 1, whole windows only.

    Source: Wang et al., *Image Quality Assessment: From Error Visibility to Structural
    Similarity*, TIP 2004.
    """
    with without_autocast(predictions.device.type):  # half precision would halve a variance
        pair = (labels.float(), predictions.float())
        similarity = kornia.metrics.ssim(*pair, window_size=SSIM_SIDE, padding="valid")
        return 1.0 - similarity.mean(dim=(1, 2, 3))


#: Distances that need no file, with the weight of the reblur loss beside each: in the published
#: proportion of the two terms, 7 to 1 at the end of training, for values seen there.
NAMED: dict[str, tuple[Distance, float]] = {
    "charbonnier": (charbonnier, 25.0),
    "gradient": (gradient, 25.0),
    "multiscale": (multiscale, 25.0),
    "ssim": (dissimilarity, 100.0),
}
LPIPS_REBLUR = 100.0  # as published


def default_reblur(name: str) -> float:
    """Return the weight of the reblur loss beside a distance, where nothing else is said."""
    return sum(LPIPS_REBLUR if part == LPIPS else NAMED[part][1] for part in summed_distances(name))


def summed_distances(name: str) -> list[str]:
    """Return the distances that a name adds up.

    Raises:
        ValueError: If one is unknown; lists the known.
    """
    parts = name.split(PLUS)
    unknown = [part for part in parts if part != LPIPS and part not in NAMED]
    if unknown:
        raise ValueError(
            f"distance must be {LPIPS}, {', '.join(NAMED)} or a sum as 'charbonnier+ssim', got "
            f"{name!r}"
        )
    return parts


def make_distance(
    name: str, backbone: str | Path | None = None, *, as_published: bool = True
) -> Distance:
    """Return a distance by name.

    Args:
        name: ``"lpips"``, one of :data:`NAMED`, or a sum of some, as ``"charbonnier+ssim"``.
        backbone: File of VGG-16's weights for LPIPS; searched for by default.
        as_published: See :class:`LPIPSDistance`.

    Raises:
        ValueError: If the name is unknown.
        MissingFileError: If LPIPS is wanted and its backbone is not at hand.
    """
    distances = [
        LPIPSDistance(backbone, as_published=as_published) if part == LPIPS else NAMED[part][0]
        for part in summed_distances(name)
    ]
    if len(distances) == 1:
        return distances[0]

    def total(labels: Tensor, predictions: Tensor) -> Tensor:
        return torch.stack([distance(labels, predictions) for distance in distances]).sum(dim=0)

    return total


def _rounded(difference: Tensor) -> Tensor:
    """Return the mean of ``sqrt(d^2 + e^2) - e`` over each image."""
    root = (difference.float().square() + ROUNDING**2).sqrt()
    return root.mean(dim=(1, 2, 3)) - ROUNDING
