"""Reference implementation of STIR in plain PyTorch: NCHW, float32.

It shares no code with the package, so that a comparison measures the contribution of the package.
The names of its parameters are the package's, so that both take the same weights.

Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
Spiking Cameras*, NeurIPS 2024.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLANES, BLOCK, STARTS = 61, 21, (0, 20, 40)
HEADS = 4


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Warp ``(B, C, H, W)`` features backward by ``(B, 2, H, W)`` flow in pixels."""
    _, _, height, width = x.shape
    rows = torch.linspace(-1, 1, height, device=x.device).to(x.dtype)
    columns = torch.linspace(-1, 1, width, device=x.device).to(x.dtype)
    y, x_ = torch.meshgrid(rows, columns, indexing="ij")
    grid = torch.stack((x_ + flow[:, 0] * 2 / (width - 1), y + flow[:, 1] * 2 / (height - 1)), -1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)


class ConvAct(nn.Module):
    """A convolution and a PReLU."""

    def __init__(self, ins: int, outs: int, kernel: int, stride: int, slopes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, kernel, stride, kernel // 2)
        self.act = nn.PReLU(slopes)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        return self.act(self.conv(x))


class ResBlock(nn.Module):
    """Residual block of two convolutions and a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual."""
        return x + self.conv2(F.relu(self.conv1(x)))


class Implicit(nn.Module):
    """The learned 11 channels of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(BLOCK, 11, 3, 1, 1)
        self.bn1 = nn.BatchNorm2d(11)
        self.conv2 = nn.Conv2d(11, 11, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(11)
        self.shortcut = nn.Conv2d(BLOCK, 11, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Embed ``(N, 21, H, W)`` blocks."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class Embedding(nn.Module):
    """Five firing rates over nested windows, and the learned channels."""

    def __init__(self) -> None:
        super().__init__()
        self.implicit = Implicit()

    def forward(self, x: Tensor) -> Tensor:
        """Embed ``(N, 21, H, W)`` blocks as ``(N, 16, H, W)``."""
        rates = [x[:, 2 * k : BLOCK - 2 * k].mean(dim=1, keepdim=True) for k in range(5)]
        return torch.cat([*rates, self.implicit(x)], dim=1)


class Stage(ConvAct):
    """One encoder stage below full size."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__(ins, outs, 3, 2, 1)
        self.res = ResBlock(outs)

    def forward(self, x: Tensor) -> Tensor:
        """Halve and refine."""
        return self.res(super().forward(x))


class Encoder(nn.Module):
    """The feature pyramid of one block."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        stages: list[nn.Module] = [ConvAct(16, 16, 7, 1, 1)]
        stages += [Stage(a, b) for a, b in pairwise(channels)]
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of levels 1, 2, ...; level 1 is the embedding itself."""
        features = [x]
        x = self.stages[0](x)
        for stage in self.stages[1:]:
            x = stage(x)
            features.append(x)
        return features


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``."""
        mean = x.mean(dim=1, keepdim=True)
        variance = x.var(dim=1, keepdim=True, unbiased=False)
        x = (x - mean) / torch.sqrt(variance + 1e-5)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class FeedForward(nn.Module):
    """The gated feed-forward part of the attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = math.floor(channels * 2.66)
        self.expand = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.local = nn.Conv2d(2 * hidden, 2 * hidden, 3, 1, 1, groups=2 * hidden, bias=False)
        self.reduce = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(B, C, H, W)``."""
        a, b = self.local(self.expand(x)).chunk(2, dim=1)
        return self.reduce(F.gelu(a) * b)


class Attention(nn.Module):
    """Symmetric interactive attention from the middle time to both sides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        double = 2 * channels
        self.norm_query = ChannelNorm(channels)
        self.norm_t0, self.norm_t2 = ChannelNorm(channels), ChannelNorm(channels)
        self.norm_ffn = ChannelNorm(channels)
        self.temperature_t0 = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.temperature_t2 = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.query = nn.Conv2d(channels, double, 1, bias=False)
        self.query_local = nn.Conv2d(double, double, 3, 1, 1, groups=channels, bias=False)
        self.key_value_t0 = nn.Conv2d(channels, double, 1, bias=False)
        self.key_value_t2 = nn.Conv2d(channels, double, 1, bias=False)
        self.key_value_t0_local = nn.Conv2d(double, double, 3, 1, 1, groups=double, bias=False)
        self.key_value_t2_local = nn.Conv2d(double, double, 3, 1, 1, groups=double, bias=False)
        self.ffn = FeedForward(channels)

    def forward(self, first: Tensor, middle: Tensor, last: Tensor) -> Tensor:
        """Concatenate three ``(B, C, h, w)`` features to ``(B, 3C, h, w)`` after attention."""
        q0, q2 = self.query_local(self.query(self.norm_query(middle))).chunk(2, dim=1)
        k0, v0 = self.key_value_t0_local(self.key_value_t0(self.norm_t0(first))).chunk(2, dim=1)
        k2, v2 = self.key_value_t2_local(self.key_value_t2(self.norm_t2(last))).chunk(2, dim=1)
        side0 = self.attend(q0, k0, v0, self.temperature_t0)
        side2 = self.attend(q2, k2, v2, self.temperature_t2)
        side0, side2 = self.ffn(self.norm_ffn(side0)), self.ffn(self.norm_ffn(side2))
        return torch.cat([side0, middle, side2], dim=1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
        """Apply channel attention: mix channels of the values by similarity of queries and keys."""
        batch, channels, height, width = q.shape
        q, k, v = (x.reshape(batch, HEADS, channels // HEADS, height * width) for x in (q, k, v))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = (q @ k.transpose(-2, -1) * temperature).softmax(dim=-1)
        return (weights @ v).reshape(batch, channels, height, width)


class Top(nn.Module):
    """The decoder of the coarsest level."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.fuse = ConvAct(hidden, hidden, 3, 1, hidden)
        self.res = ResBlock(hidden)
        self.head = nn.Conv2d(hidden, 5, 3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return image, flows and hidden state."""
        h = self.res(self.fuse(x))
        prediction = self.head(h)
        return prediction[:, 4:], prediction[:, :4], h


class Decoder(nn.Module):
    """Layers shared by the decoders of all finer levels."""

    def __init__(self, fused: int, channels: int, coarser: int, outs: int) -> None:
        super().__init__()
        self.up_flow = nn.ConvTranspose2d(4, 4, 4, 2, 1)
        self.up_hidden = nn.ConvTranspose2d(coarser, 8, 4, 2, 1)
        self.fuse1 = ConvAct(fused, fused, 3, 1, fused)
        self.fuse2 = ConvAct(fused, 3 * channels, 3, 1, 3 * channels)
        self.res = ResBlock(3 * channels)
        self.head = nn.Conv2d(3 * channels, outs, 3, 1, 1)


class Refining(Decoder):
    """The decoder of levels 4, 3, 2."""

    def __init__(self, channels: int, coarser: int) -> None:
        super().__init__(3 * channels + 13, channels, coarser, 5)

    def forward(
        self, sides: list[Tensor], image: Tensor, flow: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return image, refined flows, hidden state and the flows before refinement."""
        first, middle, last = sides
        u = self.up_flow(flow)
        image = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
        first, last = warp(first, u[:, :2]), warp(last, u[:, 2:])
        z = torch.cat([image, middle, first, last, self.up_hidden(hidden), u], dim=1)
        h = self.res(self.fuse2(self.fuse1(z)))
        prediction = self.head(h)
        return prediction[:, 4:], u + prediction[:, :4], h, u


class Finest(Decoder):
    """The decoder of level 1 with three optical flows."""

    def __init__(self, coarser: int) -> None:
        super().__init__(133, 16, coarser, 1)
        self.extra_flow = nn.Conv2d(coarser, 8, 3, 1, 1)
        self.up_extra_flow = nn.ConvTranspose2d(8, 8, 4, 2, 1)

    def forward(
        self, sides: list[Tensor], image: Tensor, flow: Tensor, hidden: Tensor, coarse: Tensor
    ) -> Tensor:
        """Return the image, not clamped; ``coarse`` are level 2's flows before refinement."""
        first, middle, last = sides
        v = self.up_flow(flow)
        e = self.up_extra_flow(self.extra_flow(hidden) + torch.cat([coarse, coarse], dim=1))
        image = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
        warped = []
        for field in (v, e[:, :4], e[:, 4:]):
            warped += [warp(first, field[:, :2]), warp(last, field[:, 2:])]
        z = torch.cat([image, middle, *warped, self.up_hidden(hidden), v, e], dim=1)
        return self.head(self.res(self.fuse2(self.fuse1(z))))


class ReferenceSTIR(nn.Module):
    """The published network.

    Shape:
        - spikes: ``(B, 61, H, W)``, H and W multiples of 16.
        - Output: ``(B, 1, H, W)`` in [0, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        channels = [16, 24, 32, 64, 96]
        self.embedding = Embedding()
        self.encoder = Encoder(channels)
        self.attention = Attention(96)
        self.decoders = nn.ModuleDict({"5": Top(288)})
        for level in (4, 3, 2):
            self.decoders[str(level)] = Refining(channels[level - 1], 3 * channels[level])
        self.decoders["1"] = Finest(72)

    def forward(self, spikes: Tensor) -> Tensor:
        """Reconstruct the middle plane."""
        return self.images(spikes)[0].clamp(0, 1)

    def images(self, spikes: Tensor) -> list[Tensor]:
        """Return the images of levels 1 to 5, not clamped."""
        batch = len(spikes)
        blocks = torch.cat([spikes[:, start : start + BLOCK] for start in STARTS], dim=0)
        features = self.encoder(self.embedding(blocks))
        sides = [[x[i * batch : (i + 1) * batch] for i in range(3)] for x in features]
        image, flow, hidden = self.decoders["5"](self.attention(*sides[4]))
        images, coarse = [image], flow
        for level in (4, 3, 2):
            image, flow, hidden, coarse = self.decoders[str(level)](
                sides[level - 1], image, flow, hidden
            )
            images.append(image)
        images.append(self.decoders["1"](sides[0], image, flow, hidden, coarse))
        return images[::-1]


def reference_loss(images: list[Tensor], target: Tensor) -> Tensor:
    """Return the published loss without its perceptual term, of images of levels 1 to 5."""
    loss = (images[0].clamp(0, 1) - target).abs().mean()
    for image, weight in zip(images[1:], (0.5, 0.25, 0.25, 0.25), strict=True):
        target = F.avg_pool2d(target, 2)
        loss = loss + weight / 4 * (image.clamp(0, 1) - target).abs().mean()
    return loss
