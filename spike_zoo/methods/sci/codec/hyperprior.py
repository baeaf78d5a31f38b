"""The distribution of the hyper latent, without any side information."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spike_zoo.coding.sci.tables import quantised
from spike_zoo.methods.sci.codec.quantization import LEAST_MASS, bounded

RADIUS = 15
"""Largest symbol with a table entry of its own; larger ones are escapes."""
_MIXED = 3


class HyperPrior(nn.Module):
    """A mixture of three logistic distributions for every channel.

    Args:
        channels: Of the hyper latent.
    """

    frequencies: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(channels, _MIXED))
        self.means = nn.Parameter(torch.linspace(-1, 1, _MIXED).repeat(channels, 1))
        self.log_scales = nn.Parameter(torch.zeros(channels, _MIXED))
        size = channels, 2 * RADIUS + 2
        # torch has no uint16 everywhere; the digest and the coder take them as such
        self.register_buffer("frequencies", torch.zeros(size, dtype=torch.int32))

    def bits(self, values: Tensor) -> Tensor:
        """Return the bits of each value, ``(B, C, h, w)``: integers, or their noisy substitute."""
        mass = self._below(values + 0.5, values) - self._below(values - 0.5, values)
        return -torch.log2(bounded(mass.abs(), LEAST_MASS, 1.0))

    def _below(self, edges: Tensor, values: Tensor) -> Tensor:
        """Return the mass below each edge; right of the middle negative and of what is above.

        Far out both masses are 1 to the last digit, their complements are not.
        """
        sides = torch.where(values > 0, -1.0, 1.0)[..., None]
        shape = 1, -1, 1, 1, _MIXED
        weights = torch.softmax(self.logits, dim=-1).view(shape)
        means, scales = self.means.view(shape), self.log_scales.exp().view(shape)
        masses = torch.sigmoid(sides * (edges[..., None] - means) / scales)
        return (weights * masses).sum(dim=-1)

    @torch.no_grad()
    def finalize(self) -> None:
        """Write the table of every channel, from which symbols are coded from now on."""
        inner = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
        edges = torch.cat([inner - 0.5, inner[-1:] + 0.5])
        weights = torch.softmax(self.logits.double().cpu(), dim=-1)[..., None]
        means, scales = self.means.double().cpu(), self.log_scales.double().cpu().exp()
        below = torch.sigmoid((edges - means[..., None]) / scales[..., None])
        cdf = (weights * below).sum(dim=1)
        tails = cdf[:, :1] + 1.0 - cdf[:, -1:]
        # a mixture's sums end in digits that need not rise
        masses = torch.cat([cdf.diff(dim=1), tails], dim=1).clamp(min=0.0)
        table = quantised((masses / masses.sum(dim=1, keepdim=True)).numpy())
        self.frequencies.copy_(torch.from_numpy(table.astype("int32")))
