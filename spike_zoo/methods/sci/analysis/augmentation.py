"""Augmentation of images in training for recognition."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

TURN = math.pi / 2  # largest rotation in radians, for an amount of 1
_SHIFT = 0.8  # largest translation in halves of the shorter side, for an amount of 1


@dataclass(frozen=True)
class AugmentationOptions:
    """Random changes of images in training.

    Attributes:
        affine: Amount of rotation, scaling, shear and translation, see :func:`sample_affine`.
        flip: Whether half of the images are mirrored. Digits must not be.
        cutout: Side of a square that is replaced by the mean of its image, as a fraction of the
            shorter side; 0 replaces none.
        mixup: Largest weight of another image of the batch that is added to each image. Labels
            stay those of the larger part, so it is at most 0.5.
    """

    affine: float = 0.0
    flip: bool = False
    cutout: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        for name, limit in (("affine", 1.0), ("cutout", 1.0), ("mixup", 0.5)):
            if not 0 <= (value := getattr(self, name)) <= limit:
                raise ValueError(f"{name} must be from 0 to {limit:g}, got {value}")


AUGMENTATION = AugmentationOptions()


def augment(images: Tensor, options: AugmentationOptions, generator: torch.Generator) -> Tensor:
    """Return randomly changed images ``(B, C, H, W)``; the generator is on the CPU."""
    count = len(images)
    if options.affine:
        images = apply_affine(images, sample_affine(count, options.affine, generator))
    if options.flip:
        is_flipped = (torch.rand(count, 1, 1, 1, generator=generator) < 0.5).to(images.device)
        images = torch.where(is_flipped, images.flip(-1), images)
    if options.cutout:
        images = cut_out(images, options.cutout, generator)
    if options.mixup:
        weight = options.mixup * torch.rand(count, 1, 1, 1, generator=generator).to(images)
        images = images + weight * (images.roll(1, dims=0) - images)
    return images


def cut_out(images: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Replace a random square of each image ``(B, C, H, W)`` by the means of its channels.

    Squares may reach beyond the borders. Their side is a fraction of the shorter side.
    """
    height, width = images.shape[-2:]
    half = fraction * min(height, width) / 2
    centres = torch.rand(2, len(images), 1, generator=generator)
    rows = (torch.arange(height) + 0.5 - height * centres[0]).abs() < half
    columns = (torch.arange(width) + 0.5 - width * centres[1]).abs() < half
    inside = (rows[:, :, None] & columns[:, None]).to(images.device)
    return torch.where(inside[:, None], images.mean(dim=(-2, -1), keepdim=True), images)


def sample_affine(count: int, amount: float, generator: torch.Generator) -> Tensor:
    """Draw a random affine transform for each sample: rotation, scaling, shear and translation.

    Args:
        count: B, number of samples.
        amount: Strength. 0.15 rotates by up to 13 degrees, scales each axis by up to 16 %, shears
            by up to 0.15 and translates by up to 6 % of the shorter side.
        generator: Random generator on the CPU.

    Returns:
        ``(B, 2, 3)``, from output to input coordinates, in units of half the shorter side with the
        origin at the centre.
    """
    values = amount * (2 * torch.rand(count, 6, generator=generator) - 1)
    turn, scale_x, scale_y, shear = (values[:, n] for n in range(4))
    cosine, sine, zeros = (TURN * turn).cos(), (TURN * turn).sin(), torch.zeros(count)
    rotation = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    scaling = torch.stack([scale_x.exp(), shear, zeros, scale_y.exp()], dim=1).view(-1, 2, 2)
    return torch.cat([rotation @ scaling, _SHIFT * values[:, 4:, None]], dim=2)


def apply_affine(images: Tensor, distortion: Tensor) -> Tensor:
    """Apply :func:`sample_affine`'s transforms to ``(B, ..., H, W)``, replicating borders."""
    height, width = images.shape[-2:]
    # affine_grid() has coordinates in halves of each side, not of the shorter side
    halves = torch.tensor([width, height]) / min(width, height)
    linear = distortion[:, :, :2] * halves[None, None, :] / halves[None, :, None]
    translation = distortion[:, :, 2:] / halves[None, :, None]
    flat = images.flatten(1, -3)
    theta = torch.cat([linear, translation], dim=2).to(images)
    grid = F.affine_grid(theta, [len(flat), 1, height, width], align_corners=False)
    outputs = F.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return outputs.view_as(images)
