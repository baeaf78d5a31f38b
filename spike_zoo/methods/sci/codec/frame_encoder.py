"""Encoder of frames that chooses the frames to code and their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from spike_zoo.methods.sci.codec.inter import DecodedPFrame, FrameMode, Inter, ReferenceFrame
from spike_zoo.methods.sci.codec.intra import Intra
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.blocks import warp_features
from spike_zoo.methods.sci.features.motion_estimation import (
    DISMotion,
    MotionEstimation,
    smooth_motion,
)
from spike_zoo.nn.padding import crop_padding
from spike_zoo.nn.precision import fast_precision

BEST_GAP, WORST_GAP = 0.7, 1.4
"""Square error of interpolated features before coding, relative to that of the reference frame.
Below the first an encoder interpolates, above the second it does not, and otherwise it compares the
costs."""


class DecodedFrame(NamedTuple):
    """A decoded frame."""

    feature: Tensor  # (B, 3, H, W), not clamped; the prediction of the next frame clamps it
    motion: Tensor  # (B, 2, H, W) in pixels, to the previous frame; zero for an I-frame
    estimated: Tensor | None = None  # motion before coding; None for I-frames and in a decoder

    def cropped(self, size: tuple[int, int]) -> DecodedFrame:
        """Return the frame without padding, of ``size`` (H, W)."""
        return DecodedFrame(*(None if x is None else crop_padding(x, *size) for x in self))  # type: ignore[arg-type]  # only the last may be None


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
        coder = FrameCoder(symbols, self.gains, iframe_quality(self.quality, is_raised))
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


def iframe_quality(quality: int, is_raised: bool) -> int:
    """Return the quality of the I-frame, from which its whole group is predicted; at most 3."""
    return min(quality + is_raised, QUALITIES - 1)
