"""Encode and decode the frames of a group of pictures, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.codec.entropy import EncodedSymbols, FrameCoder, Gains, Symbols
from spike_zoo.methods.sci.codec.inter import (
    CODED,
    LONGEST_GAP,
    MODES,
    Context,
    DecodedPFrame,
    FrameMode,
    Inter,
    ReferenceFrame,
    TemporalPrior,
)
from spike_zoo.methods.sci.codec.inter_layers import CONTENT, MOTION
from spike_zoo.methods.sci.codec.intra import LATENT, STRIDE, Intra
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.blocks import check_choice, check_width, scaled, warped
from spike_zoo.methods.sci.features.motion_estimation import FMVR, MotionEstimation
from spike_zoo.nn.padding import crop_padding, pad_to_multiple

AT_ONCE = LONGEST_GAP + 1
"""P-frames that an encoder decides together."""


class CodecNetworks(NamedTuple):
    """The networks that code features.

    Attributes:
        intra: Of I-frames.
        inter: Of P-frames, but for motion estimation.
        gains: Of the latents of both.
        fmvr: Refines decoded motion for the analysis; None where it is left as it is.
    """

    intra: Intra
    inter: Inter
    gains: Gains
    fmvr: FMVR | None = None

    @classmethod
    def of_width(
        cls,
        width: float,
        context: Context,
        temporal_prior: TemporalPrior,
        *,
        fmvr: bool,
        skip: bool = False,
        block_transform: bool = False,
    ) -> CodecNetworks:
        """Return untrained networks.

        Args:
            width: Of all channels and repeats; 1 is the paper's budget.
            context: See :class:`Inter`.
            temporal_prior: See there.
            fmvr: Whether there is one.
            skip: See :class:`Inter`.
            block_transform: See :class:`Intra`.

        Raises:
            ValueError: If an argument is outside its range.
        """
        check_width("codec_width", width)
        check_choice("context", context, Context)
        check_choice("temporal_prior", temporal_prior, TemporalPrior)
        channels = {"intra": LATENT, "motion": MOTION, "content": CONTENT}
        return cls(
            Intra(width, block_transform=block_transform),
            Inter(width, context, temporal_prior, skip=skip),
            Gains({name: scaled(count, width) for name, count in channels.items()}),
            FMVR() if fmvr else None,
        )


class DecodedFrame(NamedTuple):
    """A decoded frame.

    Shape:
        - feature: ``(B, 3, H, W)``, not clamped; the next frame is predicted from it clamped to
          [0, 1].
        - motion: ``(B, 2, H, W)`` in pixels, to the frame before; zero of an I-frame.
        - estimated: ``(B, 2, H, W)``, the motion that was encoded; None of an I-frame, and where a
          stream is read.
    """

    feature: Tensor
    motion: Tensor
    estimated: Tensor | None = None

    def cropped(self, size: tuple[int, int]) -> DecodedFrame:
        """Return a frame without its padding."""
        return DecodedFrame(*(None if x is None else crop_padding(x, *size) for x in self))  # type: ignore[arg-type]  # only the last may be None


def encode_frames(
    coding: CodecNetworks,
    symbols: Symbols,
    features: Iterable[Tensor],
    quality: int,
    *,
    estimation: MotionEstimation | None,
    weight: float | None = None,
) -> Iterator[DecodedFrame]:
    """Encode the frames of a group of pictures: an I-frame, then P-frames.

    Args:
        coding: The networks.
        symbols: Take the symbols, or count their bits.
        features: ``(B, 3, H, W)`` each.
        quality: 0 to 3.
        estimation: Motion estimation, which only groups of one frame can do without.
        weight: Of the mean square error beside the bits of a feature's pixel. With it, networks
            with ``skip`` code I-frames at the next higher quality, and an encoder chooses the
            P-frames that it codes and their parts; by default it codes all.

    Yields:
        The frames as decoded, of the true size.
    """
    intra, inter, gains, _ = coding
    waiting = iter(features)
    start, *following = itertools.islice(waiting, 1 + AT_ONCE)
    size = start.shape[-2], start.shape[-1]
    encoder = PFrameEncoder(inter, gains, cast("MotionEstimation", estimation), quality, weight)
    is_raised = encoder.decides and bool(following)
    if inter.skip:
        symbols.number(int(is_raised), 2)
    padded = pad_to_multiple(start.float(), STRIDE)
    coder = FrameCoder(symbols, gains, _raised(quality, is_raised))
    found = intra.encode(coder, padded).float()
    yield DecodedFrame(found, torch.zeros_like(found[:, :2])).cropped(size)
    before = inter.start(found.clamp(0.0, 1.0))
    while following:
        coming = [pad_to_multiple(feature.float(), STRIDE) for feature in following]
        frames, before, _ = encoder.best(symbols, coming, before)
        for frame in frames:
            yield frame.cropped(size)
        following = list(itertools.islice(waiting, AT_ONCE))


def decode_frames(
    coding: CodecNetworks, symbols: Symbols, size: tuple[int, int], quality: int, count: int
) -> Iterator[DecodedFrame]:
    """Decode the frames of a group of pictures.

    Args:
        coding: The networks.
        symbols: Give the symbols.
        size: H and W of a feature.
        quality: 0 to 3.
        count: Frames of the group.
    """
    intra, inter, gains, _ = coding
    padded = size[0] + -size[0] % STRIDE, size[1] + -size[1] % STRIDE
    is_raised = inter.skip and bool(symbols.number(None, 2))
    coder = FrameCoder(symbols, gains, quality)
    raised = coder._replace(quality=_raised(quality, is_raised))
    found = intra.decode(raised, padded).float()
    yield DecodedFrame(found, torch.zeros_like(found[:, :2])).cropped(size)
    before, left = inter.start(found.clamp(0.0, 1.0)), count - 1
    while left:
        mode = inter.decode_mode(symbols)
        if left <= mode.gap:
            raise ValueError(f"a P-frame leaves out {mode.gap} frames of the {left} that remain")
        frame = inter.decode(coder, mode, before)
        decoded = DecodedFrame(frame.feature.float(), frame.motion)
        for one in interpolated(before, decoded, mode.gap):
            yield one.cropped(size)
        before, left = frame.reference(), left - 1 - mode.gap


def _raised(quality: int, is_raised: bool) -> int:
    """Return the quality of an I-frame, from which all frames of its group are predicted."""
    return min(quality + is_raised, QUALITIES - 1)


def interpolated(before: ReferenceFrame, frame: DecodedFrame, gap: int) -> list[DecodedFrame]:
    """Return the frames that were left out before a P-frame, and this one.

    Each is the mean of the frames around the gap, moved along the motion between them, with
    weights by their distances.
    """
    parts = gap + 1
    motion = frame.motion / parts
    estimated = None if frame.estimated is None else frame.estimated / parts
    frames = []
    for number in range(1, parts):
        past = warped(before.feature, number * motion)
        future = warped(frame.feature.clamp(0.0, 1.0), (number - parts) * motion)
        feature = past + (future - past) * (number / parts)
        frames.append(DecodedFrame(feature, motion, estimated))
    return [*frames, DecodedFrame(frame.feature, motion, estimated)]


class EncodedPFrames(NamedTuple):
    """Frames as decoded, and what the next one is predicted from.

    Attributes:
        is_still: Whether the last one has neither motion nor content.
    """

    frames: list[DecodedFrame]
    reference: ReferenceFrame
    is_still: bool


class PFrameEncoder(NamedTuple):
    """Encode P-frames; with a weight, choose what minimises bits and weighted error together.

    Attributes:
        inter: The networks of P-frames.
        gains: Of their latents.
        estimation: Motion estimation.
        quality: 0 to 3.
        weight: Of the mean square error beside the bits of a feature's pixel.
    """

    inter: Inter
    gains: Gains
    estimation: MotionEstimation
    quality: int
    weight: float | None

    @property
    def decides(self) -> bool:
        """Whether the encoder chooses what it codes."""
        return self.weight is not None and self.inter.skip

    def cost(
        self, bits: Tensor | float, decoded: Sequence[Tensor], features: Sequence[Tensor]
    ) -> float:
        """Return the bits of a feature's pixel plus the weighted error of all features."""
        pairs = zip(decoded, features, strict=True)
        errors = [float(F.mse_loss(x.float().clamp(0.0, 1.0), y)) for x, y in pairs]
        return float(bits) / features[0][:, 0].numel() + float(self.weight or 0.0) * sum(errors)

    def best(
        self, symbols: Symbols, features: Sequence[Tensor], before: ReferenceFrame
    ) -> EncodedPFrames:
        """Encode features.

        All but the last one are left out where that costs less than to encode each half. Halves
        are not tried where nothing moves or changes.
        """
        if len(features) == 1:
            return self._last(symbols, features, before)
        if not self.decides:
            return self._halves(symbols, features, before)
        symbols = cast("EncodedSymbols", symbols)
        trials = symbols.trial(), symbols.trial()
        last = self._last(trials[0], features, before)
        if last.is_still:
            symbols.accept(trials[0])
            return last
        options = last, self._halves(trials[1], features, before)
        costs = [
            self.cost(trial.bits, [frame.feature for frame in option.frames], features)
            for trial, option in zip(trials, options, strict=True)
        ]
        cheapest = costs.index(min(costs))
        symbols.accept(trials[cheapest])
        return options[cheapest]

    def _halves(
        self, symbols: Symbols, features: Sequence[Tensor], before: ReferenceFrame
    ) -> EncodedPFrames:
        middle = len(features) // 2
        first = self.best(symbols, features[:middle], before)
        second = self.best(symbols, features[middle:], first.reference)
        return second._replace(frames=[*first.frames, *second.frames])

    def _last(
        self, symbols: Symbols, features: Sequence[Tensor], before: ReferenceFrame
    ) -> EncodedPFrames:
        """Encode the last feature and leave out the others."""
        feature, mode = features[-1], CODED._replace(gap=len(features) - 1)
        motion = self.estimation(feature, before.feature)
        if self.decides:
            frame, mode = self._parts(symbols, feature, motion, before, mode.gap)
        else:
            coder = FrameCoder(symbols, self.gains, self.quality)
            frame = self.inter.encode(coder, feature, motion, before)
        decoded = DecodedFrame(frame.feature.float(), frame.motion, motion)
        frames = interpolated(before, decoded, mode.gap)
        return EncodedPFrames(frames, frame.reference(), not (mode.motion or mode.content))

    def _parts(
        self,
        symbols: Symbols,
        feature: Tensor,
        motion: Tensor,
        before: ReferenceFrame,
        gap: int,
    ) -> tuple[DecodedPFrame, FrameMode]:
        """Encode a frame. Motion is decided first, by the moved frame; then content."""
        symbols, best = cast("EncodedSymbols", symbols), self.inter.still(before)
        accepted: dict[str, EncodedSymbols] = {}
        for part in ("motion", "content"):
            trial = symbols.trial()
            coder = FrameCoder(trial, self.gains, self.quality)
            if part == "motion":
                tried = self.inter.encode_motion(coder, motion, before)
            else:
                tried = self.inter.encode_content(coder, feature, best, before)
            costs = [
                self.cost(bits, [frame.feature], [feature])
                for bits, frame in ((trial.bits, tried), (0.0, best))
            ]
            if costs[0] < costs[1]:
                best, accepted[part] = tried, trial
        mode = FrameMode("motion" in accepted, "content" in accepted, gap)
        symbols.number(MODES.index(mode), len(MODES))
        for trial in accepted.values():
            symbols.accept(trial)
        return best, mode


def in_time(coding: CodecNetworks, frames: Sequence[DecodedFrame]) -> tuple[Tensor, Tensor]:
    """Return the decoded frames of a group of pictures as an analysis takes them.

    Returns:
        Features ``(B, n, 3, H, W)`` in [0, 1] and motion ``(B, n, 2, H, W)`` in pixels, of each to
        the one before it, refined; zero of I-frames.
    """
    features = [frame.feature.clamp(0.0, 1.0) for frame in frames]
    motions = [frame.motion for frame in frames]
    if coding.fmvr is not None:
        pairs = zip(motions[1:], features[1:], strict=True)
        motions[1:] = [coding.fmvr(*pair) for pair in pairs]
    return torch.stack(features, dim=1), torch.stack(motions, dim=1)
