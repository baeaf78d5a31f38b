"""What each stage of S-SDM is held to: its own input, the grey blur, the teacher, the reblur."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kornia
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints.backbones import load_backbone
from spike_zoo.methods.ssdm.sdm import ChannelOrder, grey
from spike_zoo.metrics import lpips_network
from spike_zoo.nn.precision import without_autocast

SMALLEST_NORM = 1e-10
LEVELS = 5  # of VGG-16 that are compared
ROUNDING = 1e-3  # of Charbonnier's root, a quarter of a grey level
SCALES = 3
SSIM_SIDE = 11
LPIPS = "lpips"
PLUS = "+"
Distance = Callable[[Tensor, Tensor], Tensor]


def denoising_loss(rates: Tensor, denoised: Tensor, *, clamp: bool = True) -> Tensor:
    """Return how far denoised firing rates are from the noisy ones they were made of.

    Args:
        rates: ``(B, 1, h, w)``, what the blind-spot network was given.
        denoised: What it made of them.
        clamp: Whether that is clipped to [0, 1] first, as published; a pixel outside then gets no
            gradient, and a network without biases may begin with all of them outside.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, Eq. (9).
    """
    return F.mse_loss(denoised.clamp(0.0, 1.0) if clamp else denoised, rates)


def enlarging_loss(
    enlarged: Tensor, blur: Tensor, order: ChannelOrder = "rgb", *, clamp: bool = True
) -> Tensor:
    """Return how far the enlarged rate of an exposure is from its blurry image in grey.

    Args:
        enlarged: ``(B, 1, 4h, 4w)``.
        blur: ``(B, 3, 4h, 4w)`` in [0, 1].
        order: Of the blurry image's channels.
        clamp: Whether the enlarged rate is clipped to [0, 1] first, as published.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, Eq. (10).
    """
    return F.mse_loss(enlarged.clamp(0.0, 1.0) if clamp else enlarged, grey(blur, order))


class LPIPSDistance:
    """The LPIPS distance with VGG-16 of predictions to pseudo-labels, one value per image.

    Gradients flow to the predictions only. A pixel without any feature gets none, where the
    library's own form gives not a number.

    Args:
        path: File of VGG-16's weights, the convolutions alone or all; searched for by
            default.
        as_published: Show the network images in [0, 1] in the order they come in, which is B,G,R
            with the published weights. The network was made for R,G,B in [-1, 1]; the published
            balance of the losses was found without. False: images are R,G,B and moved to [-1, 1].

    Raises:
        MissingFileError: If there is no such file; says where it may be put.
        WeightsError: If it is another network's.

    Source: Zhang et al., *The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric*, CVPR 2018, version 0.1.
    """

    def __init__(self, path: str | Path | None = None, *, as_published: bool = True) -> None:
        # Not a module: checkpoints do not hold the published network's weights.
        self._network: Any = lpips_network(load_backbone("vgg", path), "vgg")
        state = self._network.state_dict()
        self.heads = [state[f"lin{level}.model.1.weight"] for level in range(LEVELS)]
        self.as_published = as_published

    def __call__(self, labels: Tensor, predictions: Tensor) -> Tensor:
        """Measure ``(N, 3, H, W)`` in [0, 1] -> ``(N,)``."""
        self._network.to(predictions.device)
        self.heads = [head.to(predictions.device) for head in self.heads]
        with torch.no_grad():
            wanted = self._features(labels)
        found = self._features(predictions)
        levels = [
            F.conv2d((one - two).square(), head).mean(dim=(1, 2, 3))
            for head, one, two in zip(self.heads, wanted, found, strict=True)
        ]
        return torch.stack(levels).sum(dim=0)

    def _features(self, image: Tensor) -> list[Tensor]:
        """Return the features of five levels, ``(N, C, h, w)``, of unit length at every pixel."""
        shown = image if self.as_published else 2.0 * image - 1.0
        found = self._network.net(self._network.scaling_layer(shown))
        return [_normalised(level) for level in found]


def _normalised(features: Tensor) -> Tensor:
    squares = features.square().sum(dim=1, keepdim=True)
    smallest = torch.finfo(squares.dtype).tiny  # a root of 0 has no gradient
    return features / (squares.clamp(min=smallest).sqrt() + SMALLEST_NORM)


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


class DistillationLoss(nn.Module):
    """Hold the student's sequence to the teacher's images and its mean to the blurry image.

    A weight of 0 drops its term.

    Args:
        distance: Maps pseudo-labels and predictions ``(N, 3, H, W)`` in [0, 1] to ``(N,)``, as
            :class:`LPIPSDistance`; not needed where the teacher's weight is 0.
        teacher: Weight of the distance to the pseudo-labels.
        reblur: Weight of the squared difference of the mean prediction and the blurry image.
        similarity: A further distance to the pseudo-labels, with the teacher's weight.
        clamp: Whether predictions are clipped to [0, 1] first, as published; a pixel outside then
            gets no gradient and can stay there.

    Raises:
        ValueError: If a weight is negative or all are 0, or the teacher's term has no distance.

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024, Eq. (12) to (14); means over the times, as released.
    """

    def __init__(
        self,
        distance: Distance | None,
        teacher: float = 1.0,
        reblur: float = 100.0,
        similarity: Distance | None = None,
        *,
        clamp: bool = True,
    ) -> None:
        super().__init__()
        weights = {"teacher": teacher, "reblur": reblur}
        if not (all(value >= 0 for value in weights.values()) and (teacher or reblur)):
            raise ValueError(f"loss weights must not be negative nor all 0, got {weights}")
        self.weights = {**weights, "similarity": teacher}
        if teacher and distance is None:
            raise ValueError("the teacher's term needs a distance")
        self.clamp = clamp
        self.distances = {"teacher": distance, "similarity": similarity} if teacher else {}

    def forward(self, blur: Tensor, labels: Tensor, predictions: Tensor) -> dict[str, Tensor]:
        """Return the unweighted terms in use and their weighted sum ``"total"``.

        Args:
            blur: ``(B, 3, H, W)`` in [0, 1].
            labels: ``(M, B, 3, H, W)``, the teacher's images at M times.
            predictions: The student's.
        """
        clipped = predictions.clamp(0.0, 1.0) if self.clamp else predictions
        terms: dict[str, Tensor] = {}
        for name, distance in self.distances.items():
            if distance is not None:
                terms[name] = distance(labels.flatten(0, 1), clipped.flatten(0, 1)).mean()
        if self.weights["reblur"]:
            terms["reblur"] = F.mse_loss(clipped.mean(dim=0), blur)
        weighted = [self.weights[name] * value for name, value in terms.items()]
        return {**terms, "total": torch.stack(weighted).sum()}
