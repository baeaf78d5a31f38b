"""Symbols that are counted, written and read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from spike_zoo.coding import BitstreamReader, DecodeMismatchError, GroupDecoder, GroupEncoder
from spike_zoo.methods.sci.codec.frames import encode_frames
from spike_zoo.methods.sci.codec.hyperprior import HyperPrior
from spike_zoo.methods.sci.codec.symbols import (
    HyperTables,
    RateEstimator,
    SymbolDecoder,
    SymbolEncoder,
    as_integers,
    channel_of_each,
)
from tests.methods.sci.codecs import features_of, recording

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.methods.sci import SCICodec

CPU = torch.device("cpu")


@pytest.fixture
def prior() -> HyperPrior:
    made = HyperPrior(2)
    made.finalize()
    return made


@pytest.mark.parametrize("quality", range(4))
def test_the_bits_that_are_counted_are_those_of_the_stream(codec: SCICodec, quality: int) -> None:
    source = recording()
    features = features_of(codec, source)
    reader = BitstreamReader(codec.compress(source, quality=quality, gop=4))
    assert codec.coding is not None
    for group, payload in reader:
        first, count = 4 * group, reader.header.group_length(group)
        symbols = RateEstimator(is_exact=True)
        with torch.no_grad():
            coded = features[first : first + count]
            list(encode_frames(codec.coding, symbols, coded, quality, estimation=codec.motion))
        words = len(payload) - 8  # without the checksum and the state
        assert abs(float(symbols.bits) / 8 - words) <= 0.015 * words + 6


def test_tables_of_a_hyper_latent_are_made_once_for_all_frames(prior: HyperPrior) -> None:
    tables = HyperTables()
    assert tables.of(prior) is tables.of(prior)


def residuals(level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(level)
    latent = 3 * torch.randn(1, 2, 4, 4, generator=generator)
    mean = torch.randn(1, 2, 4, 4, generator=generator)
    return latent, mean, torch.full((1, 2, 4, 4), level), torch.rand(2, 4, 4) < 0.5


def test_what_was_written_is_read(prior: HyperPrior) -> None:
    hyper, size = torch.randn(1, 2, 3, 4) * 9, (2, 3, 4)
    encoder = GroupEncoder()
    written = SymbolEncoder(encoder)
    symbols = [written.hyper(hyper, prior, size)]
    assert torch.equal(symbols[0], hyper.round())
    parts = [residuals(level) for level in (30, 0, 63)]
    symbols += [written.residual(*part)[1] for part in parts]
    decoder = GroupDecoder(encoder.finish(), 0)
    read = SymbolDecoder(decoder, CPU)
    found = [read.hyper(None, prior, size)]
    found += [read.residual(None, *part[1:])[1] for part in parts]
    decoder.finish()
    for one, wanted in zip(found, symbols, strict=True):
        assert torch.equal(one, wanted)


def test_the_narrowest_level_codes_nothing() -> None:
    latent, mean, level, mask = residuals(0)
    encoder = GroupEncoder()
    value, symbols = SymbolEncoder(encoder).residual(latent, mean, level, mask)
    assert not symbols.any()
    assert not value.any()
    assert len(encoder.finish()) == 8
    exact = RateEstimator(is_exact=True)
    assert not exact.residual(latent, mean, level, mask)[1].any()
    assert float(exact.bits) == 0


def test_nothing_outside_the_mask_is_coded_or_counted() -> None:
    latent, mean, level, mask = residuals(25)
    far = torch.where(mask, latent, 1e4)  # would cost 16 bits each
    for counted in (RateEstimator(is_exact=True), RateEstimator(torch.Generator().manual_seed(0))):
        _, symbols = counted.residual(far, mean, level.float(), mask)
        assert torch.equal(symbols, torch.where(mask, (latent - mean).round(), 0.0))
        assert float(counted.bits) < 8 * int(mask.sum())


def test_training_rounds_values_or_gives_them_the_noise_that_it_counts() -> None:
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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 32768.0])
def test_symbols_that_no_stream_can_hold_are_refused(value: float, prior: HyperPrior) -> None:
    latent, mean, level, mask = residuals(25)
    written = SymbolEncoder(GroupEncoder())
    with pytest.raises(ValueError, match="a symbol is no number, or beyond 32767"):
        written.residual(torch.full_like(latent, value), 0 * mean, level, mask)
    with pytest.raises(ValueError, match="the features or the weights are broken"):
        written.hyper(torch.full((1, 2, 1, 1), value), prior, (2, 1, 1))


def test_reading_at_another_level_is_noticed() -> None:
    latent, mean, level, mask = residuals(25)
    encoder = GroupEncoder()
    SymbolEncoder(encoder).residual(latent, mean, level, mask)
    decoder = GroupDecoder(encoder.finish(), 7)
    SymbolDecoder(decoder, CPU).residual(None, mean, level + 1, mask)
    with pytest.raises(DecodeMismatchError, match="group of pictures 7"):
        decoder.finish()


def test_symbols_lie_channel_after_channel_and_row_after_row() -> None:
    ordered = torch.arange(48.0).view(2, 2, 3, 4)
    assert as_integers(ordered).tolist() == [list(range(24)), list(range(24, 48))]
    np.testing.assert_array_equal(channel_of_each((2, 3, 4)), np.repeat([0, 1], 12))
