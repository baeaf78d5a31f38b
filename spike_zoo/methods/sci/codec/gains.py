"""Quality levels: how much each channel of a latent is enlarged before it is rounded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from spike_zoo.methods.sci.codec.scale_net import QUALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping


class Gains(nn.Module):
    """Gains of every latent at every quality, for the encoder and for the decoder.

    They begin evenly spaced, 1/4 at the lowest quality and 1 at the highest, and those of motion
    at 1: its precision matters at every quality. The decoder's undo the encoder's.

    Args:
        channels: Name of each latent -> its channels.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        super().__init__()
        start = torch.linspace(-math.log(4.0), 0.0, QUALITIES)[:, None]
        made = {name: start.repeat(1, count) for name, count in channels.items()}
        if "motion" in made:
            made["motion"] = torch.zeros_like(made["motion"])
        self.encoder = nn.ParameterDict({name: nn.Parameter(x) for name, x in made.items()})
        self.decoder = nn.ParameterDict({name: nn.Parameter(-x) for name, x in made.items()})

    def before(self, name: str, latent: Tensor, quality: int) -> Tensor:
        """Return a latent ``(B, C, h, w)`` as it is rounded."""
        return latent * self.encoder[name][quality].exp().view(1, -1, 1, 1)

    def after(self, name: str, latent: Tensor, quality: int) -> Tensor:
        """Return a decoded latent as the synthesis takes it."""
        return latent * self.decoder[name][quality].exp().view(1, -1, 1, 1)
