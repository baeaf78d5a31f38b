"""The hyper latent's distribution: bits as trained are those that its tables take."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.coding.sci.rans import ideal_bits
from spike_zoo.methods.sci.codec.hyperprior import HyperPrior
from spike_zoo.methods.sci.codec.symbols import as_integers, channel_of_each, tables_of


@pytest.fixture
def prior() -> HyperPrior:
    torch.manual_seed(0)
    made = HyperPrior(6)
    with torch.no_grad():
        made.logits.normal_()
        made.means.mul_(2.0)
        made.log_scales.uniform_(-0.5, 0.7)
    made.finalize()
    return made


def test_tables_sum_to_16_bits_and_leave_nothing_out(prior: HyperPrior) -> None:
    assert prior.frequencies.shape == (6, 32)
    assert prior.frequencies.min() >= 1
    assert prior.frequencies.sum(dim=1).tolist() == [65536] * 6


def test_bits_as_trained_are_those_of_the_tables(prior: HyperPrior) -> None:
    generator = torch.Generator().manual_seed(1)
    symbols = (2.5 * torch.randn(1, 6, 40, 40, generator=generator)).round()
    estimated = float(prior.bits(symbols).sum().detach())
    channels = channel_of_each((6, 40, 40))
    assert estimated == pytest.approx(
        ideal_bits(as_integers(symbols)[0], channels, tables_of(prior)), rel=0.002
    )


def test_values_far_out_cost_16_bits_and_lead_their_distribution_to_them(
    prior: HyperPrior,
) -> None:
    values = torch.full((1, 6, 1, 2), 400.0)
    values[..., 1] = -400.0
    bits = prior.bits(values)
    assert torch.equal(bits, torch.full_like(bits, 16.0))
    prior.bits(torch.full((1, 6, 1, 1), 9.0)).sum().backward()
    assert prior.means.grad is not None
    assert (prior.means.grad <= 0).all(), "means rise towards what they did not expect"
    assert prior.means.grad.any()
