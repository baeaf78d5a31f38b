"""Encoding and decoding of the frames of a group of pictures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from statistics import mean
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.codec.entropy import (
    EncodedSymbols,
    FrameCoder,
    Gains,
    Symbols,
    UncodedLatent,
)
from spike_zoo.methods.sci.codec.inter import (
    CODED,
    MAX_GAP,
    Context,
    DecodedPFrame,
    FrameMode,
    Inter,
    ReferenceFrame,
    TemporalPrior,
)
from spike_zoo.methods.sci.codec.intra import STRIDE, Intra
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.blocks import check_width, warp_features
from spike_zoo.methods.sci.features.motion_estimation import (
    FMVR,
    DISMotion,
    MotionEstimation,
    smooth_motion,
)
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.padding import crop_padding, pad_to_multiple
from spike_zoo.nn.precision import fast_precision

MAX_LOOKAHEAD = MAX_GAP + 1
"""Features for which an encoder chooses P-frames and gaps jointly."""
SHORT_GROUP = 5
"""Frames of groups for which an encoder compares two qualities of the I-frame."""
ALL_PARTS = itertools.repeat(CODED)
"""Modes of P-frames of which all parts are coded."""
BEST_GAP, WORST_GAP = 0.7, 1.4
"""Square error of interpolated features before coding, relative to that of the reference frame.
Below the first an encoder interpolates, above the second it does not, and otherwise it compares the
costs."""


class CodecNetworks(NamedTuple):
    """Networks that encode and decode features."""

    intra: Intra  # of I-frames
    inter: Inter  # of P-frames, without motion estimation
    gains: Gains  # of the latents of both
    fmvr: FMVR | None = None  # refinement of decoded motion for the analysis, if any

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
        """Return untrained networks; arguments as of :class:`Intra` and :class:`Inter`."""
        check_width("codec_width", width)
        check_choice("context", context, Context)
        check_choice("temporal_prior", temporal_prior, TemporalPrior)
        intra = Intra(width, block_transform=block_transform)
        inter = Inter(width, context, temporal_prior, skip=skip, block_transform=block_transform)
        models = inter.entropy
        parts = {"intra": intra.entropy, "motion": models.motion, "content": models.content}
        return cls(
            intra,
            inter,
            Gains({name: entropy.channels for name, entropy in parts.items()}),
            FMVR() if fmvr else None,
        )


class DecodedFrame(NamedTuple):
    """A decoded frame."""

    feature: Tensor  # (B, 3, H, W), not clamped; the prediction of the next frame clamps it
    motion: Tensor  # (B, 2, H, W) in pixels, to the previous frame; zero for an I-frame
    estimated: Tensor | None = None  # motion before coding; None for I-frames and in a decoder

    def cropped(self, size: tuple[int, int]) -> DecodedFrame:
        """Return the frame without padding, of ``size`` (H, W)."""
        return DecodedFrame(*(None if x is None else crop_padding(x, *size) for x in self))  # type: ignore[arg-type]  # only the last may be None


def encode_frames(
    coding: CodecNetworks,
    symbols: Symbols,
    features: Iterable[Tensor],
    quality: int,
    *,
    estimation: MotionEstimation | DISMotion | None,
    weight: float | None = None,
    refine: Callable[..., UncodedLatent] | None = None,
    modes: Iterator[FrameMode] = ALL_PARTS,
) -> Iterator[DecodedFrame]:
    """Encode the frames of a group of pictures: an I-frame, then P-frames.

    Args:
        coding: The networks.
        symbols: Writer of symbols, or estimator of their bits.
        features: ``(B, 3, H, W)`` each.
        quality: 0 to 3.
        estimation: Motion estimation; None is allowed for groups of one frame only.
        weight: Weight of the mean square error against the bits per pixel of a feature. With a
            weight, networks with ``skip`` code the I-frame of a group with P-frames at the next
            higher quality (in groups of up to :data:`SHORT_GROUP` frames only if that costs less),
            and the encoder chooses which P-frames and which of their parts are coded.
        refine: Refinement of the latent of the I-frame, as of :meth:`Intra.encode`.
        modes: Parts of each P-frame that are coded if the encoder does not choose; by default all.

    Yields:
        The decoded frames, without padding.
    """
    remaining = iter(features)
    start, *following = itertools.islice(remaining, 1 + MAX_LOOKAHEAD)
    size = start.shape[-2], start.shape[-1]
    estimation = cast("MotionEstimation", estimation)
    encoder = FrameEncoder(coding.inter, coding.gains, estimation, quality, weight, modes)
    is_raised = encoder.chooses_modes and bool(following)
    is_choice = is_raised and len(following) < SHORT_GROUP and quality < QUALITIES - 1
    joint = [start, *following] if is_choice else [start]
    originals = [pad_to_multiple(feature.float(), STRIDE) for feature in joint]
    start_of = partial(encoder.encode_start, intra=coding.intra, features=originals, refine=refine)
    choices = (True, False) if is_choice else (is_raised,)
    options = [partial(start_of, is_raised=choice) for choice in choices]
    encoded = encoder.cheapest(symbols, options, originals)
    yield from (frame.cropped(size) for frame in encoded.frames)
    remaining = itertools.chain(following[len(joint) - 1 :], remaining)
    while following := list(itertools.islice(remaining, MAX_LOOKAHEAD)):
        padded = [pad_to_multiple(feature.float(), STRIDE) for feature in following]
        originals = [originals[-1], *padded]
        encoded = encoder.encode(symbols, originals, encoded.reference)
        yield from (frame.cropped(size) for frame in encoded.frames)


def decode_frames(
    coding: CodecNetworks, symbols: Symbols, size: tuple[int, int], quality: int, count: int
) -> Iterator[DecodedFrame]:
    """Decode the frames of a group of pictures.

    Args:
        coding: The networks.
        symbols: Reader of symbols.
        size: H and W of a feature.
        quality: 0 to 3.
        count: Number of frames in the group.
    """
    intra, inter, gains, _ = coding
    padded = size[0] + -size[0] % STRIDE, size[1] + -size[1] % STRIDE
    is_raised = inter.skip and bool(symbols.number(None, 2))
    coder = FrameCoder(symbols, gains, quality)
    iframe_coder = coder._replace(quality=_iframe_quality(quality, is_raised))
    feature = intra.decode(iframe_coder, padded).float()
    yield DecodedFrame(feature, torch.zeros_like(feature[:, :2])).cropped(size)
    reference, remaining = inter.start(feature.clamp(0.0, 1.0)), count - 1
    while remaining:
        mode = inter.decode_mode(symbols)
        if remaining <= mode.gap:
            raise ValueError(
                f"a P-frame leaves out {mode.gap} frames of the {remaining} that remain"
            )
        pframe = inter.decode(coder, mode, reference)
        decoded = DecodedFrame(pframe.feature.float(), pframe.motion)
        for frame in interpolated(reference, decoded, mode.gap):
            yield frame.cropped(size)
        reference, remaining = pframe.reference(mode.gap), remaining - 1 - mode.gap


def _iframe_quality(quality: int, is_raised: bool) -> int:
    """Return the quality of the I-frame, from which its whole group is predicted; at most 3."""
    return min(quality + is_raised, QUALITIES - 1)


def interpolated(before: ReferenceFrame, frame: DecodedFrame, gap: int) -> list[DecodedFrame]:
    """Interpolate the frames that were left out before a P-frame; the P-frame is the last.

    Each is the mean of the two frames around the gap, warped along the motion between them, with
    weights linear in their temporal distances.
    """
    parts = gap + 1
    motion = frame.motion / parts
    estimated = None if frame.estimated is None else frame.estimated / parts
    frames = []
    for number in range(1, parts):
        past = warp_features(before.feature, number * motion)
        future = warp_features(frame.feature.clamp(0.0, 1.0), (number - parts) * motion)
        feature = past + (future - past) * (number / parts)
        frames.append(DecodedFrame(feature, motion, estimated))
    return [*frames, DecodedFrame(frame.feature, motion, estimated)]


def mean_error(frames: Sequence[DecodedFrame], features: Sequence[Tensor]) -> float:
    """Return the mean square error of decoded frames."""
    pairs = zip(frames, features, strict=True)
    return mean([float(F.mse_loss(x.feature.float().clamp(0.0, 1.0), y)) for x, y in pairs])


class EncodedFrames(NamedTuple):
    """Decoded frames, and the reference of the next P-frame."""

    frames: list[DecodedFrame]
    reference: ReferenceFrame

    @classmethod
    def with_gap(
        cls, before: ReferenceFrame, frame: DecodedPFrame, gap: int, estimated: Tensor
    ) -> EncodedFrames:
        """Return a P-frame, with its motion before coding, after ``gap`` interpolated frames."""
        decoded = DecodedFrame(frame.feature.float(), frame.motion, estimated)
        return cls(interpolated(before, decoded, gap), frame.reference(gap))


class FrameEncoder(NamedTuple):
    """Encoder of frames. With a weight, minimise the rate-distortion cost over the choices."""

    inter: Inter
    gains: Gains
    estimation: MotionEstimation | DISMotion
    quality: int
    weight: float | None  # of the mean square error against the bits per pixel of a feature
    modes: Iterator[FrameMode]  # of P-frames, without a weight

    @property
    def chooses_modes(self) -> bool:
        """Whether the encoder chooses the frames and parts to code."""
        return self.weight is not None and self.inter.skip

    def cost(
        self, bits: Tensor | float, encoded: EncodedFrames, features: Sequence[Tensor]
    ) -> float:
        """Return the bits per pixel of a feature plus the weighted errors of all features."""
        error = len(features) * mean_error(encoded.frames, features)
        return float(bits) / features[0][:, 0].numel() + float(self.weight or 0.0) * error

    def encode(
        self, symbols: Symbols, features: Sequence[Tensor], before: ReferenceFrame
    ) -> EncodedFrames:
        """Encode features as P-frames and gaps.

        Either only the last feature is coded and the others are interpolated, or each half is
        encoded recursively, whichever costs less. If interpolation without coding is much better
        or worse than the reference frame, only one of the two is computed.

        Args:
            symbols: Writer of symbols, or estimator of their bits.
            features: The feature of the reference frame, then those to encode.
            before: The decoded reference frame.
        """
        start, *following = features
        gap = len(following) - 1
        if gap and not self.chooses_modes:
            return self._halves(symbols, features, before)
        with fast_precision(start.device):
            # errors of a decoded frame of low quality would be described as motion
            earlier = start if self.inter.skip else before.feature
            motion = self.estimation(following[-1], earlier)
        last = partial(self._last, features=following, motion=motion, before=before)
        if not gap:
            return last(symbols)
        frame = DecodedFrame(following[-1], motion)
        error = mean_error(interpolated(before, frame, gap)[:-1], following[:-1])
        reference_error = float(F.mse_loss(before.feature, start))
        options = []
        if error <= WORST_GAP * reference_error:
            options.append(last)
        if error >= BEST_GAP * reference_error:
            options.append(partial(self._halves, features=features, before=before))
        return self.cheapest(symbols, options, following)

    def cheapest(
        self,
        symbols: Symbols,
        options: Sequence[Callable[[Symbols], EncodedFrames]],
        features: Sequence[Tensor],
    ) -> EncodedFrames:
        """Encode features by the option of the lowest cost."""
        if len(options) == 1:
            return options[0](symbols)
        symbols = cast("EncodedSymbols", symbols)
        trials = [symbols.trial() for _ in options]
        encoded = [option(trial) for option, trial in zip(options, trials, strict=True)]
        pairs = zip(trials, encoded, strict=True)
        costs = [self.cost(trial.bits, frames, features) for trial, frames in pairs]
        cheapest = costs.index(min(costs))
        symbols.accept(trials[cheapest])
        return encoded[cheapest]

    def encode_start(
        self,
        symbols: Symbols,
        intra: Intra,
        features: Sequence[Tensor],
        is_raised: bool,
        refine: Callable[..., UncodedLatent] | None,
    ) -> EncodedFrames:
        """Encode an I-frame and the features after it."""
        if self.inter.skip:
            symbols.number(int(is_raised), 2)
        coder = FrameCoder(symbols, self.gains, _iframe_quality(self.quality, is_raised))
        decoded = intra.encode(coder, features[0], refine).float()
        iframe = DecodedFrame(decoded, torch.zeros_like(decoded[:, :2]))
        reference = self.inter.start(decoded.clamp(0.0, 1.0))
        if len(features) == 1:
            return EncodedFrames([iframe], reference)
        encoded = self.encode(symbols, features, reference)
        return encoded._replace(frames=[iframe, *encoded.frames])

    def _halves(
        self, symbols: Symbols, features: Sequence[Tensor], before: ReferenceFrame
    ) -> EncodedFrames:
        middle = len(features) // 2
        first = self.encode(symbols, features[: middle + 1], before)
        second = self.encode(symbols, features[middle:], first.reference)
        return second._replace(frames=[*first.frames, *second.frames])

    def _last(
        self, symbols: Symbols, features: Sequence[Tensor], motion: Tensor, before: ReferenceFrame
    ) -> EncodedFrames:
        """Encode the last feature; the others are interpolated."""
        if self.chooses_modes:
            return self._parts(cast("EncodedSymbols", symbols), features, motion, before)
        coder = FrameCoder(symbols, self.gains, self.quality)
        frame = self.inter.encode(coder, features[-1], motion, before, next(self.modes))
        return EncodedFrames.with_gap(before, frame, len(features) - 1, motion)

    def _parts(
        self,
        symbols: EncodedSymbols,
        features: Sequence[Tensor],
        motion: Tensor,
        before: ReferenceFrame,
    ) -> EncodedFrames:
        """Encode the parts of a frame that reduce the cost.

        The frames left out before it depend on its parts, so the cost covers all features. Content
        can replace dense motion, so the cost of dense motion is compared with and without content.
        """
        inter, last, gap = self.inter, features[-1], len(features) - 1

        def trial(frame: DecodedPFrame, mode: FrameMode, *parts: EncodedSymbols) -> _Trial:
            encoded = EncodedFrames.with_gap(before, frame, gap, motion)
            bits = sum(part.bits for part in parts)
            return _Trial(frame, mode, parts, encoded, self.cost(bits, encoded, features))

        def with_part(base: _Trial, name: str, encode: Callable[..., DecodedPFrame]) -> _Trial:
            part = symbols.trial()
            frame = encode(FrameCoder(part, self.gains, self.quality), before=before)
            return trial(frame, base.mode._replace(**{name: True}), *base.parts, part)

        start = trial(inter.continue_motion(before, gap), FrameMode(False, False, False, gap))
        smooth = smooth_motion(motion, last)
        encode_affine = partial(inter.encode_affine, feature=last, motion=smooth, gap=gap)
        base = min(start, with_part(start, "affine", encode_affine), key=attrgetter("cost"))
        dense = [
            with_part(base, "motion", partial(inter.encode_motion, motion=x, base=base.frame))
            for x in (smooth, motion)
        ]
        moved = min(dense, key=attrgetter("cost"))
        options = [base, moved] if moved.cost < base.cost else [base]
        for option in options.copy():
            encode_content = partial(inter.encode_content, feature=last, base=option.frame)
            options.append(with_part(option, "content", encode_content))
        chosen = min(options, key=attrgetter("cost"))
        inter.encode_mode(symbols, chosen.mode)
        for part in chosen.parts:
            symbols.accept(part)
        return chosen.encoded


class _Trial(NamedTuple):
    """A P-frame with some of its parts."""

    frame: DecodedPFrame
    mode: FrameMode
    parts: tuple[EncodedSymbols, ...]
    encoded: EncodedFrames
    cost: float


def stack_frames(coding: CodecNetworks, frames: Sequence[DecodedFrame]) -> tuple[Tensor, Tensor]:
    """Stack the decoded frames of a group of pictures for the analysis.

    Returns:
        Features ``(B, n, 3, H, W)`` in [0, 1] and refined motion ``(B, n, 2, H, W)`` in pixels,
        from each feature to the previous one; zero for I-frames.
    """
    features = [frame.feature.clamp(0.0, 1.0) for frame in frames]
    motions = [frame.motion for frame in frames]
    if coding.fmvr is not None:
        pairs = zip(motions[1:], features[1:], strict=True)
        motions[1:] = [coding.fmvr(*pair) for pair in pairs]
    return torch.stack(features, dim=1), torch.stack(motions, dim=1)
