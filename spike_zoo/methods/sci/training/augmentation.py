"""Affine augmentation of features and motion for recognition."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TURN = math.pi / 2  # largest rotation in radians, for an amount of 1
_SHIFT = 0.8  # largest translation in halves of the shorter side, for an amount of 1


def check_distort(amount: float) -> None:
    """Raise unless an amount is from 0 to 1."""
    if not 0 <= amount <= 1:
        raise ValueError(f"affine_augment must be from 0 to 1, got {amount}")


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
    """Transform each image; outside its border the image is replicated.

    Args:
        images: ``(B, ..., H, W)``.
        distortion: ``(B, 2, 3)``, see :func:`sample_affine`.
    """
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


def apply_affine_to_motion(motions: Tensor, distortion: Tensor) -> Tensor:
    """Transform motions ``(B, n, 2, H, W)`` in pixels together with the images of a sample.

    Vectors are multiplied by the inverse of the linear part.
    """
    inverse = torch.linalg.inv(distortion[:, :, :2]).to(motions)
    return torch.einsum("bij,bnjhw->bnihw", inverse, apply_affine(motions, distortion))
