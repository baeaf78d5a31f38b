"""Where symbols come from or go: training counts bits, a stream is written, or it is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.coding.sci.rans import LARGEST, GroupDecoder, GroupEncoder, ideal_bits
from spike_zoo.coding.sci.tables import FrequencyTables, from_frequencies, gaussian_tables
from spike_zoo.methods.sci.codec.entropy import RADIUS, HyperPrior
from spike_zoo.methods.sci.codec.quantization import gaussian_bits, noisy, rounded, sigma_of
from spike_zoo.methods.sci.codec.scale_net import ScaleNet

ESCAPE_BITS = 16.0
"""Bits behind an escape, of a symbol beyond its table's radius."""


class RateEstimator:
    """Count the bits that symbols would take, with gradients; nothing is written.

    Args:
        generator: Draws the noise that replaces rounding.
        is_noisy: Whether values too get that noise, as at the begin of a training; otherwise they
            are rounded, with gradients that pass.
        is_rounded: Whether levels are rounded, as at its end.
        is_exact: Whether values are rounded, and levels are those of the integer networks: what a
            stream would hold. Without gradients.
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
        """Return the rounded hyper latent, and count it."""
        assert latent is not None
        counted = self._blurred(latent.float())
        bits = prior.bits(counted)
        if self._is_exact:
            bits = bits + ESCAPE_BITS * (counted.abs() > RADIUS)
        self.bits = self.bits + bits.sum()
        return rounded(latent.float())

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        """Return the levels as the training sees them, or those that will count."""
        if self._is_exact:
            return net.scale_indexes(hyper, context, quality).float()
        found = net(hyper, context, quality)
        return rounded(found) if self._is_rounded else found

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what rounding leaves, and count it where the mask is."""
        assert latent is not None
        exact = latent.float() - mean.float()
        symbols = torch.where(mask, rounded(exact), 0.0)
        if self._is_exact:
            symbols = torch.where(level > 0, symbols, 0.0)
        counted = symbols if self._is_exact else self._blurred(exact)
        bits = gaussian_bits(counted, sigma_of(level))
        if self._is_exact:
            radius = torch.from_numpy(gaussian_tables().radius.copy()).to(level.device)
            bits = bits + ESCAPE_BITS * (symbols.abs() > radius[level.long()])
            bits = torch.where(level > 0, bits, 0.0)
        self.bits = self.bits + torch.where(mask, bits, 0.0).sum()
        values = counted if self._is_noisy else symbols
        return torch.where(mask, values, 0.0), symbols

    def number(self, value: int | None, stop: int) -> int:
        """Return a number and count it."""
        assert value is not None
        self.bits = self.bits + math.log2(stop)
        return value

    def trial(self) -> RateEstimator:
        """Return an estimator of one choice, exact as encoders count."""
        return RateEstimator(is_exact=True)

    def accept(self, trial: RateEstimator) -> None:
        """Add what a trial counted."""
        self.bits = self.bits + trial.bits

    def _blurred(self, values: Tensor) -> Tensor:
        if self._is_exact:
            return values.round()
        return noisy(values, self._generator)


class ExactSymbols:
    """Base class of streams: levels are exact, and tables are made once for all frames."""

    def __init__(self) -> None:
        self._tables: dict[HyperPrior, FrequencyTables] = {}

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        """Return the exact levels."""
        return net.scale_indexes(hyper, context, quality)

    def tables_of(self, prior: HyperPrior) -> FrequencyTables:
        """Return the tables of a hyper latent."""
        if prior not in self._tables:
            self._tables[prior] = tables_of(prior)
        return self._tables[prior]


class SymbolEncoder(ExactSymbols):
    """Write symbols into groups of pictures, one for each sample of a batch.

    Args:
        encoders: Take them, in reading order.
    """

    def __init__(self, *encoders: GroupEncoder | _Recorded) -> None:
        super().__init__()
        self._encoders = encoders

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Round a hyper latent and write it."""
        assert latent is not None
        symbols = checked(latent.float().round())
        channels, tables = channel_of_each(size), self.tables_of(prior)
        for encoder, sample in zip(self._encoders, as_integers(symbols), strict=True):
            encoder.push(sample, channels, tables)
        return symbols

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Round what the mean leaves of a latent and write it where the mask is."""
        assert latent is not None
        coded = mask & (level > 0)
        symbols = checked(torch.where(coded, (latent.float() - mean.float()).round(), 0.0))
        samples = zip(as_integers(symbols), as_integers(level), as_integers(coded), strict=True)
        for encoder, (values, table, is_coded) in zip(self._encoders, samples, strict=True):
            places = is_coded > 0
            encoder.push(values[places], table[places], gaussian_tables())
        return symbols, symbols

    def number(self, value: int | None, stop: int) -> int:
        """Write a number."""
        assert value is not None
        for encoder in self._encoders:
            encoder.push(np.array([value - RADIUS], np.int32), _FIRST, number_table(stop))
        return value

    def trial(self) -> SymbolEncoder:
        """Return an encoder that keeps its symbols and counts their bits, see :meth:`accept`."""
        return SymbolEncoder(*(_Recorded() for _ in self._encoders))

    def accept(self, trial: SymbolEncoder) -> None:
        """Write the symbols of a trial."""
        for encoder, recorded in zip(self._encoders, trial._encoders, strict=True):
            for part in cast("_Recorded", recorded).parts:
                encoder.push(*part)

    @property
    def bits(self) -> float:
        """Bits of the symbols of a trial."""
        parts = [part for one in self._encoders for part in cast("_Recorded", one).parts]
        return sum(ideal_bits(*part) for part in parts)


class _Recorded:
    """Symbols that are kept rather than written."""

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[np.int32], NDArray[np.int32], FrequencyTables]] = []

    def push(
        self, symbols: NDArray[np.int32], table: NDArray[np.int32], tables: FrequencyTables
    ) -> None:
        self.parts.append((symbols, table, tables))


class SymbolDecoder(ExactSymbols):
    """Read symbols of a group of pictures.

    Args:
        decoder: Gives them, in the order in which they were written.
        device: Where they go.
    """

    def __init__(self, decoder: GroupDecoder, device: torch.device) -> None:
        super().__init__()
        self._decoder, self._device = decoder, device

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Read a hyper latent."""
        found = self._decoder.pull(channel_of_each(size), self.tables_of(prior))
        return torch.from_numpy(found.reshape(1, *size)).to(self._device, torch.float32)

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Read the symbols that lie where the mask is."""
        (table,), (places,) = as_integers(level), as_integers(mask & (level > 0)) > 0
        found = np.zeros(places.shape, np.int32)
        found[places] = self._decoder.pull(table[places], gaussian_tables())
        symbols = torch.from_numpy(found.reshape(level.shape)).to(self._device, torch.float32)
        return symbols, symbols

    def number(self, value: int | None, stop: int) -> int:
        """Read a number.

        Raises:
            ValueError: If it is not below ``stop``: no encoder wrote it.
        """
        number = int(self._decoder.pull(_FIRST, number_table(stop))[0]) + RADIUS
        if not 0 <= number < stop:
            raise ValueError(f"a frame states {number}, and {stop - 1} is the largest number")
        return number


_FIRST = np.zeros(1, np.int32)


@cache
def number_table(stop: int) -> FrequencyTables:
    """Return the table of numbers below ``stop``, all of the same probability."""
    size = 2 * RADIUS + 2
    frequencies = np.ones((1, size), np.int64)
    frequencies[0, :stop] += (65536 - size) // stop
    frequencies[0, 0] += 65536 - frequencies.sum()
    return from_frequencies(frequencies.astype(np.uint16))


def checked(symbols: Tensor) -> Tensor:
    """Reject symbols that no stream can hold.

    Raises:
        ValueError: If one is no number, or beyond 32767.
    """
    if not bool((symbols.abs() <= LARGEST).all()):
        raise ValueError(
            f"a symbol is no number, or beyond {LARGEST}: the features or the weights are broken"
        )
    return symbols


def as_integers(values: Tensor) -> NDArray[np.int32]:
    """Return each sample as flat integers, channel after channel, row after row, ``(B, n)``."""
    return values.to("cpu", torch.int32).flatten(1).numpy()


def channel_of_each(size: Sequence[int]) -> NDArray[np.int32]:
    """Return the channel of each element of ``(C, h, w)``."""
    return np.repeat(np.arange(size[0], dtype=np.int32), size[1] * size[2])


def tables_of(prior: HyperPrior) -> FrequencyTables:
    """Return the tables of a hyper latent, which its training left."""
    return from_frequencies(prior.frequencies.to("cpu").numpy().astype(np.uint16))
