"""Entropy model of a latent: a hyperprior, and a context model of two or four passes.

Encoding, decoding and training share :meth:`LatentEntropy.forward`, so that they are consistent.
They differ in the :class:`Symbols`:

- ``SymbolEncoder`` rounds a latent and writes the symbols to a bitstream;
- ``SymbolDecoder`` reads the symbols from a bitstream; the latent is None;
- ``RateEstimator`` rounds, or adds noise, with gradients, and sums the bits of the symbols.

Each returns the decoded symbols. All predictions are computed from decoded symbols only::

    latent -> symbols.hyper    -> hyper symbols -> means and scale indexes of the first pass
           -> symbols.residual -> the symbols of the pass -> means and indexes of the next pass
           -> ... -> latent = means + symbols
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from spike_zoo.coding import tables as frequency_tables
from spike_zoo.methods.sci.codec.scale_net import QUALITIES, ScaleNet, clamp_with_gradient
from spike_zoo.methods.sci.features.blocks import DSB, Up
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.precision import in_full_precision

RADIUS = 15
"""Largest symbol with a table entry; larger symbols are coded as escapes."""
MIN_MASS = 2.0**-16
"""Least probability of a symbol, as in 16-bit frequency tables."""
_COMPONENTS = 3
_PLACES = 4  # positions of 2 x 2
Passes = Literal[2, 4]


class HyperPrior(nn.Module):
    """Factorised prior of a hyper latent: a mixture of three logistics per channel.

    Args:
        channels: Channels of the hyper latent.
    """

    frequencies: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(channels, _COMPONENTS))
        self.means = nn.Parameter(torch.linspace(-1, 1, _COMPONENTS).repeat(channels, 1))
        self.log_scales = nn.Parameter(torch.zeros(channels, _COMPONENTS))
        size = channels, 2 * RADIUS + 2
        # int32, because torch supports uint16 only in part; tables_of() converts
        self.register_buffer("frequencies", torch.zeros(size, dtype=torch.int32))

    def bits(self, values: Tensor) -> Tensor:
        """Return the bits of each value, ``(B, C, h, w)``: integers, or integers with noise."""
        mass = self._tail(values + 0.5, values) - self._tail(values - 0.5, values)
        return -torch.log2(clamp_with_gradient(mass.abs(), MIN_MASS, 1.0))

    def _tail(self, edges: Tensor, values: Tensor) -> Tensor:
        """Return the mixture's CDF at each edge; its complement for values above 0.

        In the upper tail the CDF is rounded to 1, and only the complement is precise.
        """
        sides = torch.where(values > 0, -1.0, 1.0)[..., None]
        shape = 1, -1, 1, 1, _COMPONENTS
        weights = torch.softmax(self.logits, dim=-1).view(shape)
        means, scales = self.means.view(shape), self.log_scales.exp().view(shape)
        masses = torch.sigmoid(sides * (edges[..., None] - means) / scales)
        return (weights * masses).sum(dim=-1)

    @torch.no_grad()
    def finalize(self) -> None:
        """Compute the frequency table of each channel, which the entropy coder uses."""
        inner = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
        edges = torch.cat([inner - 0.5, inner[-1:] + 0.5])
        weights = torch.softmax(self.logits.double().cpu(), dim=-1)[..., None]
        means, scales = self.means.double().cpu(), self.log_scales.double().cpu().exp()
        below = torch.sigmoid((edges - means[..., None]) / scales[..., None])
        cdf = (weights * below).sum(dim=1)
        tails = cdf[:, :1] + 1.0 - cdf[:, -1:]
        # rounding errors can make the CDF of a mixture decrease slightly
        masses = torch.cat([cdf.diff(dim=1), tails], dim=1).clamp(min=0.0)
        table = frequency_tables.quantised((masses / masses.sum(dim=1, keepdim=True)).numpy())
        self.frequencies.copy_(torch.from_numpy(table.astype("int32")))


class Symbols(Protocol):
    """Interface of rate estimation, encoding and decoding of symbols.

    A decoder takes None for latents before rounding and for numbers.
    """

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Return the symbols of a hyper latent, ``(B, Z, h, w)``; ``size`` is (Z, h, w)."""
        ...

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the decoded residuals of one pass and their symbols; zero outside the mask.

        Latent, predicted means and scale indexes (``level``) are ``(B, N, h, w)``.
        """
        ...

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        """Return the scale index of each symbol: integers for coding, gradients in training."""
        ...

    def number(self, value: int | None, stop: int) -> int:
        """Return an equiprobable number of a frame header, below ``stop``, which is at most 30."""
        ...


class EncodedSymbols(Symbols, Protocol):
    """Interface of encoders that compare the bits of alternatives before coding."""

    @property
    def bits(self) -> Tensor | float:
        """Number of bits; for a :class:`SymbolEncoder` only of a trial."""
        ...

    def trial(self) -> Self:
        """Return an object that counts the bits of one alternative without writing symbols."""
        ...

    def accept(self, trial: Self) -> None:
        """Write the symbols of a trial, or add their bits."""
        ...


class Gains(nn.Module):
    """Gains per channel of every latent at every quality, for the encoder and the decoder.

    Initially the encoder's gains are log-spaced from 1/4 at the lowest quality to 1 at the highest;
    those of motion are 1, because its precision matters at every quality. The decoder's gains are
    their inverses.

    Args:
        channels: Number of channels of each latent, by name.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        super().__init__()
        start = torch.linspace(-math.log(4.0), 0.0, QUALITIES)[:, None]
        logs = {name: start.repeat(1, count) for name, count in channels.items()}
        if "motion" in logs:
            logs["motion"] = torch.zeros_like(logs["motion"])
        self.encoder = nn.ParameterDict({name: nn.Parameter(x) for name, x in logs.items()})
        self.decoder = nn.ParameterDict({name: nn.Parameter(-x) for name, x in logs.items()})


class FrameCoder(NamedTuple):
    """Rate estimator, encoder or decoder of the latents of a frame, at a quality from 0 to 3."""

    symbols: Symbols
    gains: Gains
    quality: int

    def scale_latent(self, name: str, latent: Tensor) -> Tensor:
        """Multiply a latent ``(B, C, h, w)`` by the encoder's gains, before rounding."""
        return latent * self.gains.encoder[name][self.quality].exp().view(1, -1, 1, 1)

    def unscale_latent(self, name: str, latent: Tensor) -> Tensor:
        """Multiply a decoded latent by the decoder's gains, before synthesis."""
        return latent * self.gains.decoder[name][self.quality].exp().view(1, -1, 1, 1)


class UncodedLatent(NamedTuple):
    """A latent before rounding."""

    latent: Tensor  # (B, N, h, w), after the encoder's gains
    hyper: Tensor  # (B, Z, h/4, w/4), its hyper latent


class DecodedLatent(NamedTuple):
    """A decoded latent."""

    latent: Tensor  # (B, N, h, w), before the decoder's gains
    symbols: Tensor  # (B, N, h, w), integers


class LatentEntropy(nn.Module):
    """Entropy model of a latent: predict means in floats, and scale indexes from symbols only.

    Args:
        channels: N, channels of the latent.
        hyper: Z, channels of the hyper latent, 4 times smaller along each side.
        raised: Channels after the first and after the second upsampling of the hyper latent.
        fusion: Hidden channels of the layers that fuse all predictions of the first pass.
        spatial: Hidden channels of the layers that predict the means of later passes.
        hidden: Hidden channels of the scale network.
        extra: Channels of additional predictions, inputs of the means.
        previous: Whether scale indexes also depend on the symbols of the previous frame.
        passes: Number of :func:`coding_passes`.

    Source: the paper's codecs resemble DVC, DCVC and DCVC-DC. This entropy model, whose tables are
    selected by integers only, is not in the paper.
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
        passes: Passes = 2,
    ) -> None:
        super().__init__()
        check_choice("passes", passes, Passes)
        self.channels, self.takes_previous, self.passes = channels, previous, passes
        self.prior = HyperPrior(hyper)
        middle, last = raised
        self.raise_hyper = nn.Sequential(
            Up(hyper, middle, 3), nn.GELU(), Up(middle, last, 3), nn.GELU(), DSB(last)
        )
        self.quality = nn.Parameter(torch.zeros(QUALITIES, last))
        self.fuse = separable_chain(last + extra, *fusion, 2 * channels)
        self.spatial = separable_chain(3 * channels, *spatial, channels)
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
        """Encode or decode a latent, and return the decoded latent.

        Args:
            symbols: Rate estimator, encoder or decoder of symbols.
            given: The latent to encode; None in a decoder.
            grid: Height and width of the hyper latent, a quarter of the latent's.
            quality: 0 to 3.
            extra: Additional predictions, of the latent's size.
            previous: Symbols of the previous frame, ``(B, N, h, w)``.
        """
        latent, hyper = (None, None) if given is None else given
        hyper = symbols.hyper(hyper, self.prior, (len(self.prior.logits), *grid))
        # means shift the rounding of residuals: the 8 bits of bfloat16 are too imprecise
        raised = in_full_precision(self.raise_hyper, hyper)
        raised = raised + self.quality[quality].view(1, -1, 1, 1)
        prediction = in_full_precision(self.fuse, torch.cat([raised, *extra], dim=1))
        temporal = [] if previous is None else [previous]
        mean = prediction[:, : self.channels]
        decoded = known = torch.zeros_like(mean)
        for number, mask in enumerate(coding_passes(self.passes, mean)):
            if number:
                mean = in_full_precision(self.spatial, torch.cat([prediction, decoded], dim=1))
            level = symbols.scale_indexes(self.scales, hyper, [known, *temporal], quality)
            residual, added = symbols.residual(latent, mean, level, mask)
            decoded = decoded + torch.where(mask, mean + residual, 0.0)
            known = known + added
        return DecodedLatent(decoded, known)

    def finalize(self) -> None:
        """Convert the prior to tables and the scale network to integers."""
        self.prior.finalize()
        self.scales.finalize()


def separable_chain(*channels: int) -> nn.Sequential:
    """Return depthwise-separable blocks in sequence with the given numbers of channels."""
    pairs = itertools.pairwise(channels)
    return nn.Sequential(*(DSB(inputs, outputs) for inputs, outputs in pairs))


def coding_passes(passes: Passes, like: Tensor) -> list[Tensor]:
    """Return the mask of the symbols of each pass, ``(C, h, w)`` bool, for a latent like this.

    Each pass contains one of the four positions of 2 x 2, or two diagonal ones if there are two
    passes. Groups of channels start at different positions, so that the same share of each position
    and of each channel is known before a pass.
    """
    channels, height, width = like.shape[-3:]
    row, column, channel = (
        torch.arange(size, device=like.device) for size in (height, width, channels)
    )
    row, column = row[:, None] % 2, column % 2
    place = (2 * ((row + column) % 2) + row) * passes // _PLACES  # diagonal neighbours first
    group = (channel * passes // channels)[:, None, None]
    return [(place + group) % passes == number for number in range(passes)]
