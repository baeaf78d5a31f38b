"""Symmetric interactive attention between the features of three blocks at the coarsest level."""

from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 4
AttentionKind = Literal["cross", "self", "none"]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of every pixel of ``(B, C, H, W)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, scale and shift."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GatedFeedForward(nn.Module):
    """Gated feed-forward network with a depth-wise convolution.

    Shape:
        - Input and output: ``(B, channels, H, W)``; hidden layers have 2.66 times the channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(channels * 2.66)
        self.expand = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.local = nn.Conv2d(2 * hidden, 2 * hidden, 3, 1, 1, groups=2 * hidden, bias=False)
        self.reduce = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the transformed features."""
        gate, value = self.local(self.expand(x)).chunk(2, dim=1)
        return self.reduce(F.gelu(gate) * value)


class SymmetricInteractiveAttention(nn.Module):
    """Attend from the middle block to the first and the last, over channels instead of pixels.

    A C/4 x C/4 matrix per head relates the channels of the middle block to those of a side block,
    so the cost is linear in the number of pixels. Neither side has an output projection or a
    residual connection. The middle feature is not changed.

    Args:
        channels: C, a multiple of the 4 heads.
        cross: Whether the queries are computed from the middle block. If False, each side block
            attends to itself (an ablation with the same parameters).

    Shape:
        - first, middle, last: ``(B, C, h, w)``.
        - Output: ``(B, 3C, h, w)``: the first side, the middle feature, the last side.

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024.
    """

    def __init__(self, channels: int, *, cross: bool = True) -> None:
        super().__init__()
        self.cross = cross
        double = 2 * channels
        self.norm_query = ChannelNorm(channels)
        self.norm_t0 = ChannelNorm(channels)
        self.norm_t2 = ChannelNorm(channels)
        self.temperature_t0 = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.temperature_t2 = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.query = nn.Conv2d(channels, double, 1, bias=False)
        self.key_value_t0 = nn.Conv2d(channels, double, 1, bias=False)
        self.key_value_t2 = nn.Conv2d(channels, double, 1, bias=False)
        # Not depth-wise: the published network has C groups of 2 channels.
        self.query_local = nn.Conv2d(double, double, 3, padding=1, groups=channels, bias=False)
        self.key_value_t0_local = nn.Conv2d(double, double, 3, 1, 1, groups=double, bias=False)
        self.key_value_t2_local = nn.Conv2d(double, double, 3, 1, 1, groups=double, bias=False)
        self.norm_ffn = ChannelNorm(channels)
        self.ffn = GatedFeedForward(channels)

    def forward(self, first: Tensor, middle: Tensor, last: Tensor) -> Tensor:
        """Concatenate the attended side features and the middle feature."""
        sources = (middle, middle) if self.cross else (first, last)
        query_t0, query_t2 = self._queries(*sources)
        # Keys and values come from the side blocks: the output is their features, mixed by the
        # similarity of their channels to the query channels.
        key_value_t0 = self.key_value_t0_local(self.key_value_t0(self.norm_t0(first)))
        key_value_t2 = self.key_value_t2_local(self.key_value_t2(self.norm_t2(last)))
        side_t0 = attend(query_t0, key_value_t0, self.temperature_t0)
        side_t2 = attend(query_t2, key_value_t2, self.temperature_t2)
        side_t0 = self.ffn(self.norm_ffn(side_t0))
        side_t2 = self.ffn(self.norm_ffn(side_t2))
        return torch.cat((side_t0, middle, side_t2), dim=1)

    def _queries(self, source_t0: Tensor, source_t2: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first half of the queries from one source, the second half from the other."""
        query_t0, query_t2 = self._query(source_t0).chunk(2, dim=1)
        if source_t2 is not source_t0:
            query_t2 = self._query(source_t2).chunk(2, dim=1)[1]
        return query_t0, query_t2

    def _query(self, source: Tensor) -> Tensor:
        return self.query_local(self.query(self.norm_query(source)))


def attend(query: Tensor, key_value: Tensor, temperature: Tensor) -> Tensor:
    """Return channel attention ``softmax(tau Q K^T) V`` per head."""
    height = query.shape[-2]
    key, value = key_value.chunk(2, dim=1)
    rows = "b (head c) h w -> b head c (h w)"  # a head is a contiguous group of channels
    query = F.normalize(rearrange(query, rows, head=HEADS), dim=-1)
    key = F.normalize(rearrange(key, rows, head=HEADS), dim=-1)
    # Both have length 1 over the pixels, so Q K^T holds cosines for any size of the image. tau is
    # learned, because the softmax of cosines alone is almost uniform.
    weights = torch.softmax(temperature * (query @ key.transpose(-2, -1)), dim=-1)
    mixed = weights @ rearrange(value, rows, head=HEADS)
    return rearrange(mixed, "b head c (h w) -> b (head c) h w", h=height)
