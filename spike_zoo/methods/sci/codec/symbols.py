"""Rate estimation, encoding and decoding of symbols."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.coding import rans
from spike_zoo.coding import tables as frequency_tables
from spike_zoo.methods.sci.codec.entropy import MIN_MASS, RADIUS, HyperPrior
from spike_zoo.methods.sci.codec.scale_net import LEVELS, ScaleNet, clamp_with_gradient, ste_round

ESCAPE_BITS = 16.0
"""Bits that follow an escape, for a symbol beyond the radius of its table."""
_NARROWEST, _WIDEST = float(frequency_tables.SIGMAS[0]), float(frequency_tables.SIGMAS[-1])


class RateEstimator:
    """Estimate the bits of symbols, with gradients.

    Bits are always those of values with noise, except with ``is_exact``.

    Args:
        generator: Random generator of the noise that replaces rounding.
        is_noisy: Whether decoded residuals have noise, as at the start of training; otherwise they
            are rounded, with a straight-through gradient.
        is_rounded: Whether scale indexes are rounded, as at the end of training.
        is_exact: Whether values are rounded and scale indexes are those of the integer networks, as
            in a bitstream. Without gradients.
    """

    def __init__(
        self,
        generator: torch.Generator | None = None,
        *,
        is_noisy: bool = False,
        is_rounded: bool = False,
        is_exact: bool = False,
    ) -> None:
        self.bits: Tensor | float = 0.0
        self._generator = generator
        self._is_noisy, self._is_rounded, self._is_exact = is_noisy, is_rounded, is_exact

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Return the rounded hyper latent, and add its bits."""
        assert latent is not None
        counted = self._quantised(latent.float())
        bits = prior.bits(counted)
        if self._is_exact:
            bits = bits + ESCAPE_BITS * (counted.abs() > RADIUS)
        self.bits = self.bits + bits.sum()
        return ste_round(latent.float())

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        """Return scale indexes with gradients, or exact ones with ``is_exact``."""
        if self._is_exact:
            return net.scale_indexes(hyper, context, quality).float()
        level = net(hyper, context, quality)
        return ste_round(level) if self._is_rounded else level

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return residuals and symbols inside the mask, and add their bits."""
        assert latent is not None
        residual = latent.float() - mean.float()
        symbols = torch.where(mask, ste_round(residual), 0.0)
        if self._is_exact:
            symbols = torch.where(level > 0, symbols, 0.0)
        counted = symbols if self._is_exact else self._quantised(residual)
        bits = gaussian_bits(counted, sigma_of(level))
        if self._is_exact:
            radius = torch.tensor(frequency_tables.gaussian_tables().radius, device=level.device)
            bits = bits + ESCAPE_BITS * (symbols.abs() > radius[level.long()])
            bits = torch.where(level > 0, bits, 0.0)
        self.bits = self.bits + torch.where(mask, bits, 0.0).sum()
        values = counted if self._is_noisy else symbols
        return torch.where(mask, values, 0.0), symbols

    def number(self, value: int | None, stop: int) -> int:
        """Return a number and add its bits."""
        assert value is not None
        self.bits = self.bits + math.log2(stop)
        return value

    def trial(self) -> RateEstimator:
        """Return an exact estimator of one alternative."""
        return RateEstimator(is_exact=True)

    def accept(self, trial: RateEstimator) -> None:
        """Add the bits of a trial."""
        self.bits = self.bits + trial.bits

    def _quantised(self, values: Tensor) -> Tensor:
        if self._is_exact:
            return values.round()
        return add_uniform_noise(values, self._generator)


def add_uniform_noise(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Add uniform noise in [-1/2, 1/2), a differentiable substitute of rounding."""
    device = x.device if generator is None else generator.device
    drawn = torch.rand(x.shape, generator=generator, device=device)
    return x + drawn.to(x.device, x.dtype) - 0.5


def sigma_of(level: Tensor) -> Tensor:
    """Return the standard deviation of a scale index: 0.11 for 0, 64 for 63; may be fractional."""
    return _NARROWEST * torch.exp(level * (math.log(_WIDEST / _NARROWEST) / (LEVELS - 1)))


def gaussian_bits(value: Tensor, sigma: Tensor) -> Tensor:
    """Return the bits of each value: -log2 of the zero-mean normal mass of its unit interval."""
    distance = value.abs()  # by symmetry; the CDF is more precise in the lower tail
    mass = _normal_cdf((0.5 - distance) / sigma) - _normal_cdf((-0.5 - distance) / sigma)
    return -torch.log2(clamp_with_gradient(mass, MIN_MASS, 1.0))


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x * math.sqrt(0.5))


_Part: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32], frequency_tables.FrequencyTables]


class ExactSymbols:
    """Base class of encoders and decoders: exact scale indexes, and cached tables."""

    def __init__(self) -> None:
        self._tables: dict[HyperPrior, frequency_tables.FrequencyTables] = {}

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        """Return the exact scale indexes."""
        return net.scale_indexes(hyper, context, quality)

    def tables_of(self, prior: HyperPrior) -> frequency_tables.FrequencyTables:
        """Return the tables of a hyper latent."""
        if prior not in self._tables:
            self._tables[prior] = tables_of(prior)
        return self._tables[prior]


class SymbolEncoder(ExactSymbols):
    """Write the symbols of groups of pictures; each sample of a batch has its own encoder."""

    def __init__(self, *encoders: rans.GroupEncoder | _SymbolRecorder) -> None:
        super().__init__()
        self._encoders = encoders

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Round a hyper latent and write it."""
        assert latent is not None
        symbols = check_symbols(latent.float().round())
        channels, tables = channel_of_each(size), self.tables_of(prior)
        for encoder, sample in zip(self._encoders, as_integers(symbols), strict=True):
            encoder.push(sample, channels, tables)
        return symbols

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Round the residuals inside the mask and write them; index 0 is not coded."""
        assert latent is not None
        coded = mask & (level > 0)
        symbols = check_symbols(torch.where(coded, (latent.float() - mean.float()).round(), 0.0))
        samples = zip(as_integers(symbols), as_integers(level), as_integers(coded), strict=True)
        for encoder, (values, table, is_coded) in zip(self._encoders, samples, strict=True):
            is_used = is_coded > 0
            encoder.push(values[is_used], table[is_used], frequency_tables.gaussian_tables())
        return symbols, symbols

    def number(self, value: int | None, stop: int) -> int:
        """Write a number."""
        assert value is not None
        for encoder in self._encoders:
            encoder.push(np.array([value - RADIUS], np.int32), _TABLE_0, number_table(stop))
        return value

    def trial(self) -> SymbolEncoder:
        """Return an encoder that records symbols for :meth:`accept` and counts their bits."""
        return SymbolEncoder(*(_SymbolRecorder() for _ in self._encoders))

    def accept(self, trial: SymbolEncoder) -> None:
        """Write the symbols of a trial."""
        for encoder, recorded in zip(self._encoders, trial._encoders, strict=True):
            for part in cast("_SymbolRecorder", recorded).parts:
                encoder.push(*part)

    @property
    def bits(self) -> float:
        """Bits of the symbols of a trial."""
        recorders = cast("tuple[_SymbolRecorder, ...]", self._encoders)
        parts = [part for recorder in recorders for part in recorder.parts]
        return sum(rans.ideal_bits(*part) for part in parts)


class _SymbolRecorder:
    """Recorder of symbols, with the interface of :class:`GroupEncoder`."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []

    def push(self, *part: *_Part) -> None:
        self.parts.append(part)


class SymbolDecoder(ExactSymbols):
    """Read the symbols of a group of pictures to a device."""

    def __init__(self, decoder: rans.GroupDecoder, device: torch.device) -> None:
        super().__init__()
        self._decoder, self._device = decoder, device

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Read a hyper latent."""
        values = self._decoder.pull(channel_of_each(size), self.tables_of(prior))
        return torch.from_numpy(values.reshape(1, *size)).to(self._device, torch.float32)

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Read the symbols inside the mask."""
        (table,), (is_used,) = as_integers(level), as_integers(mask & (level > 0)) > 0
        values = np.zeros(is_used.shape, np.int32)
        values[is_used] = self._decoder.pull(table[is_used], frequency_tables.gaussian_tables())
        symbols = torch.from_numpy(values.reshape(level.shape)).to(self._device, torch.float32)
        return symbols, symbols

    def number(self, value: int | None, stop: int) -> int:
        """Read a number."""
        number = int(self._decoder.pull(_TABLE_0, number_table(stop))[0]) + RADIUS
        if not 0 <= number < stop:
            raise ValueError(f"a frame states {number}, and {stop - 1} is the largest number")
        return number


_TABLE_0 = np.zeros(1, np.int32)  # index of the only table of numbers


@cache
def number_table(stop: int) -> frequency_tables.FrequencyTables:
    """Return the table of equiprobable numbers below ``stop``."""
    size = 2 * RADIUS + 2
    frequencies = np.ones((1, size), np.int64)
    frequencies[0, :stop] += (65536 - size) // stop
    frequencies[0, 0] += 65536 - frequencies.sum()
    return frequency_tables.from_frequencies(frequencies.astype(np.uint16))


def check_symbols(symbols: Tensor) -> Tensor:
    """Reject symbols that cannot be coded."""
    if not bool((symbols.abs() <= rans.MAX_VALUE).all()):
        raise ValueError(
            f"a symbol is not a number or beyond {rans.MAX_VALUE}: features or weights are broken"
        )
    return symbols


def as_integers(values: Tensor) -> NDArray[np.int32]:
    """Return each sample as flat integers, ``(B, n)``, in the order of ``(C, h, w)``."""
    return values.to("cpu", torch.int32).flatten(1).numpy()


def channel_of_each(size: Sequence[int]) -> NDArray[np.int32]:
    """Return the channel index of each element of a flattened ``(C, h, w)``."""
    return np.repeat(np.arange(size[0], dtype=np.int32), size[1] * size[2])


def tables_of(prior: HyperPrior) -> frequency_tables.FrequencyTables:
    """Return the frequency tables of a finalised hyperprior."""
    return frequency_tables.from_frequencies(prior.frequencies.to("cpu").numpy().astype(np.uint16))
