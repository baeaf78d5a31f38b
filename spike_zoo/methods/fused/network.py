"""The fusion network: from averages of rates to the image at the middle plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.fused.inputs import IMAGES, INPUTS
from spike_zoo.nn.padding import crop_padding, pad_to_multiple


class Fused(nn.Module):
    """Fuse averages of rates by predicted weights, and add a predicted residual.

    The weights of each pixel are added to those of the first image, the deblurred mean along the
    flow, which is the output of an untrained network. They are computed at half resolution. With
    the defaults the network has 145,548 parameters.

    Args:
        channels: Channels of the hidden layers.
        depth: Number of hidden layers after the first.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> Fused(channels=8, depth=2)(torch.rand(1, 34, 17, 33)).shape
        torch.Size([1, 1, 17, 33])
    """

    def __init__(self, channels: int = 48, depth: int = 4) -> None:
        super().__init__()
        if channels < 1 or depth < 1:
            raise ValueError(f"channels and depth are at least 1, got {channels} and {depth}")
        self.first = nn.Conv2d(4 * INPUTS, channels, 3, padding=1)
        # dilation of the middle layers widens the receptive field
        dilations = [2 if 0 < index < depth - 1 else 1 for index in range(depth)]
        self.hidden = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
            for dilation in dilations
        )
        self.last = nn.Conv2d(channels, 4 * IMAGES, 1)
        with torch.no_grad():
            for layer in self.hidden:  # starts near the identity
                layer.weight += nn.init.dirac_(torch.empty_like(layer.weight))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return images ``(B, 1, H, W)``, not clamped, from ``(B, 34, H, W)``."""
        x = F.pixel_unshuffle(pad_to_multiple(inputs, 2), 2)
        x = F.relu(self.first(x))
        for layer in self.hidden:
            x = F.relu(layer(x))
        predicted = crop_padding(F.pixel_shuffle(self.last(x), 2), *inputs.shape[-2:])
        draft, others = inputs[:, :1], inputs[:, 1:IMAGES]
        fused = (predicted[:, 1:] * (others - draft)).sum(dim=1, keepdim=True)
        return draft + predicted[:, :1] + fused
