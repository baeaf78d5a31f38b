"""The entropy model of a latent: a hyper latent, then two passes over a checkerboard.

Encoding, decoding and training are one pass with another :class:`Symbols`, so they cannot disagree:

- ``SymbolEncoder`` rounds a latent and writes its symbols into a stream;
- ``SymbolDecoder`` ignores the latent, which is None, and reads the symbols from the stream;
- ``RateEstimator`` rounds, or adds noise, with gradients, and sums the bits of the symbols.

Each returns the symbols that a decoder has, and the pass computes with nothing else::

    latent -> symbols.hyper    -> hyper symbols -> means and scale indexes of the first pass
           -> symbols.residual -> half of the symbols -> means and indexes of the second pass
           -> symbols.residual -> the other half      -> latent = means + symbols
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from spike_zoo.coding.sci.tables import quantised
from spike_zoo.methods.sci.codec.quantization import LEAST_MASS, bounded
from spike_zoo.methods.sci.codec.scale_net import QUALITIES, ScaleNet
from spike_zoo.methods.sci.features.blocks import DSB, Up
from spike_zoo.nn.precision import in_full_precision

RADIUS = 15
"""Largest symbol with a table entry of its own; larger ones are escapes."""
_MIXED = 3


class HyperPrior(nn.Module):
    """A mixture of three logistic distributions for every channel.

    Args:
        channels: Of the hyper latent.
    """

    frequencies: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(channels, _MIXED))
        self.means = nn.Parameter(torch.linspace(-1, 1, _MIXED).repeat(channels, 1))
        self.log_scales = nn.Parameter(torch.zeros(channels, _MIXED))
        size = channels, 2 * RADIUS + 2
        # torch has no uint16 everywhere; the digest and the coder take them as such
        self.register_buffer("frequencies", torch.zeros(size, dtype=torch.int32))

    def bits(self, values: Tensor) -> Tensor:
        """Return the bits of each value, ``(B, C, h, w)``: integers, or their noisy substitute."""
        mass = self._below(values + 0.5, values) - self._below(values - 0.5, values)
        return -torch.log2(bounded(mass.abs(), LEAST_MASS, 1.0))

    def _below(self, edges: Tensor, values: Tensor) -> Tensor:
        """Return the mass below each edge; right of the middle negative and of what is above.

        Far out both masses are 1 to the last digit, their complements are not.
        """
        sides = torch.where(values > 0, -1.0, 1.0)[..., None]
        shape = 1, -1, 1, 1, _MIXED
        weights = torch.softmax(self.logits, dim=-1).view(shape)
        means, scales = self.means.view(shape), self.log_scales.exp().view(shape)
        masses = torch.sigmoid(sides * (edges[..., None] - means) / scales)
        return (weights * masses).sum(dim=-1)

    @torch.no_grad()
    def finalize(self) -> None:
        """Write the table of every channel, from which symbols are coded from now on."""
        inner = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
        edges = torch.cat([inner - 0.5, inner[-1:] + 0.5])
        weights = torch.softmax(self.logits.double().cpu(), dim=-1)[..., None]
        means, scales = self.means.double().cpu(), self.log_scales.double().cpu().exp()
        below = torch.sigmoid((edges - means[..., None]) / scales[..., None])
        cdf = (weights * below).sum(dim=1)
        tails = cdf[:, :1] + 1.0 - cdf[:, -1:]
        # a mixture's sums end in digits that need not rise
        masses = torch.cat([cdf.diff(dim=1), tails], dim=1).clamp(min=0.0)
        table = quantised((masses / masses.sum(dim=1, keepdim=True)).numpy())
        self.frequencies.copy_(torch.from_numpy(table.astype("int32")))


class Symbols(Protocol):
    """Where symbols come from or go: training, a stream that is written, or one that is read."""

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Return the symbols of a hyper latent, ``(B, Z, h, w)``.

        Args:
            latent: What is rounded; None where a stream is read.
            prior: Its distribution.
            size: Shape of the result.
        """
        ...

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what is added to the means of one pass, and the symbols; zero outside the mask.

        Args:
            latent: What is rounded, ``(B, N, h, w)``; None where a stream is read.
            mean: Its prediction.
            level: Level of each symbol's distribution.
            mask: Which elements are of this pass, ``(N, h, w)`` bool.
        """
        ...

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        """Return the level of every symbol, as this way of coding takes it from the network."""
        ...

    def number(self, value: int | None, stop: int) -> int:
        """Return a number below ``stop``, which is at most 30, that a frame states.

        Args:
            value: The number; None where a stream is read.
            stop: Past the largest one.
        """
        ...


class EncodedSymbols(Symbols, Protocol):
    """Symbols of an encoder, which tries parts of a frame before it codes them."""

    @property
    def bits(self) -> Tensor | float:
        """Bits that were counted; of a trial, where a stream is written."""
        ...

    def trial(self) -> Self:
        """Return symbols that count one choice of an encoder and are not written yet."""
        ...

    def accept(self, trial: Self) -> None:
        """Count, or write, the symbols of a trial."""
        ...


class Gains(nn.Module):
    """Gains of every latent at every quality, for the encoder and for the decoder.

    They begin evenly spaced, 1/4 at the lowest quality and 1 at the highest, and those of motion
    at 1: its precision matters at every quality. The decoder's undo the encoder's.

    Args:
        channels: Name of each latent -> its channels.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        super().__init__()
        start = torch.linspace(-math.log(4.0), 0.0, QUALITIES)[:, None]
        made = {name: start.repeat(1, count) for name, count in channels.items()}
        if "motion" in made:
            made["motion"] = torch.zeros_like(made["motion"])
        self.encoder = nn.ParameterDict({name: nn.Parameter(x) for name, x in made.items()})
        self.decoder = nn.ParameterDict({name: nn.Parameter(-x) for name, x in made.items()})

    def before(self, name: str, latent: Tensor, quality: int) -> Tensor:
        """Return a latent ``(B, C, h, w)`` as it is rounded."""
        return latent * self.encoder[name][quality].exp().view(1, -1, 1, 1)

    def after(self, name: str, latent: Tensor, quality: int) -> Tensor:
        """Return a decoded latent as the synthesis takes it."""
        return latent * self.decoder[name][quality].exp().view(1, -1, 1, 1)


class FrameCoder(NamedTuple):
    """How the latents of a frame are coded.

    Attributes:
        symbols: Where symbols come from or go.
        gains: Of all latents.
        quality: 0 to 3.
    """

    symbols: Symbols
    gains: Gains
    quality: int

    def before(self, name: str, latent: Tensor) -> Tensor:
        """Return a latent as it is rounded."""
        return self.gains.before(name, latent, self.quality)

    def after(self, name: str, latent: Tensor) -> Tensor:
        """Return a decoded latent as the synthesis takes it."""
        return self.gains.after(name, latent, self.quality)


class UncodedLatent(NamedTuple):
    """A latent before rounding.

    Shape:
        - latent: ``(B, N, h, w)``, with the encoder's gains.
        - hyper: ``(B, Z, h/4, w/4)``, its hyper latent.
    """

    latent: Tensor
    hyper: Tensor


class DecodedLatent(NamedTuple):
    """What is known of a latent once it is coded.

    Shape:
        - latent: ``(B, N, h, w)``, before the decoder's gains.
        - symbols: ``(B, N, h, w)``, integers.
    """

    latent: Tensor
    symbols: Tensor

    @classmethod
    def nothing(cls, like: Tensor, channels: int, size: Sequence[int]) -> DecodedLatent:
        """Return zeros: what a frame without one before it knows."""
        zeros = like.new_zeros(like.shape[0], channels, *size)
        return cls(zeros, zeros)


class LatentEntropy(nn.Module):
    """Predict a latent: its means from everything decoded, its levels from symbols alone.

    Args:
        channels: N, of the latent.
        hyper: Z, of the hyper latent, 4 times smaller along each side.
        raised: Channels between the two enlargements of the hyper latent, and after them.
        fusion: Channels and depth of the layers that mix all predictions, up to 2 N.
        spatial: Channels of the layers that see the first pass, up to N.
        hidden: Channels inside the scale network.
        extra: Channels of other predictions that the means take.
        previous: Whether the levels take the symbols of the frame before.

    Source: the paper's codecs resemble DVC, DCVC and DCVC-DC; this entropy model, whose tables
    follow from integers alone, is the project's own.
    """

    def __init__(
        self,
        channels: int,
        hyper: int,
        *,
        raised: tuple[int, int],
        fusion: Sequence[int],
        spatial: Sequence[int],
        hidden: int,
        extra: int = 0,
        previous: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.takes_previous = channels, previous
        self.prior = HyperPrior(hyper)
        middle, last = raised
        self.raise_hyper = nn.Sequential(
            Up(hyper, middle, 3), nn.GELU(), Up(middle, last, 3), nn.GELU(), DSB(last)
        )
        self.quality = nn.Parameter(torch.zeros(QUALITIES, last))
        self.fuse = chain(last + extra, *fusion, 2 * channels)
        self.spatial = chain(3 * channels, *spatial, channels)
        self.scales = ScaleNet(hyper, channels * (2 if previous else 1), hidden, channels)

    def forward(
        self,
        symbols: Symbols,
        given: UncodedLatent | None,
        grid: tuple[int, int],
        quality: int,
        extra: Sequence[Tensor] = (),
        previous: Tensor | None = None,
    ) -> DecodedLatent:
        """Encode a latent and return it as decoded, or decode it.

        Args:
            symbols: Where symbols come from or go.
            given: What is encoded; None where a stream is read.
            grid: Height and width of the hyper latent, a quarter of the latent's.
            quality: 0 to 3.
            extra: Other predictions of the latent's size.
            previous: Symbols of the frame before, ``(B, N, h, w)``.
        """
        latent, hyper = (None, None) if given is None else given
        hyper = symbols.hyper(hyper, self.prior, (len(self.prior.logits), *grid))
        # means move symbols, which 8 bits are too few for
        predicted = in_full_precision(self.raise_hyper, hyper)
        predicted = predicted + self.quality[quality].view(1, -1, 1, 1)
        prediction = in_full_precision(self.fuse, torch.cat([predicted, *extra], dim=1))
        even = checkerboard(self.channels, prediction)
        before = [] if previous is None else [previous]
        zeros = torch.zeros_like(prediction[:, : self.channels])

        mean = prediction[:, : self.channels]
        level = symbols.scale_indexes(self.scales, hyper, [zeros, *before], quality)
        first, first_symbols = symbols.residual(latent, mean, level, even)
        known = torch.where(even, mean + first, 0.0)

        mean = in_full_precision(self.spatial, torch.cat([prediction, known], dim=1))
        level = symbols.scale_indexes(self.scales, hyper, [first_symbols, *before], quality)
        second, second_symbols = symbols.residual(latent, mean, level, ~even)
        known = known + torch.where(even, 0.0, mean + second)
        return DecodedLatent(known, first_symbols + second_symbols)

    def finalize(self) -> None:
        """Turn what selects tables into integers."""
        self.prior.finalize()
        self.scales.finalize()


def chain(*channels: int) -> nn.Sequential:
    """Return depthwise-separable blocks between some numbers of channels."""
    pairs = itertools.pairwise(channels)
    return nn.Sequential(*(DSB(inputs, outputs) for inputs, outputs in pairs))


def checkerboard(channels: int, like: Tensor) -> Tensor:
    """Return which elements the first pass codes, ``(channels, h, w)`` bool, h and w of a tensor.

    Half of the channels at even positions, the other half at odd ones: each place and each channel
    is half known when the second pass begins.
    """
    height, width, device = *like.shape[-2:], like.device
    rows = torch.arange(height, device=device)[:, None]
    columns = torch.arange(width, device=device)[None]
    even = (rows + columns) % 2 == 0
    half = torch.arange(channels, device=device)[:, None, None] < (channels + 1) // 2
    return half == even
