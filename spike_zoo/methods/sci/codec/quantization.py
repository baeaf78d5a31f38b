"""Rounding that trains, what a symbol costs, and bounds that let gradients back into range."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from spike_zoo.coding.sci.tables import SIGMAS

Quantisation = Literal["mixed", "noise", "ste"]

LEVELS = len(SIGMAS)
"""Probability tables of Gaussian symbols; level 0 is the narrowest and never coded."""
LEAST_MASS = 2.0**-16
"""Probability below which a symbol is not believed to fall, as in tables of 16 bits."""
_NARROWEST, _WIDEST = float(SIGMAS[0]), float(SIGMAS[-1])


def rounded(x: Tensor) -> Tensor:
    """Round half to even; gradients pass as if nothing were done."""
    return x + (x.round() - x).detach()


def noisy(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Add uniform noise of [-1/2, 1/2): what rounding does, but with a gradient.

    Args:
        x: Any.
        generator: Draws on the CPU; by default torch's own.
    """
    device = x.device if generator is None else generator.device
    drawn = torch.rand(x.shape, generator=generator, device=device)
    return x + drawn.to(x.device, x.dtype) - 0.5


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:  # noqa: ANN401  (torch's)
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ANN401  (torch's)
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        # a step goes against the gradient: what is too small rises where that is negative
        passes = ((x >= low) | (gradient < 0)) & ((x <= high) | (gradient > 0))
        return gradient * passes, None, None


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp; gradients that would move a value back into range pass, the others do not."""
    return _Bounded.apply(x, low, high)  # type: ignore[no-untyped-call]  # torch's


def sigma_of(level: Tensor) -> Tensor:
    """Return the deviation of a level, which may lie between two: 0.11 at 0, 64 at 63."""
    return _NARROWEST * torch.exp(level * (math.log(_WIDEST / _NARROWEST) / (LEVELS - 1)))


def gaussian_bits(value: Tensor, sigma: Tensor) -> Tensor:
    """Return the bits of each value under a normal distribution around 0, of its unit interval.

    Args:
        value: Integers, or their noisy substitute in training.
        sigma: Deviations, of the same shape.
    """
    distance = value.abs()  # both tails are alike; the lower one keeps its digits
    mass = _normal_cdf((0.5 - distance) / sigma) - _normal_cdf((-0.5 - distance) / sigma)
    return -torch.log2(bounded(mass, LEAST_MASS, 1.0))


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x * math.sqrt(0.5))
