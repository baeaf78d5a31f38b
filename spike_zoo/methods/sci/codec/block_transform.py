"""Linear transform of blocks beside the networks of I-frames, which starts as a DCT."""

from __future__ import annotations

import itertools
from typing import cast

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.sci.features.blocks import FEATURES

LATENT_STRIDE = 16
"""Pixels of a feature along one of a latent, and side of a block."""
BLOCK_STEP = 0.13
"""Rounding step of DCT coefficients at the best quality, about the best for a weight of 512."""


def block_analysis(channels: int) -> nn.Conv2d:
    """Return a DCT of blocks of 16 x 16 pixels: its lowest frequencies, of the channels' mean.

    A grey of 0.5 has zeros only.

    Args:
        channels: Number of frequencies.

    Returns:
        ``(B, 3, H, W)`` -> ``(B, N, H/16, W/16)``, in units of :data:`BLOCK_STEP`.
    """
    layer = nn.Conv2d(FEATURES, channels, LATENT_STRIDE, stride=LATENT_STRIDE)
    with torch.no_grad():
        weight = _dct(channels) / (FEATURES * BLOCK_STEP)
        layer.weight.copy_(weight.expand_as(layer.weight))
        cast("Tensor", layer.bias).copy_(-0.5 * layer.weight.sum((1, 2, 3)))
    return layer


def block_synthesis(channels: int) -> nn.ConvTranspose2d:
    """Return the inverse of :func:`block_analysis`, with all channels equal."""
    layer = nn.ConvTranspose2d(channels, FEATURES, LATENT_STRIDE, stride=LATENT_STRIDE)
    with torch.no_grad():
        layer.weight.copy_((BLOCK_STEP * _dct(channels)).expand_as(layer.weight))
        cast("Tensor", layer.bias).fill_(0.5)
    return layer


def _dct(channels: int) -> Tensor:
    """Return the lowest frequencies of an orthonormal DCT, ``(N, 1, 16, 16)``; zeros beyond 256."""
    line = torch.from_numpy(dct(np.eye(LATENT_STRIDE), axis=0, norm="ortho"))
    pairs = itertools.product(range(LATENT_STRIDE), repeat=2)
    lowest = sorted(pairs, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[:channels]
    basis = torch.stack([torch.outer(line[u], line[v]) for u, v in lowest])[:, None].float()
    return F.pad(basis, (0, 0, 0, 0, 0, 0, 0, channels - len(basis)))
