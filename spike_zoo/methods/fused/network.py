"""The fusion network: from averages of rates to the image at the middle plane."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.fused.inputs import IMAGES, INPUTS, MEAN_OF_NINE
from spike_zoo.nn.padding import crop_padding, pad_to_multiple

GAIN: Final = 8.0
"""Factor of differences between images, which are small and determine the weights."""


class Fused(nn.Module):
    """Fuse averages of rates by predicted weights, and add predicted residuals.

    The output of a pixel is the first image, the deblurred mean along the flow, plus the weighted
    differences of the other images from it, plus a residual. The mean of nine planes at a fixed
    pixel has a residual of its own before it is weighted. Weights and residuals are computed at
    half resolution. With 64 channels it has 236,480 parameters.

    Args:
        channels: Channels of the hidden layers.

    Raises:
        ValueError: If there is no channel.

    Example:
        >>> import torch
        >>> Fused(channels=8)(torch.rand(1, 34, 17, 33)).shape
        torch.Size([1, 1, 17, 33])
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        self.first = nn.Conv2d(4 * INPUTS, channels, 3, padding=1)
        self.hidden = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
            for dilation in (1, 2, 2, 1)
        )
        self.residual = nn.Conv2d(channels, 4, 3, padding=1)
        self.weights = nn.Conv2d(channels, 4 * IMAGES, 1)
        for parameter in (*self.residual.parameters(), *self.weights.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return images ``(B, 1, H, W)``, not clamped, from ``(B, 34, H, W)``."""
        x, size = inputs.clone(), inputs.shape[-2:]
        draft, others = x[:, :1], x[:, 1:IMAGES]
        others.sub_(draft).mul_(GAIN)
        x = F.relu(self.first(F.pixel_unshuffle(pad_to_multiple(x, 2), 2)))
        for layer in self.hidden:
            x = F.relu(layer(x))
        residual, weights = (
            crop_padding(F.pixel_shuffle(layer(x), 2), *size)
            for layer in (self.residual, self.weights)
        )
        fused = (weights[:, 1:] * others).sum(dim=1, keepdim=True) / GAIN
        of_nine = weights[:, MEAN_OF_NINE, None] * residual
        return draft + weights[:, :1] + fused + of_nine
