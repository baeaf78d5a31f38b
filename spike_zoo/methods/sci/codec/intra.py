"""I-frame codec: coded without reference to other frames."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from spike_zoo.methods.sci.codec.block_transform import block_analysis, block_synthesis
from spike_zoo.methods.sci.codec.entropy import LatentEntropy, UncodedLatent
from spike_zoo.methods.sci.features.blocks import (
    DSB,
    FEATURES,
    Res,
    Up,
    conv3,
    repeated,
    scaled,
    separables,
)

if TYPE_CHECKING:
    from spike_zoo.methods.sci.codec.entropy import Gains, Symbols

LATENT, HYPER = 320, 128
STRIDE = 64
"""Pixels of a feature along one of the hyper latent; features are padded to a multiple of it."""


class IntraAnalysis(nn.Module):
    """A feature becomes a latent, and that a hyper latent.

    Args:
        width: Of all channels and repeats.
        block_transform: Whether a linear transform of blocks adds to the latent.
    """

    def __init__(self, width: float, *, block_transform: bool = False) -> None:
        super().__init__()
        sizes = [scaled(c, width) for c in (96, 144, 192, LATENT)]
        counts = [repeated(3, width)] * 3 + [repeated(4, width)]
        layers: list[nn.Module] = [nn.Conv2d(FEATURES, sizes[0], 5, stride=2, padding=2)]
        for number, (size, count) in enumerate(zip(sizes, counts, strict=True)):
            if number:
                layers.append(conv3(sizes[number - 1], size, stride=2))
            layers.append(separables(size, count))
        self.transform = nn.Sequential(*layers)
        middle, hyper = scaled(240, width), scaled(HYPER, width)
        self.hyper = nn.Sequential(
            DSB(sizes[-1]),
            conv3(sizes[-1], middle, stride=2),
            nn.GELU(),
            conv3(middle, hyper, stride=2),
        )
        self.blocks = block_analysis(sizes[-1]) if block_transform else None

    def forward(self, feature: Tensor) -> Tensor:
        """Return the latent, ``(B, 3, H, W)`` -> ``(B, N, H/16, W/16)``."""
        latent = self.transform(feature)
        return latent if self.blocks is None else latent + self.blocks(feature)


class IntraSynthesis(nn.Module):
    """Decode a latent to a feature: upsample four times, then refine by a small U-Net.

    Args:
        width: Of all channels and repeats.
        block_transform: Whether the refinement starts from a linear transform of the latent.
    """

    def __init__(self, width: float, *, block_transform: bool = False) -> None:
        super().__init__()
        sizes = [scaled(c, width) for c in (LATENT, 256, 192, 128)]
        layers: list[nn.Module] = [separables(sizes[0], repeated(4, width))]
        for before, size in itertools.pairwise(sizes):
            layers += [Up(before, size, 3), separables(size, 2)]
        self.transform = nn.Sequential(*layers, Up(sizes[-1], scaled(32, width), 3))
        self.blocks = block_synthesis(sizes[0]) if block_transform else None
        self.mend = RefinementUNet(width, FEATURES if block_transform else 0)

    def forward(self, latent: Tensor) -> Tensor:
        """Return the feature, ``(B, N, H/16, W/16)`` -> ``(B, 3, H, W)``, not clamped."""
        raised = self.transform(latent)
        if self.blocks is None:
            return self.mend(raised)
        blocks = self.blocks(latent)
        return blocks + self.mend(torch.cat([raised, blocks], dim=1))


class RefinementUNet(nn.Module):
    """Two levels down and up again, residual blocks at each.

    Args:
        width: Of all channels.
        extra: Channels of the input beside those; with them the output starts at zero, because it
            is added to them.
    """

    def __init__(self, width: float, extra: int = 0) -> None:
        super().__init__()
        full, half, quarter = (scaled(c, width) for c in (32, 64, 128))
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
    """All networks of an I-frame.

    Args:
        width: Of all channels and repeats; 1 is the paper's budget.
        block_transform: Whether a linear transform of blocks, a DCT before training, works beside
            analysis and synthesis. Ours: without it, two thirds of the latent's channels of a
            narrow codec stayed below one rounding step.
    """

    def __init__(self, width: float, *, block_transform: bool = False) -> None:
        super().__init__()
        latent, wide = scaled(LATENT, width), scaled(640, width)
        self.analysis = IntraAnalysis(width, block_transform=block_transform)
        self.entropy = LatentEntropy(
            latent,
            scaled(HYPER, width),
            raised=(scaled(256, width), latent),
            fusion=(wide,),
            spatial=(wide, wide),
            hidden=scaled(192, width),
        )
        self.synthesis = IntraSynthesis(width, block_transform=block_transform)

    def encode(self, symbols: Symbols, feature: Tensor, gains: Gains, quality: int) -> Tensor:
        """Encode a feature and return it as decoded, ``(B, 3, H, W)``, not clamped.

        Args:
            symbols: Take the symbols.
            feature: ``(B, 3, H, W)``, H and W multiples of 64.
            gains: Of all latents.
            quality: 0 to 3.
        """
        latent = gains.before("intra", self.analysis(feature), quality)
        given = UncodedLatent(latent, self.analysis.hyper(latent))
        return self._decoded(symbols, given, grid_of(feature), gains, quality)

    def decode(self, symbols: Symbols, size: tuple[int, int], gains: Gains, quality: int) -> Tensor:
        """Decode a feature, ``(1, 3, H, W)``, not clamped.

        Args:
            symbols: Give the symbols.
            size: H and W, multiples of 64.
            gains: Of all latents.
            quality: 0 to 3.
        """
        grid = size[0] // STRIDE, size[1] // STRIDE
        return self._decoded(symbols, None, grid, gains, quality)

    def _decoded(
        self,
        symbols: Symbols,
        given: UncodedLatent | None,
        grid: tuple[int, int],
        gains: Gains,
        quality: int,
    ) -> Tensor:
        known = self.entropy(symbols, given, grid, quality)
        return self.synthesis(gains.after("intra", known.latent, quality))


def grid_of(feature: Tensor) -> tuple[int, int]:
    """Return the size of the hyper latent of a feature."""
    return feature.shape[-2] // STRIDE, feature.shape[-1] // STRIDE
