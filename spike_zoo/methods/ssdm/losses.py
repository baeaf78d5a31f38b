"""Losses of S-SDM: denoising, enlarging, distillation with image distances, and reblur."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import kornia
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints.backbones import load_backbone
from spike_zoo.methods.ssdm.sdm import grey
from spike_zoo.metrics.perceptual import lpips_network
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.precision import without_autocast

MIN_NORM = 1e-10
LEVELS = 5  # levels of VGG-16 that are compared
ROUNDING = 1e-3  # epsilon of the Charbonnier distance: a quarter of a grey level of 8 bits
SCALES = 3
SSIM_SIDE = 11
LPIPS = "lpips"
SUM_SEPARATOR = "+"
Distance = Callable[[Tensor, Tensor], Tensor]


def denoising_loss(rates: Tensor, denoised: Tensor, *, clamp: bool = True) -> Tensor:
    """Return the mean squared error between denoised firing rates and their noisy input.

    Args:
        rates: ``(B, 1, h, w)``, input of the blind-spot network.
        denoised: Output of the network.
        clamp: Whether ``denoised`` is clipped to [0, 1] first, as published. Pixels outside then
            get no gradient; initially these may be all pixels of a network without biases.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, Eq. (9).
    """
    return F.mse_loss(denoised.clamp(0.0, 1.0) if clamp else denoised, rates)


def upsampling_loss(enlarged: Tensor, blur: Tensor, *, clamp: bool = True) -> Tensor:
    """Return the mean squared error between the enlarged rate of an exposure and its grey blur.

    Args:
        enlarged: ``(B, 1, 4h, 4w)``.
        blur: ``(B, 3, 4h, 4w)``, R,G,B in [0, 1].
        clamp: Whether the enlarged rate is clipped to [0, 1] first, as published.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024, Eq. (10).
    """
    return F.mse_loss(enlarged.clamp(0.0, 1.0) if clamp else enlarged, grey(blur))


class LPIPSDistance:
    """The LPIPS distance with VGG-16 of predictions to pseudo-labels, one value per image.

    Gradients flow to the predictions only. The gradient of a pixel whose features are all 0 is 0;
    it is NaN in the library's implementation.

    Args:
        path: File of VGG-16's weights, all layers or only convolutions; searched for by default.
        as_published: Whether images in [0, 1] are the input of VGG-16 in their channel order, which
            is B,G,R with the published weights. VGG-16 expects R,G,B in [-1, 1], but the published
            loss weights were tuned without this conversion. False: images are R,G,B and are mapped
            to [-1, 1].

    Raises:
        MissingFileError: If the file does not exist; the message states where to put it.
        WeightsError: If the file holds weights of another network.

    Source: Zhang et al., *The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric*, CVPR 2018, version 0.1.
    """

    def __init__(self, path: str | Path | None = None, *, as_published: bool = True) -> None:
        # Not a module, so that checkpoints do not contain the backbone's weights.
        self._network: Any = lpips_network(load_backbone("vgg", path), "vgg")
        state = self._network.state_dict()
        self.heads = [state[f"lin{level}.model.1.weight"] for level in range(LEVELS)]
        self.as_published = as_published

    def __call__(self, labels: Tensor, predictions: Tensor) -> Tensor:
        """Return the distances ``(N,)`` of images ``(N, 3, H, W)`` in [0, 1]."""
        self._network.to(predictions.device)
        self.heads = [head.to(predictions.device) for head in self.heads]
        with torch.no_grad():
            label_features = self._features(labels)
        predicted_features = self._features(predictions)
        levels = [
            F.conv2d((label - predicted).square(), head).mean(dim=(1, 2, 3))
            for head, label, predicted in zip(
                self.heads, label_features, predicted_features, strict=True
            )
        ]
        return torch.stack(levels).sum(dim=0)

    def _features(self, image: Tensor) -> list[Tensor]:
        """Return the features of five levels, ``(N, C, h, w)``, of unit length at every pixel."""
        image = image if self.as_published else 2.0 * image - 1.0
        levels = self._network.net(self._network.scaling_layer(image))
        return [_normalised(level) for level in levels]


def _normalised(features: Tensor) -> Tensor:
    squares = features.square().sum(dim=1, keepdim=True)
    smallest = torch.finfo(squares.dtype).tiny  # the gradient of the root is infinite at 0
    return features / (squares.clamp(min=smallest).sqrt() + MIN_NORM)


def charbonnier(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return the Charbonnier distance of each image: a mean absolute difference, smooth at 0.

    All distances of this module have the same arguments and output.

    Shape:
        - labels, predictions: ``(N, C, H, W)`` in [0, 1].
        - Output: ``(N,)``.
    """
    return _mean_charbonnier(predictions - labels)


def gradient(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return the Charbonnier distance of horizontal and vertical gradients, ``(N,)``."""
    difference = predictions - labels
    across, down = difference.diff(dim=-1), difference.diff(dim=-2)
    return 0.5 * (_mean_charbonnier(across) + _mean_charbonnier(down))


def multiscale(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return the mean Charbonnier distance at full, half and quarter size, ``(N,)``."""
    difference = predictions - labels
    values = [_mean_charbonnier(difference)]
    for _ in range(SCALES - 1):
        difference = F.avg_pool2d(difference, kernel_size=2)
        values.append(_mean_charbonnier(difference))
    return torch.stack(values).mean(dim=0)


def dissimilarity(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return 1 - SSIM: Gaussian window of 11 pixels, sigma 1.5, data range 1, no padding.

    Source: Wang et al., *Image Quality Assessment: From Error Visibility to Structural
    Similarity*, TIP 2004.
    """
    with without_autocast(predictions.device.type):  # variances need full precision
        pair = (labels.float(), predictions.float())
        similarity = kornia.metrics.ssim(*pair, window_size=SSIM_SIDE, padding="valid")
        return 1.0 - similarity.mean(dim=(1, 2, 3))


#: Distances that need no backbone, and the default weight of the reblur loss for each. The weights
#: give the published ratio of the two terms, 7 to 1, at their values at the end of training.
DISTANCES: dict[str, tuple[Distance, float]] = {
    "charbonnier": (charbonnier, 25.0),
    "gradient": (gradient, 25.0),
    "multiscale": (multiscale, 25.0),
    "ssim": (dissimilarity, 100.0),
}
LPIPS_REBLUR = 100.0  # as published


def default_reblur(name: str) -> float:
    """Return the default weight of the reblur loss for a distance."""
    return sum(
        LPIPS_REBLUR if part == LPIPS else DISTANCES[part][1] for part in summed_distances(name)
    )


def summed_distances(name: str) -> list[str]:
    """Return the names of the distances in a sum such as ``"charbonnier+ssim"``.

    Raises ValueError with the known names if a name is unknown.
    """
    parts = name.split(SUM_SEPARATOR)
    unknown = [part for part in parts if part != LPIPS and part not in DISTANCES]
    if unknown:
        raise ValueError(
            f"distance must be {LPIPS}, {', '.join(DISTANCES)} or a sum as 'charbonnier+ssim', got "
            f"{name!r}"
        )
    return parts


def make_distance(
    name: str, backbone: str | Path | None = None, *, as_published: bool = True
) -> Distance:
    """Return a distance by name.

    Args:
        name: ``"lpips"``, a name in :data:`DISTANCES`, or a sum such as ``"charbonnier+ssim"``.
        backbone: File of VGG-16's weights for LPIPS; searched for by default.
        as_published: See :class:`LPIPSDistance`.

    Raises:
        ValueError: If the name is unknown.
        MissingFileError: If LPIPS is used and its backbone does not exist.
    """
    distances = [
        LPIPSDistance(backbone, as_published=as_published) if part == LPIPS else DISTANCES[part][0]
        for part in summed_distances(name)
    ]
    if len(distances) == 1:
        return distances[0]

    def total(labels: Tensor, predictions: Tensor) -> Tensor:
        return torch.stack([distance(labels, predictions) for distance in distances]).sum(dim=0)

    return total


def _mean_charbonnier(difference: Tensor) -> Tensor:
    """Return the mean of ``sqrt(d^2 + e^2) - e`` over each image."""
    root = (difference.float().square() + ROUNDING**2).sqrt()
    return root.mean(dim=(1, 2, 3)) - ROUNDING


class DistillationLoss(nn.Module):
    """Loss of the student: distance to the teacher's images, and reblur loss.

    The reblur loss compares the mean of the predicted images with the blurry image. A term of
    weight 0 is not computed.

    Args:
        distance: Maps pseudo-labels and predictions ``(N, 3, H, W)`` in [0, 1] to ``(N,)``, as
            :class:`LPIPSDistance`; not needed if the teacher's weight is 0.
        teacher: Weight of the distance to the pseudo-labels.
        reblur: Weight of the mean squared error of the mean prediction to the blurry image.
        similarity: A further distance to the pseudo-labels, with the teacher's weight.
        clamp: Whether predictions are clipped to [0, 1] first, as published. Pixels outside then
            get no gradient and may stay outside.

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
            raise ValueError("the teacher's term needs a distance, or set its weight to 0")
        self.clamp = clamp
        self.distances = {"teacher": distance, "similarity": similarity} if teacher else {}

    def forward(self, blur: Tensor, labels: Tensor, predictions: Tensor) -> dict[str, Tensor]:
        """Return the unweighted terms in use and their weighted sum ``"total"``.

        Args:
            blur: ``(B, 3, H, W)`` in [0, 1].
            labels: ``(M, B, 3, H, W)``, the teacher's images at M times.
            predictions: ``(M, B, 3, H, W)``, the student's images.
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


Labels = Literal["teacher", "sharp", "none"]


@dataclass(frozen=True)
class DistillationOptions:
    """Options of the student's loss.

    Attributes:
        labels: Images of the distance: those of the teacher, the sharp images of the data
            (supervised training, a baseline of the paper), or none.
        distance: Distance to the labels, see :func:`make_distance`. The paper's is
            ``"lpips"``, which needs VGG-16's weights.
        lambda_reblur: Weight of the reblur loss; the weight of the distance is 1. By default 100
            for ``"lpips"``, as published, and :func:`default_reblur` for other distances.
        use_ssim: Whether 1 - SSIM to the teacher's images is added, an option of the release.
        backbone: File of VGG-16's weights; searched for by default.
        lpips_as_published: Whether LPIPS gets images without conversion, see
            :class:`LPIPSDistance`.
        clamp: Whether images are clipped to [0, 1], as published. Pixels outside then get no
            gradient and may stay outside.

    Raises:
        ValueError: If the labels or the distance are unknown, or all weights are 0 or one is
            negative.
    """

    labels: Labels = "teacher"
    distance: str = "charbonnier"
    lambda_reblur: float | None = None
    use_ssim: bool = False
    backbone: str | None = None
    lpips_as_published: bool = True
    clamp: bool = False

    def __post_init__(self) -> None:
        check_choice("labels", self.labels, Labels)
        summed_distances(self.distance)
        DistillationLoss(dissimilarity, float(self.has_labels), self.reblur)  # checks weights

    @property
    def has_labels(self) -> bool:
        """Whether the loss has a distance to labels."""
        return self.labels != "none"

    @property
    def reblur(self) -> float:
        """Weight of the reblur loss."""
        chosen = self.lambda_reblur
        return default_reblur(self.distance) if chosen is None else chosen

    def loss(self) -> DistillationLoss:
        """Return the loss.

        Raises:
            MissingFileError: If LPIPS is used and its backbone does not exist.
        """
        if not self.has_labels:
            return DistillationLoss(None, 0.0, self.reblur, clamp=self.clamp)
        published = self.lpips_as_published
        distance = make_distance(self.distance, self.backbone, as_published=published)
        similarity = dissimilarity if self.use_ssim else None
        return DistillationLoss(distance, 1.0, self.reblur, similarity, clamp=self.clamp)

    def __str__(self) -> str:
        """Return distance and weight for a note at the start of a fit."""
        distance = self.distance if self.has_labels else "none"
        note = "" if distance in (LPIPS, "none") else " (not the paper's, which is lpips)"
        names = {"teacher": "the teacher", "sharp": "sharp images", "none": "labels"}
        return f"distance to {names[self.labels]}: {distance}{note}; reblur x {self.reblur:g}"
