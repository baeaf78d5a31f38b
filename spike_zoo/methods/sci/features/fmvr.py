"""Feature-level motion vector refinement (FMVR): decoded motion meets decoded content."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spike_zoo.methods.sci.features.blocks import FEATURES, conv3


class FMVR(nn.Module):
    """Refine decoded motion by the decoded feature it belongs to; at first nothing is changed.

    Shape:
        - motion: ``(B, 2, H, W)`` in pixels.
        - feature: ``(B, 3, H, W)``.
        - Output: ``(B, 2, H, W)``.

    Source: the paper's Eq. (8), convolutions with small kernels. It does not scale with a width.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv3(2 + FEATURES, 16),
            nn.ReLU(),
            conv3(16, 16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 1),
            nn.ReLU(),
            conv3(16, 8),
            nn.ReLU(),
            conv3(8, 2),
        )
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, motion: Tensor, feature: Tensor) -> Tensor:
        """Return the refined motion."""
        return motion + self.layers(torch.cat([motion, feature], dim=1))
