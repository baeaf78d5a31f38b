"""Differentiable rounding, bits of Gaussian symbols, and clamping with gradients."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from spike_zoo.coding import tables as frequency_tables

Quantisation = Literal["mixed", "noise", "ste"]

LEVELS = len(frequency_tables.SIGMAS)
"""Number of Gaussian probability tables, that is of scale indexes. Symbols with index 0, the
narrowest, are not coded."""
MIN_MASS = 2.0**-16
"""Least probability of a symbol, as in 16-bit frequency tables."""
_NARROWEST, _WIDEST = float(frequency_tables.SIGMAS[0]), float(frequency_tables.SIGMAS[-1])


def ste_round(x: Tensor) -> Tensor:
    """Round half to even, with a straight-through gradient."""
    return x + (x.round() - x).detach()


def add_uniform_noise(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Add uniform noise in [-1/2, 1/2), a differentiable substitute of rounding.

    Args:
        x: Values of any shape.
        generator: Random generator; by default torch's.
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
        # gradient descent raises a value that is too small if its gradient is negative
        passes = ((x >= low) | (gradient < 0)) & ((x <= high) | (gradient > 0))
        return gradient * passes, None, None


def clamp_with_gradient(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp; outside the range, only gradients that move a value back into the range pass."""
    return _Bounded.apply(x, low, high)  # type: ignore[no-untyped-call]  # torch's


def sigma_of(level: Tensor) -> Tensor:
    """Return the standard deviation of a scale index: 0.11 for 0, 64 for 63; may be fractional."""
    return _NARROWEST * torch.exp(level * (math.log(_WIDEST / _NARROWEST) / (LEVELS - 1)))


def gaussian_bits(value: Tensor, sigma: Tensor) -> Tensor:
    """Return the bits of each value: -log2 of the zero-mean normal mass of its unit interval.

    Args:
        value: Integers, or integers with noise in training.
        sigma: Standard deviations, of the same shape.
    """
    distance = value.abs()  # by symmetry; the CDF is more precise in the lower tail
    mass = _normal_cdf((0.5 - distance) / sigma) - _normal_cdf((-0.5 - distance) / sigma)
    return -torch.log2(clamp_with_gradient(mass, MIN_MASS, 1.0))


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x * math.sqrt(0.5))
