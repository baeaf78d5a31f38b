"""Training loss of STIR: reconstruction, multi-scale and perceptual terms."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints.backbones import load_backbone
from spike_zoo.errors import WeightsError
from spike_zoo.methods.stir.decoder import Level
from spike_zoo.methods.stir.network import STIRPyramid
from spike_zoo.nn.padding import crop_padding, pad_to_multiple

LEVEL_WEIGHTS = (0.5, 0.25, 0.25, 0.25)  # of levels 2, 3, 4, 5
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
VGG19_LAYERS = 30  # up to and including relu5_1


def vgg19_features(path: str | Path | None = None) -> nn.Module:
    """Return VGG19 up to relu5_1: ``(B, 3, H, W)`` -> ``(B, 512, H/16, W/16)``.

    Args:
        path: Torchvision's file of weights; searched for by default.

    Raises:
        MissingFileError: If the file does not exist; the message states where to put it.
        WeightsError: If the file holds weights of another network.
    """
    import torchvision

    network = torchvision.models.vgg19(weights=None)
    try:
        network.load_state_dict(load_backbone("vgg19", path))
    except RuntimeError as error:
        raise WeightsError(f"{path or 'the backbone'}: not the weights of VGG19") from error
    return network.features[:VGG19_LAYERS]


def loss_weights(loss_rec: float, loss_ms: float, loss_per: float) -> dict[str, float]:
    """Return the weight of each term by name; raise ValueError if any is negative or all are 0."""
    weights = {"reconstruction": loss_rec, "multi_scale": loss_ms, "perceptual": loss_per}
    if not (all(weight >= 0 for weight in weights.values()) and any(weights.values())):
        raise ValueError(f"loss weights must not be negative nor all 0, got {weights}")
    return weights


class PerceptualLoss(nn.Module):
    """Mean squared difference of deep features of two gray images.

    Images in [0, 1] are mapped to [0.5, 1] first, as in the published training, which applies a
    mapping for images in [-1, 1].

    Args:
        features: Network with input ``(B, 3, H, W)``, normalised as for ImageNet. It is frozen and
            not part of this module's state.

    Shape:
        - image, target: ``(B, 1, H, W)`` in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        # In a tuple, so that checkpoints do not contain the backbone's weights.
        self._frozen = (features.eval().requires_grad_(False),)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Return the distance in feature space."""
        features = self._frozen[0].to(image.device)
        with torch.no_grad():
            target_features = features(self._normalised(target))
        return F.mse_loss(features(self._normalised(image)), target_features)

    def _normalised(self, image: Tensor) -> Tensor:
        image = (image + 1.0) / 2.0
        return (image.expand(-1, 3, -1, -1) - self.mean) / self.std


class STIRLoss(nn.Module):
    """L1 of the reconstruction, L1 of the coarser images, and a perceptual term.

    Coarser images are compared with the ground truth, which is averaged over 2x2 pixels once per
    level. A term of weight 0 is not computed.

    Args:
        loss_rec: Weight of the reconstruction term.
        loss_ms: Weight of the multi-scale term.
        loss_per: Weight of the perceptual term; 0.2 in the paper.
        features: Network of the perceptual term, see :class:`PerceptualLoss`.
        clamp: Whether images are clamped to [0, 1] before the comparison, as published. Pixels
            outside this range then get no gradient.

    Raises:
        ValueError: If a weight is negative or all are 0, or the perceptual term has no features.

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024.
    """

    def __init__(
        self,
        loss_rec: float = 1.0,
        loss_ms: float = 1.0,
        loss_per: float = 0.0,
        *,
        features: nn.Module | None = None,
        clamp: bool = True,
    ) -> None:
        super().__init__()
        if loss_per and features is None:
            raise ValueError(f"loss_per {loss_per} needs features, a network such as VGG19")
        self.weights = loss_weights(loss_rec, loss_ms, loss_per)
        self.clamp = clamp
        self.perceptual = PerceptualLoss(features) if loss_per and features is not None else None

    def forward(self, pyramid: STIRPyramid, target: Tensor) -> dict[str, Tensor]:
        """Return the unweighted terms in use and their weighted sum ``"total"``.

        Args:
            pyramid: Output of :meth:`STIR.pyramid`.
            target: ``(B, 1, H, W)`` in [0, 1].
        """
        image = crop_padding(self._float_image(pyramid.levels[1]), *target.shape[-2:])
        terms: dict[str, Tensor] = {}
        if self.weights["reconstruction"]:
            terms["reconstruction"] = F.l1_loss(image, target)
        if self.weights["multi_scale"]:
            terms["multi_scale"] = self._multi_scale(pyramid.levels, target)
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(image, target)
        weighted = [self.weights[name] * value for name, value in terms.items()]
        return {**terms, "total": torch.stack(weighted).sum()}

    def _float_image(self, level: Level) -> Tensor:
        image = level.image.to(torch.promote_types(level.image.dtype, torch.float32))
        return image.clamp(0.0, 1.0) if self.clamp else image

    def _multi_scale(self, levels: dict[int, Level], target: Tensor) -> Tensor:
        coarser = range(2, len(levels) + 1)
        target = pad_to_multiple(target, 2 ** len(coarser))  # the coarser images are not cropped
        distances = []
        for number, weight in zip(coarser, LEVEL_WEIGHTS, strict=False):
            target = F.avg_pool2d(target, kernel_size=2)
            distances.append(weight * F.l1_loss(self._float_image(levels[number]), target))
        return torch.stack(distances).sum() / len(coarser)
