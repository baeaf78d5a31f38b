"""The eight flips and rotations of a square, applied alike to planes, images and motion."""

from __future__ import annotations

import torch
from torch import Tensor

#: Mode -> (quarter turns counter-clockwise, then flipped upside down?), as STIR numbers them
#: (Fan et al., NeurIPS 2024): 0 identity, 1 transpose, 2 upside down, 3 turn by 270 degrees,
#: 4 mirror left-right, 5 turn by 90, 6 turn by 180, 7 transpose across the other diagonal.
MODES = (
    (0, False),
    (1, True),
    (0, True),
    (3, False),
    (2, True),
    (1, False),
    (2, False),
    (3, True),
)
#: Modes that keep height and width where they are, for clips that are not square.
SHAPE_KEEPING_MODES = (0, 2, 4, 6)


def apply_mode(planes: Tensor, mode: int) -> Tensor:
    """Turn and flip ``(..., H, W)`` by one of the eight modes; exact, no pixel is resampled.

    Args:
        planes: Any tensor whose last two axes are rows and columns.
        mode: 0..7, see :data:`MODES`.
    """
    turns, is_flipped = MODES[mode]
    turned = torch.rot90(planes, turns, dims=(-2, -1))
    return turned.flip(-2) if is_flipped else turned


def inverse_mode(mode: int) -> int:
    """Return the mode that undoes another: only the two quarter turns are not their own."""
    return {3: 5, 5: 3}.get(mode, mode)


def apply_modes(planes: Tensor, modes: Tensor) -> Tensor:
    """Turn and flip each clip of a batch ``(B, C, H, W)`` by its own mode ``(B,)``."""
    turned = [apply_mode(clip, mode) for clip, mode in zip(planes, modes.tolist(), strict=True)]
    return torch.stack(turned)


def turn_motion(motion: Tensor, mode: int) -> Tensor:
    """Turn and flip motion ``(..., 2, H, W)``, right and down: each vector is moved and turned.

    Args:
        motion: Motion between two pictures.
        mode: 0..7; what is returned is the motion between the two pictures turned by it.
    """
    turns, is_flipped = MODES[mode]
    right, down = apply_mode(motion, mode).unbind(-3)
    for _ in range(turns):  # counter-clockwise: what went down goes right
        right, down = down, -right
    return torch.stack((right, -down if is_flipped else down), dim=-3)


def turn_motions(motions: Tensor, modes: Tensor) -> Tensor:
    """Turn and flip the motion of each clip of a batch ``(B, ..., 2, H, W)`` by its own mode."""
    turned = [turn_motion(clip, mode) for clip, mode in zip(motions, modes.tolist(), strict=True)]
    return torch.stack(turned)
