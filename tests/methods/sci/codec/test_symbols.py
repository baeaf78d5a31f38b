"""Tests of symbols (rate estimation, encoding, decoding) and of entropy models."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from spike_zoo.coding.rans import GroupDecoder, GroupEncoder, ideal_bits
from spike_zoo.coding.tables import SIGMAS, gaussian_tables
from spike_zoo.methods.sci.codec.entropy import (
    FrameCoder,
    Gains,
    HyperPrior,
    LatentEntropy,
    Passes,
    UncodedLatent,
    coding_passes,
)
from spike_zoo.methods.sci.codec.scale_net import ScaleNet, clamp_with_gradient, ste_round
from spike_zoo.methods.sci.codec.symbols import (
    RateEstimator,
    SymbolDecoder,
    SymbolEncoder,
    add_uniform_noise,
    as_integers,
    channel_of_each,
    gaussian_bits,
    sigma_of,
    tables_of,
)

CPU = torch.device("cpu")


@pytest.fixture
def prior() -> HyperPrior:
    finalised_prior = HyperPrior(2)
    finalised_prior.finalize()
    return finalised_prior


def residuals(level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(level)
    latent = 3 * torch.randn(1, 2, 4, 4, generator=generator)
    mean = torch.randn(1, 2, 4, 4, generator=generator)
    return latent, mean, torch.full((1, 2, 4, 4), level), torch.rand(2, 4, 4) < 0.5


def test_decoded_symbols_equal_encoded_symbols(prior: HyperPrior) -> None:
    hyper, size = torch.randn(1, 2, 3, 4) * 9, (2, 3, 4)
    encoder = GroupEncoder()
    symbol_encoder = SymbolEncoder(encoder)
    symbols = [symbol_encoder.hyper(hyper, prior, size)]
    assert torch.equal(symbols[0], hyper.round())
    parts = [residuals(level) for level in (30, 0, 63)]
    symbols += [symbol_encoder.residual(*part)[1] for part in parts]
    decoder = GroupDecoder(encoder.finish(), 0)
    symbol_decoder = SymbolDecoder(decoder, CPU)
    decoded = [symbol_decoder.hyper(None, prior, size)]
    decoded += [symbol_decoder.residual(None, *part[1:])[1] for part in parts]
    decoder.finish()
    for actual, expected in zip(decoded, symbols, strict=True):
        assert torch.equal(actual, expected)


def test_residuals_of_scale_index_0_take_no_bits() -> None:
    latent, mean, level, mask = residuals(0)
    encoder = GroupEncoder()
    value, symbols = SymbolEncoder(encoder).residual(latent, mean, level, mask)
    assert not symbols.any()
    assert not value.any()
    assert len(encoder.finish()) == 8
    exact = RateEstimator(is_exact=True)
    assert not exact.residual(latent, mean, level, mask)[1].any()
    assert float(exact.bits) == 0


def test_values_outside_the_mask_are_neither_coded_nor_counted() -> None:
    latent, mean, level, mask = residuals(25)
    far = torch.where(mask, latent, 1e4)  # each would cost 16 bits
    for estimator in (
        RateEstimator(is_exact=True),
        RateEstimator(torch.Generator().manual_seed(0)),
    ):
        _, symbols = estimator.residual(far, mean, level.float(), mask)
        assert torch.equal(symbols, torch.where(mask, (latent - mean).round(), 0.0))
        assert float(estimator.bits) < 8 * int(mask.sum())


def test_training_rounds_values_or_adds_noise_with_the_same_rate() -> None:
    latent, mean, level, mask = residuals(25)
    latent.requires_grad_()
    rounding = RateEstimator(torch.Generator().manual_seed(0))
    value, symbols = rounding.residual(latent, mean, level.float(), mask)
    assert torch.equal(value, symbols)
    noise = RateEstimator(torch.Generator().manual_seed(0), is_noisy=True)
    noisy_value, noisy_symbols = noise.residual(latent, mean, level.float(), mask)
    assert torch.equal(noisy_symbols, symbols)
    assert (noisy_value - torch.where(mask, latent - mean, 0.0)).abs().max() <= 0.5
    assert not torch.equal(noisy_value, symbols)
    assert torch.equal(torch.as_tensor(noise.bits), torch.as_tensor(rounding.bits))
    torch.as_tensor(noise.bits).backward()
    assert latent.grad is not None
    assert torch.equal(latent.grad[0] != 0, mask)


@pytest.mark.parametrize("value", [float("nan"), 32768.0])
def test_symbols_out_of_range_are_rejected(value: float, prior: HyperPrior) -> None:
    latent, mean, level, mask = residuals(25)
    symbol_encoder = SymbolEncoder(GroupEncoder())
    with pytest.raises(ValueError, match="a symbol is not a number or beyond 32767"):
        symbol_encoder.residual(torch.full_like(latent, value), 0 * mean, level, mask)
    with pytest.raises(ValueError, match="features or weights are broken"):
        symbol_encoder.hyper(torch.full((1, 2, 1, 1), value), prior, (2, 1, 1))


@pytest.fixture
def learned_prior() -> HyperPrior:
    torch.manual_seed(0)
    finalised_prior = HyperPrior(6)
    with torch.no_grad():
        finalised_prior.logits.normal_()
        finalised_prior.means.mul_(2.0)
        finalised_prior.log_scales.uniform_(-0.5, 0.7)
    finalised_prior.finalize()
    return finalised_prior


def test_estimated_bits_of_the_prior_agree_with_its_tables(learned_prior: HyperPrior) -> None:
    generator = torch.Generator().manual_seed(1)
    symbols = (2.5 * torch.randn(1, 6, 40, 40, generator=generator)).round()
    estimated = float(learned_prior.bits(symbols).sum().detach())
    channels = channel_of_each((6, 40, 40))
    assert estimated == pytest.approx(
        ideal_bits(as_integers(symbols)[0], channels, tables_of(learned_prior)), rel=0.002
    )


def test_outliers_cost_16_bits_and_their_gradient_moves_the_means_towards_them(
    learned_prior: HyperPrior,
) -> None:
    values = torch.full((1, 6, 1, 2), 400.0)
    values[..., 1] = -400.0
    bits = learned_prior.bits(values)
    assert torch.equal(bits, torch.full_like(bits, 16.0))
    learned_prior.bits(torch.full((1, 6, 1, 1), 9.0)).sum().backward()
    assert learned_prior.means.grad is not None
    assert (learned_prior.means.grad <= 0).all(), "descent moves the means towards the values"
    assert learned_prior.means.grad.any()


def test_rounding_is_half_to_even_and_passes_gradients() -> None:
    x = torch.tensor([0.5, 1.5, -2.5, 2.2], requires_grad=True)
    y = ste_round(x)
    assert y.tolist() == [0.0, 2.0, -2.0, 2.0]
    (y * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_noise_is_uniform_between_minus_a_half_and_a_half_and_repeats_by_seed() -> None:
    x = torch.zeros(20_000)
    actual = add_uniform_noise(x, torch.Generator().manual_seed(3))
    assert actual.min() >= -0.5
    assert actual.max() < 0.5
    assert float(actual.var()) == pytest.approx(1 / 12, rel=0.05)
    assert torch.equal(actual, add_uniform_noise(x, torch.Generator().manual_seed(3)))


def test_bounds_pass_only_gradients_towards_the_range() -> None:
    x = torch.tensor([-2.0, -2.0, 0.5, 9.0, 9.0], requires_grad=True)
    y = clamp_with_gradient(x, 0.0, 1.0)
    assert y.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    y.backward(torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0]))  # descent moves against the gradient
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, -1.0, 1.0, 1.0, 0.0]


def test_gaussian_bits_equal_the_probability_of_a_unit_interval() -> None:
    for level, value in itertools.product((0, 22, 63), (0, 1, -3, 20)):
        sigma = float(SIGMAS[level])
        assert float(sigma_of(torch.tensor(float(level)))) == pytest.approx(sigma, rel=1e-5)
        mass = 0.5 * (
            math.erfc((abs(value) - 0.5) / sigma / math.sqrt(2))
            - math.erfc((abs(value) + 0.5) / sigma / math.sqrt(2))
        )
        expected = -math.log2(max(mass, 2.0**-16))
        actual = gaussian_bits(torch.tensor(float(value)), torch.tensor(sigma))
        assert float(actual) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_gaussian_bits_agree_with_the_probability_tables() -> None:
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


CHANNELS, HYPER = 6, 8


class RecordingSymbols:
    """Symbols with a constant scale index that record contexts, means and masks."""

    def __init__(self) -> None:
        self.contexts: list[list[Tensor]] = []
        self.means: list[Tensor] = []
        self.masks: list[Tensor] = []

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        assert latent is not None
        return latent.round()

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        self.contexts.append(list(context))
        return torch.full((1, CHANNELS, *context[0].shape[-2:]), 22)

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        assert latent is not None
        self.means.append(mean)
        self.masks.append(mask)
        symbols = torch.where(mask, (latent - mean).round(), 0.0)
        return symbols, symbols


def test_means_are_in_single_precision_within_autocast(entropy: LatentEntropy) -> None:
    latent = 4 * torch.randn(1, CHANNELS, 4, 4)
    plain, decoded, _ = code(entropy, latent)
    with torch.autocast("cpu", torch.bfloat16):
        halved, cast, _ = code(entropy, latent)
    for actual, expected in zip(halved.means, plain.means, strict=True):
        assert torch.equal(actual, expected)
    assert torch.equal(cast, decoded)


@pytest.fixture(params=[2, 4])
def entropy(request: pytest.FixtureRequest) -> LatentEntropy:
    torch.manual_seed(0)
    layers: Any = {"raised": (8, 6), "fusion": (8,), "spatial": (8,), "hidden": 8}
    return LatentEntropy(CHANNELS, HYPER, **layers, previous=True, passes=request.param)


def code(
    entropy: LatentEntropy, latent: Tensor, previous: Tensor | None = None
) -> tuple[RecordingSymbols, Tensor, Tensor]:
    recorder = RecordingSymbols()
    before = torch.zeros_like(latent) if previous is None else previous
    with torch.no_grad():
        uncoded = UncodedLatent(latent, torch.ones(1, HYPER, 1, 1))
        decoded = entropy(recorder, uncoded, (1, 1), 1, [], before)
    return recorder, decoded.latent, decoded.symbols


@pytest.mark.parametrize("passes", [2, 4])
def test_each_pass_contains_the_same_share_of_every_channel_and_position(passes: Passes) -> None:
    masks = coding_passes(passes, torch.zeros(1, 8, 4, 12))
    assert (torch.stack(masks).sum(dim=0) == 1).all()
    for mask in masks:
        assert (mask.sum(dim=(1, 2)) == 48 // passes).all()
        assert (mask.sum(dim=0) == 8 // passes).all()


def test_two_passes_are_a_checkerboard() -> None:
    mask, other = coding_passes(2, torch.zeros(1, 6, 4, 8))
    assert mask[0, :2, :3].tolist() == [[True, False, True], [False, True, False]]
    assert torch.equal(mask[5], ~mask[0])
    assert torch.equal(other, ~mask)


def test_decoded_latents_differ_by_at_most_half_a_step(entropy: LatentEntropy) -> None:
    latent = 5 * torch.randn(1, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(1))
    recorder, decoded, symbols = code(entropy, latent)
    assert (decoded - latent).abs().max() <= 0.5 + 1e-5
    for mask, mean in zip(recorder.masks, recorder.means, strict=True):
        residual = torch.where(mask, latent - mean, 0.0)
        torch.testing.assert_close(torch.where(mask, symbols, 0.0), residual.round())


def test_a_pass_depends_on_the_symbols_of_earlier_passes_only(entropy: LatentEntropy) -> None:
    latent = 5 * torch.randn(1, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(1))
    previous = torch.full_like(latent, 3.0)
    recorder, _, symbols = code(entropy, latent, previous)
    known = torch.zeros_like(recorder.masks[0])
    for number, (mask, (context, before)) in enumerate(
        zip(recorder.masks, recorder.contexts, strict=True)
    ):
        assert torch.equal(context, torch.where(known, symbols, 0.0))
        assert torch.equal(before, previous)
        known = known | mask
        changed, _, _ = code(entropy, torch.where(mask, latent + 9, latent), previous)
        for other, (mean, expected) in enumerate(zip(changed.means, recorder.means, strict=True)):
            assert torch.equal(mean, expected) == (other <= number)


def test_decoder_gains_invert_encoder_gains() -> None:
    gains, latent = Gains({"a": 4, "b": 7}), torch.randn(2, 7, 3, 3)
    for quality in range(4):
        coder = FrameCoder(RateEstimator(), gains, quality)
        back = coder.unscale_latent("b", coder.scale_latent("b", latent))
        torch.testing.assert_close(back, latent)
