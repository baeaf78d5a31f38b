"""Orders of colour channels: R,G,B outside, in a network whatever its weights were trained on."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

ChannelOrder = Literal["rgb", "bgr"]
GREY = (0.30, 0.59, 0.11)  # R, G, B, as published


def check_channel_order(order: str) -> None:
    """Reject an unknown order of channels.

    Raises:
        ValueError: If it is neither ``"rgb"`` nor ``"bgr"``.
    """
    if order not in get_args(ChannelOrder):
        raise ValueError(f"channel_order must be one of {get_args(ChannelOrder)}, got {order!r}")


def reordered(image: Tensor, order: ChannelOrder) -> Tensor:
    """Return R,G,B images ``(..., 3, H, W)`` in another order, or back: both are one step."""
    return image.flip(-3) if order == "bgr" else image


def grey(image: Tensor, order: ChannelOrder = "rgb") -> Tensor:
    """Return the grey image ``(..., 1, H, W)`` of colour images ``(..., 3, H, W)``.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024: one set of weights for the simulated spikes,
    the training of the enlarging network and metrics.
    """
    weights = torch.tensor(GREY, dtype=image.dtype, device=image.device)
    weights = weights.flip(0) if order == "bgr" else weights
    return (image * weights[:, None, None]).sum(dim=-3, keepdim=True)
