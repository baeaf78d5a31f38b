"""The training loss of STIR: what the reconstruction and the coarser images are held to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.stir.decoder import Level
from spike_zoo.methods.stir.network import STIRPyramid
from spike_zoo.methods.stir.padding import pad_to_multiple

LEVEL_WEIGHTS = (0.5, 0.25, 0.25, 0.25)  # of levels 2, 3, 4, 5
PUBLISHED_PERCEPTUAL_WEIGHT = 0.2
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PerceptualLoss(nn.Module):
    """Mean squared difference of deep features of two gray images.

    Args:
        features: Frozen network from ``(B, 3, H, W)``, normalised as for ImageNet; the paper takes
            VGG19 up to and including relu5_1.
        shifted: Whether images are moved from [0, 1] to [0.5, 1] first, as in the published
            training, where images in [-1, 1] were expected.

    Shape:
        - image, target: ``(B, 1, H, W)`` in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Module, *, shifted: bool = True) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.shifted = shifted
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stay in evaluation mode: the features are frozen."""
        return super().train(False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Return the distance in feature space."""
        with torch.no_grad():
            wanted = self.features(self._prepared(target))
        return F.mse_loss(self.features(self._prepared(image)), wanted)

    def _prepared(self, image: Tensor) -> Tensor:
        image = (image + 1.0) / 2.0 if self.shifted else image
        return (image.expand(-1, 3, -1, -1) - self.mean) / self.std


class STIRLoss(nn.Module):
    """L1 of the reconstruction, L1 of the coarser images, and a perceptual term.

    The coarser images are compared with the ground truth averaged over 2x2 pixels as often as
    needed. Weights of 0 drop a term.

    Args:
        loss_rec: Weight of the reconstruction term.
        loss_ms: Weight of the multi-scale term.
        loss_per: Weight of the perceptual term; the paper's is 0.2.
        features: Network of the perceptual term, see :class:`PerceptualLoss`.
        clamp: Whether images are clamped to [0, 1] before they are compared, as published; pixels
            outside then get no gradient.

    Raises:
        ValueError: If a weight is negative, or the perceptual term has no features.

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
        weights = {"reconstruction": loss_rec, "multi_scale": loss_ms, "perceptual": loss_per}
        for name, weight in weights.items():
            if not weight >= 0:
                raise ValueError(
                    f"the weight of the {name} loss must not be negative, got {weight}"
                )
        if loss_per and features is None:
            raise ValueError("the perceptual loss needs the features it compares")
        self.weights = weights
        self.clamp = clamp
        self.perceptual = PerceptualLoss(features) if loss_per and features is not None else None

    def forward(self, pyramid: STIRPyramid, target: Tensor) -> dict[str, Tensor]:
        """Return the unweighted terms in use and their weighted sum ``"total"``.

        Args:
            pyramid: What :meth:`STIR.pyramid` found.
            target: ``(B, 1, H, W)`` in [0, 1].
        """
        levels = pyramid.levels
        target = pad_to_multiple(target, 2 ** (len(levels) - 1))
        terms: dict[str, Tensor] = {}
        if self.weights["reconstruction"]:
            terms["reconstruction"] = F.l1_loss(self._compared(levels[1]), target)
        if self.weights["multi_scale"]:
            terms["multi_scale"] = self._multi_scale(levels, target)
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(self._compared(levels[1]), target)
        weighted = [self.weights[name] * value for name, value in terms.items()]
        return {**terms, "total": torch.stack(weighted).sum()}

    def _compared(self, level: Level) -> Tensor:
        image = level.image.float() if level.image.dtype != torch.float64 else level.image
        return image.clamp(0.0, 1.0) if self.clamp else image

    def _multi_scale(self, levels: dict[int, Level], target: Tensor) -> Tensor:
        coarser = range(2, len(levels) + 1)
        total = torch.zeros((), device=target.device)
        for number, weight in zip(coarser, LEVEL_WEIGHTS, strict=False):
            target = F.avg_pool2d(target, kernel_size=2)
            total = total + weight * F.l1_loss(self._compared(levels[number]), target)
        return total / len(coarser)
