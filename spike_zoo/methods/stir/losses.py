"""Training loss of STIR: reconstruction, multi-scale and perceptual terms."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.checkpoints.backbones import vgg19_features
from spike_zoo.methods.stir.decoder import Level
from spike_zoo.methods.stir.network import STIRPyramid
from spike_zoo.nn.padding import crop_padding, pad_to_multiple

LEVEL_WEIGHTS = (0.5, 0.25, 0.25, 0.25)  # of levels 2, 3, 4, 5
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TERMS = ("reconstruction", "multi_scale", "perceptual")


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


@dataclass(frozen=True)
class STIRLossOptions:
    """Weights of the terms of :class:`STIRLoss`, and what they compare.

    Attributes:
        reconstruction: Weight of the L1 of the reconstruction.
        multi_scale: Weight of the L1 of the coarser images.
        perceptual: Weight of the perceptual term; 0.2 in the paper. Needs VGG19's weights.
        backbone: File of VGG19's weights; searched for by default.
        clamp: Whether images are clamped to [0, 1] before the comparison, as published. Pixels
            outside this range then get no gradient.
        first_window: Whether a scene's first window has a loss; False in the paper.

    Raises:
        ValueError: If a weight is negative or all are 0.
    """

    reconstruction: float = 1.0
    multi_scale: float = 1.0
    perceptual: float = 0.0
    backbone: str | None = None
    clamp: bool = False
    first_window: bool = False

    def __post_init__(self) -> None:
        weights = self.weights.values()
        if not (all(weight >= 0 for weight in weights) and any(weights)):
            raise ValueError(f"loss weights must not be negative nor all 0, got {self.weights}")

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term by name."""
        return {name: getattr(self, name) for name in TERMS}


LOSS = STIRLossOptions()


class STIRLoss(nn.Module):
    """L1 of the reconstruction, L1 of the coarser images, and a perceptual term.

    Coarser images are compared with the ground truth, which is averaged over 2x2 pixels once per
    level. A term of weight 0 is not computed.

    Args:
        options: Weights of the terms.
        features: Network of the perceptual term, see :class:`PerceptualLoss`; VGG19 by default.

    Raises:
        MissingFileError: If the perceptual term is used and the file of VGG19 does not exist.

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024.
    """

    def __init__(self, options: STIRLossOptions = LOSS, features: nn.Module | None = None) -> None:
        super().__init__()
        self.weights, self.clamp = options.weights, options.clamp
        self.perceptual: PerceptualLoss | None = None
        if options.perceptual:
            self.perceptual = PerceptualLoss(features or vgg19_features(options.backbone))

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
