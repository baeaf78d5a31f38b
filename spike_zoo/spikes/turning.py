"""The eight flips and rotations of a square, for planes, images and optical flow."""

import torch
from torch import Tensor

#: Mode -> (quarter turns counter-clockwise, then flipped upside down?), as STIR numbers them
#: (Fan et al., NeurIPS 2024): 0 identity, 1 transpose, 2 upside down, 3 turn by 270 degrees,
#: 4 mirror left-right, 5 turn by 90, 6 turn by 180, 7 transpose across the other diagonal.
MODES = ((0, False), (1, True), (0, True), (3, False), (2, True), (1, False), (2, False), (3, True))
#: Modes that do not exchange height and width, for clips that are not square.
SHAPE_KEEPING_MODES = (0, 2, 4, 6)


def apply_mode(planes: Tensor, mode: int) -> Tensor:
    """Rotate and flip ``(..., H, W)`` by one of the eight :data:`MODES`, without resampling."""
    turns, is_flipped = MODES[mode]
    turned = torch.rot90(planes, turns, dims=(-2, -1))
    return turned.flip(-2) if is_flipped else turned


def inverse_mode(mode: int) -> int:
    """Return the inverse of a mode. Only the quarter turns 3 and 5 are not their own inverse."""
    return {3: 5, 5: 3}.get(mode, mode)


def apply_modes(planes: Tensor, modes: Tensor) -> Tensor:
    """Rotate and flip each clip of a batch ``(B, C, H, W)`` by its mode in ``modes`` ``(B,)``."""
    turned = [apply_mode(clip, mode) for clip, mode in zip(planes, modes.tolist(), strict=True)]
    return torch.stack(turned)


def turn_flow(flow: Tensor, mode: int) -> Tensor:
    """Rotate and flip a flow field ``(..., 2, H, W)`` (right, down), including its vectors.

    The result is the flow between the two images transformed by the mode, 0..7.
    """
    turns, is_flipped = MODES[mode]
    right, down = apply_mode(flow, mode).unbind(-3)
    for _ in range(turns):  # a counter-clockwise quarter turn maps down to right
        right, down = down, -right
    return torch.stack((right, -down if is_flipped else down), dim=-3)


def turn_flows(flows: Tensor, modes: Tensor) -> Tensor:
    """Rotate and flip the flow of each clip of a batch ``(B, ..., 2, H, W)`` by its mode."""
    turned = [turn_flow(clip, mode) for clip, mode in zip(flows, modes.tolist(), strict=True)]
    return torch.stack(turned)
