"""I-frame codec: features coded without reference to other frames."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.sci.codec.entropy import FrameCoder, LatentEntropy, Passes, UncodedLatent
from spike_zoo.methods.sci.features.blocks import (
    DSB,
    FEATURES,
    Res,
    Up,
    conv3,
    scale_channels,
    scale_repeats,
    separable_blocks,
)

LATENT, HYPER = 320, 128
STRIDE = 64
"""Downsampling factor of the hyper latent; features are padded to a multiple."""
LATENT_STRIDE = 16
"""Downsampling factor of a latent, and side of a block."""
BLOCK_STEP = 0.13
"""Rounding step of DCT coefficients at the best quality; about optimal for lambda = 512."""


class IntraAnalysis(nn.Module):
    """Analysis transforms of an I-frame (latent, hyper latent); arguments as of :class:`Intra`."""

    def __init__(self, width: float, *, block_transform: bool = False) -> None:
        super().__init__()
        sizes = [scale_channels(c, width) for c in (96, 144, 192, LATENT)]
        counts = [scale_repeats(3, width)] * 3 + [scale_repeats(4, width)]
        layers: list[nn.Module] = [nn.Conv2d(FEATURES, sizes[0], 5, stride=2, padding=2)]
        for number, (size, count) in enumerate(zip(sizes, counts, strict=True)):
            if number:
                layers.append(conv3(sizes[number - 1], size, stride=2))
            layers.append(separable_blocks(size, count))
        self.transform = nn.Sequential(*layers)
        middle, hyper = scale_channels(240, width), scale_channels(HYPER, width)
        self.hyper = nn.Sequential(
            DSB(sizes[-1]),
            conv3(sizes[-1], middle, stride=2),
            nn.GELU(),
            conv3(middle, hyper, stride=2),
        )
        self.blocks = block_analysis(sizes[-1], 0.5) if block_transform else None

    def forward(self, feature: Tensor) -> Tensor:
        """Return the latent, ``(B, 3, H, W)`` -> ``(B, N, H/16, W/16)``."""
        latent = self.transform(feature)
        return latent if self.blocks is None else latent + self.blocks(feature)


class IntraSynthesis(nn.Module):
    """Synthesis transform of an I-frame: four upsampling layers, then a small U-Net.

    With ``block_transform``, the output is added to a linear transform of the latent, which the
    U-Net also takes as input.
    """

    def __init__(self, width: float, *, block_transform: bool = False) -> None:
        super().__init__()
        sizes = [scale_channels(c, width) for c in (LATENT, 256, 192, 128)]
        layers: list[nn.Module] = [separable_blocks(sizes[0], scale_repeats(4, width))]
        for before, size in itertools.pairwise(sizes):
            layers += [Up(before, size, 3), separable_blocks(size, 2)]
        self.transform = nn.Sequential(*layers, Up(sizes[-1], scale_channels(32, width), 3))
        self.blocks = block_synthesis(sizes[0], 0.5) if block_transform else None
        self.mend = RefinementUNet(width, FEATURES if block_transform else 0)

    def forward(self, latent: Tensor) -> Tensor:
        """Return the feature, ``(B, N, H/16, W/16)`` -> ``(B, 3, H, W)``, not clamped."""
        raised = self.transform(latent)
        if self.blocks is None:
            return self.mend(raised)
        blocks = self.blocks(latent)
        return blocks + self.mend(torch.cat([raised, blocks], dim=1))


class RefinementUNet(nn.Module):
    """U-Net with two downsampling levels and residual blocks.

    Args:
        width: Multiplier of the channels.
        extra: Additional input channels: an estimate that the output is added to. With them the
            output is zero before training.
    """

    def __init__(self, width: float, extra: int = 0) -> None:
        super().__init__()
        full, half, quarter = (scale_channels(c, width) for c in (32, 64, 128))
        self.enter = nn.Sequential(conv3(full + extra, full), Res(full))
        self.at_half = nn.Sequential(conv3(full, half, stride=2), Res(half))
        self.at_quarter = nn.Sequential(conv3(half, quarter, stride=2), Res(quarter), Res(quarter))
        self.raise_quarter = Up(quarter, half)
        self.join_half = nn.Sequential(conv3(2 * half, half), Res(half))
        self.raise_half = Up(half, full)
        self.join_full = nn.Sequential(conv3(2 * full, full), Res(full))
        self.leave = conv3(full, FEATURES)
        if extra:
            for parameter in self.leave.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return a feature, ``(B, C, H, W)`` -> ``(B, 3, H, W)``; H and W multiples of 4."""
        full = self.enter(x)
        half = self.at_half(full)
        raised = self.raise_quarter(self.at_quarter(half))
        half = self.join_half(torch.cat([raised, half], dim=1))
        return self.leave(self.join_full(torch.cat([self.raise_half(half), full], dim=1)))


class Intra(nn.Module):
    """Networks of an I-frame.

    Args:
        width: Multiplier of channels and block counts; 1 is the paper's budget.
        block_transform: Whether a linear transform of blocks, initialised as a DCT, is added to
            analysis and synthesis. Not in the paper: without it, two thirds of the latent channels
            of a narrow codec stayed below one rounding step.
        passes: Number of passes of the entropy model, see :func:`coding_passes`.
    """

    def __init__(self, width: float, *, block_transform: bool = False, passes: Passes = 2) -> None:
        super().__init__()
        latent, wide = scale_channels(LATENT, width), scale_channels(640, width)
        self.analysis = IntraAnalysis(width, block_transform=block_transform)
        self.entropy = LatentEntropy(
            latent,
            scale_channels(HYPER, width),
            raised=(scale_channels(256, width), latent),
            fusion=(wide,),
            spatial=(wide, wide),
            hidden=scale_channels(192, width),
            passes=passes,
        )
        self.synthesis = IntraSynthesis(width, block_transform=block_transform)

    def encode(
        self, coder: FrameCoder, feature: Tensor, refine: Callable[..., UncodedLatent] | None = None
    ) -> Tensor:
        """Encode a feature ``(B, 3, H, W)`` with sides that are multiples of 64, and decode it.

        ``refine`` is a :func:`~spike_zoo.methods.sci.codec.refinement.refined` of the latent.
        """
        latent = coder.scale_latent("intra", self.analysis(feature))
        uncoded = UncodedLatent(latent, self.analysis.hyper(latent))
        code = partial(self._code, grid=grid_of(feature))
        if refine is not None:
            uncoded = refine(code, coder, uncoded, feature)
        return code(coder, uncoded)

    def decode(self, coder: FrameCoder, size: tuple[int, int]) -> Tensor:
        """Decode a feature of the given height and width, not clamped."""
        return self._code(coder, None, (size[0] // STRIDE, size[1] // STRIDE))

    def _code(
        self, coder: FrameCoder, uncoded: UncodedLatent | None, grid: tuple[int, int]
    ) -> Tensor:
        decoded = self.entropy(coder.symbols, uncoded, grid, coder.quality)
        return self.synthesis(coder.unscale_latent("intra", decoded.latent))


def grid_of(feature: Tensor) -> tuple[int, int]:
    """Return the size of the hyper latent of a feature."""
    return feature.shape[-2] // STRIDE, feature.shape[-1] // STRIDE


def block_analysis(channels: int, zero: float) -> nn.Conv2d:
    """Return a convolution initialised as a DCT of 16 x 16 blocks of the mean over channels.

    Args:
        channels: Number of coefficients, the lowest frequencies.
        zero: Value of a constant feature whose coefficients are all zero.

    Returns:
        ``(B, 3, H, W)`` -> ``(B, N, H/16, W/16)``, in units of :data:`BLOCK_STEP`.
    """
    layer = nn.Conv2d(FEATURES, channels, LATENT_STRIDE, stride=LATENT_STRIDE)
    with torch.no_grad():
        weight = _dct(channels) / (FEATURES * BLOCK_STEP)
        layer.weight.copy_(weight.expand_as(layer.weight))
        cast("Tensor", layer.bias).copy_(-zero * layer.weight.sum((1, 2, 3)))
    return layer


def block_synthesis(channels: int, zero: float) -> nn.ConvTranspose2d:
    """Return the inverse of :func:`block_analysis`; its three output channels are equal."""
    layer = nn.ConvTranspose2d(channels, FEATURES, LATENT_STRIDE, stride=LATENT_STRIDE)
    with torch.no_grad():
        layer.weight.copy_((BLOCK_STEP * _dct(channels)).expand_as(layer.weight))
        cast("Tensor", layer.bias).fill_(zero)
    return layer


def _dct(channels: int) -> Tensor:
    """Return the lowest frequencies of an orthonormal DCT, ``(N, 1, 16, 16)``; zeros after 256."""
    numbers = torch.arange(LATENT_STRIDE, dtype=torch.float64)
    angles = torch.outer(numbers, 2 * numbers + 1) * (math.pi / (2 * LATENT_STRIDE))
    line = angles.cos() * (2 / LATENT_STRIDE) ** 0.5  # scipy.fft takes 0.4 s to import
    line[0] /= 2**0.5
    pairs = itertools.product(range(LATENT_STRIDE), repeat=2)
    lowest = sorted(pairs, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[:channels]
    basis = torch.stack([torch.outer(line[u], line[v]) for u, v in lowest])[:, None].float()
    return F.pad(basis, (0, 0, 0, 0, 0, 0, 0, channels - len(basis)))
