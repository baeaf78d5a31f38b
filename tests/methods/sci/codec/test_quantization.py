"""Rounding and its gradients, and bits against the error function."""

from __future__ import annotations

import math

import pytest
import torch

from spike_zoo.coding.sci.tables import SIGMAS, gaussian_tables
from spike_zoo.methods.sci.codec.quantization import (
    LEVELS,
    bounded,
    gaussian_bits,
    noisy,
    rounded,
    sigma_of,
)


def test_rounding_goes_to_the_even_and_lets_gradients_pass() -> None:
    x = torch.tensor([0.5, 1.5, -2.5, 2.2], requires_grad=True)
    y = rounded(x)
    assert y.tolist() == [0.0, 2.0, -2.0, 2.0]
    (y * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_noise_is_uniform_over_what_rounding_does_and_drawn_by_the_generator() -> None:
    x = torch.zeros(20_000)
    found = noisy(x, torch.Generator().manual_seed(3))
    assert found.min() >= -0.5
    assert found.max() < 0.5
    assert float(found.var()) == pytest.approx(1 / 12, rel=0.05)
    assert torch.equal(found, noisy(x, torch.Generator().manual_seed(3)))


def test_bounds_let_gradients_pass_that_lead_back_into_range() -> None:
    x = torch.tensor([-2.0, -2.0, 0.5, 9.0, 9.0], requires_grad=True)
    y = bounded(x, 0.0, 1.0)
    assert y.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    y.backward(torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0]))  # a step goes against the gradient
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, -1.0, 1.0, 1.0, 0.0]


def test_deviations_of_levels_are_those_of_the_tables() -> None:
    found = sigma_of(torch.arange(LEVELS).double())
    torch.testing.assert_close(found, torch.from_numpy(SIGMAS), rtol=1e-6, atol=0)


@pytest.mark.parametrize("level", [0, 7, 22, 41, 63])
def test_bits_are_those_of_the_unit_interval_under_a_normal_distribution(level: int) -> None:
    sigma = float(SIGMAS[level])
    for value in (0, 1, -3, 20):
        mass = 0.5 * (
            math.erfc((abs(value) - 0.5) / sigma / math.sqrt(2))
            - math.erfc((abs(value) + 0.5) / sigma / math.sqrt(2))
        )
        wanted = -math.log2(max(mass, 2.0**-16))
        found = gaussian_bits(torch.tensor(float(value)), torch.tensor(sigma))
        assert float(found) == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_estimates_agree_with_what_the_tables_take() -> None:
    tables = gaussian_tables()
    for level in (5, 22, 50):
        radius, start = int(tables.radius[level]), int(tables.offset[level])
        ends = tables.cumulative[start : start + 2 * radius + 2].astype("int64")
        frequencies = torch.from_numpy(ends[1:] - ends[:-1]).double()
        symbols = torch.arange(-radius, radius + 1).double()
        sigma = torch.full_like(symbols, float(SIGMAS[level]))
        excess = (16 - frequencies.log2()) - gaussian_bits(symbols, sigma)
        mean = (frequencies / 65536 * excess).sum()
        assert abs(mean) < 0.01  # bits per symbol
