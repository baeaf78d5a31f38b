"""Motion between features: estimation from coarse to fine, chains over time, refinement."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.sci.features.blocks import FEATURES, check_width, conv3, scaled, warped
from spike_zoo.nn.padding import crop_padding, pad_to_multiple
from spike_zoo.nn.precision import in_full_precision

FACTORS = (16, 8, 4, 2, 1)
"""How much smaller each level is, the coarsest first."""
INVERSE_STEPS = 2
FAINTEST = 1e-3
"""Deviation of features that is no picture any more, so that noise in the dark is not enlarged."""


class LevelNet(nn.Module):
    """What one level adds to the motion so far.

    Args:
        width: Of the channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [2 * FEATURES + 2, *(scaled(c, width) for c in (32, 64, 32, 16))]
        pairs = itertools.pairwise(channels)
        layers = [(nn.Conv2d(a, b, 5, padding=2), nn.ReLU()) for a, b in pairs]
        self.layers = nn.Sequential(*(layer for pair in layers for layer in pair))
        self.last = nn.Conv2d(channels[-1], 2, 5, padding=2)

    def forward(self, current: Tensor, reference: Tensor, motion: Tensor) -> Tensor:
        """Return a better motion, all of one size.

        Args:
            current: ``(B, 3, h, w)``.
            reference: The earlier feature, as ``current``.
            motion: ``(B, 2, h, w)`` in pixels of that size.
        """
        seen = torch.cat([current, warped(reference, motion), motion.to(current.dtype)], dim=1)
        return motion + in_full_precision(self.last, self.layers(seen))


class MotionEstimation(nn.Module):
    """Estimate the backward motion between two features, from coarse to fine.

    Args:
        width: Of the channels; 1 is the paper's budget.

    Shape:
        - current, reference: ``(B, 3, H, W)``, features of a time and of an earlier one.
        - Output: ``(B, 2, H, W)`` in pixels, (dx, dy): ``reference(x + v(x)) ~ current(x)``.

    Source: Sec. IV-B of the paper names motion between a feature and the decoded one before it; the
    pyramid is the usual one of learned video codecs, trained here from nothing.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        check_width("codec_width", width)
        self.levels = nn.ModuleList(LevelNet(width) for _ in FACTORS)

    def forward(self, current: Tensor, reference: Tensor) -> Tensor:
        """Return the motion at full size, float32."""
        return crop_padding(self.pyramid(current, reference)[-1], *current.shape[-2:])

    def pyramid(self, current: Tensor, reference: Tensor) -> list[Tensor]:
        """Return the motion of every level, the coarsest first.

        Each is in pixels of its own size: those of the features, enlarged to the next multiple of
        16, divided by :data:`FACTORS`.
        """
        pair = normalised(torch.stack([current, reference], dim=1)).unbind(1)
        current, reference = (pad_to_multiple(x, FACTORS[0]) for x in pair)
        batch, _, height, width = current.shape
        size = height // FACTORS[0], width // FACTORS[0]
        motion = torch.zeros(batch, 2, *size, device=current.device)
        motions: list[Tensor] = []
        for level, factor in zip(self.levels, FACTORS, strict=True):
            if motions:
                motion = 2 * F.interpolate(motions[-1], scale_factor=2, mode="bilinear")
            smaller = (F.avg_pool2d(x, factor) for x in (current, reference))
            motions.append(level(*smaller, motion))
        return motions


def normalised(pair: Tensor) -> Tensor:
    """Return both features of each pair with mean 0 and deviation 1 over all of it.

    The signal of motion is small beside brightness: without this the first levels learn nothing in
    300 updates in which they otherwise lose an eighth of the error.

    Args:
        pair: ``(B, 2, 3, H, W)``.
    """
    pair = pair.float()
    dims = (1, 2, 3, 4)
    deviation = pair.std(dims, correction=0, keepdim=True)
    return (pair - pair.mean(dims, keepdim=True)) / (deviation + FAINTEST)


def inverted(motion: Tensor, steps: int = INVERSE_STEPS) -> Tensor:
    """Return the motion the other way, by fixed-point steps from its negative.

    Args:
        motion: ``(B, 2, H, W)``, from a time to an earlier one.
        steps: How often ``u <- -v(x + u)`` is done.
    """
    back = -motion
    for _ in range(steps):
        back = -warped(motion, back)
    return back


def chained(links: Sequence[Tensor]) -> Tensor:
    """Return the motions from a time t to its four neighbours.

    Args:
        links: Backward motions of t-1, t, t+1 and t+2, each ``(B, 2, H, W)`` to the time before
            it; zeros where there is no motion, and the rest of the chain is kept.

    Returns:
        ``(B, 4, 2, H, W)``: to t-2, t-1, t+1 and t+2.
    """
    before, here, after, later = links
    forward, onward = inverted(after), inverted(later)
    return torch.stack(
        [here + warped(before, here), here, forward, forward + warped(onward, forward)], dim=1
    )


class FMVR(nn.Module):
    """Refine decoded motion by the decoded feature (feature-level motion vector refinement).

    Untrained, it changes nothing.

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
