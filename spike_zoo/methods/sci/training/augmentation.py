"""Clips turned, enlarged, sheared and moved a little, so that what is learned is not the writer."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TURN = math.pi / 2  # radians for an amount of 1
_SHIFT = 0.8  # of half a side, likewise


def check_distort(amount: float) -> None:
    """Reject an amount outside 0 to 1.

    Raises:
        ValueError: If it is not from 0 to 1.
    """
    if not 0 <= amount <= 1:
        raise ValueError(f"affine_augment must be from 0 to 1, got {amount}")


def drawn_distortion(count: int, amount: float, generator: torch.Generator) -> Tensor:
    """Draw where each sample's pixels come from: what turns, enlarges, shears and moves it.

    Args:
        count: B, of samples.
        amount: How much: 0.15 turns by up to 13 degrees, stretches either side by up to 16 %,
            shears by up to 0.15 and moves by up to 6 % of a side.
        generator: Draws, on the CPU.

    Returns:
        ``(B, 2, 3)``, from places to places in units of half the shorter side, the middle at 0.
    """
    drawn = amount * (2 * torch.rand(count, 6, generator=generator) - 1)
    turn, wide, high, shear = (drawn[:, n] for n in range(4))
    cosine, sine, none = (TURN * turn).cos(), (TURN * turn).sin(), torch.zeros(count)
    turned = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    stretched = torch.stack([wide.exp(), shear, none, high.exp()], dim=1).view(-1, 2, 2)
    return torch.cat([turned @ stretched, _SHIFT * drawn[:, 4:, None]], dim=2)


def distorted(images: Tensor, distortion: Tensor) -> Tensor:
    """Return images ``(B, ..., H, W)``, each distorted by its own; the border is repeated.

    Args:
        images: Any number of channels.
        distortion: See :func:`drawn_distortion`.
    """
    height, width = images.shape[-2:]
    # torch measures each axis in half of its own side
    halves = torch.tensor([width, height]) / min(width, height)
    linear = distortion[:, :, :2] * halves[None, None, :] / halves[None, :, None]
    moved = distortion[:, :, 2:] / halves[None, :, None]
    flat = images.flatten(1, -3)
    theta = torch.cat([linear, moved], dim=2).to(images)
    grid = F.affine_grid(theta, [len(flat), 1, height, width], align_corners=False)
    found = F.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return found.view_as(images)


def distorted_motions(motions: Tensor, distortion: Tensor) -> Tensor:
    """Return motions ``(B, n, 2, H, W)`` in pixels, between images that were distorted alike."""
    back = torch.linalg.inv(distortion[:, :, :2]).to(motions)
    return torch.einsum("bij,bnjhw->bnihw", back, distorted(motions, distortion))
