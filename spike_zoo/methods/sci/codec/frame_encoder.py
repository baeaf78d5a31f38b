"""Encoder of frames that chooses the frames to code and their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from statistics import mean
from typing import Any, NamedTuple, cast

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
    smooth_flow,
)
from spike_zoo.nn.padding import crop_padding
from spike_zoo.nn.precision import fast_precision

BLOCK, LEAST_GAIN = 8, 56.0
"""Side of a block of pixels, and a limit in bits. An encoder compares costs if a block gains at
least this: the sum of its square errors when features before coding are interpolated, times the
weight. P-frames of a local event need several hundred bits, but the event may be divided among
four blocks, so the limit of one block is lower."""
SMALL_IMAGE = 2**15
"""Pixels of the largest image for which an encoder always compares costs: the search is fast, and
small gains of quality are a larger part of the cost."""
SMALL_CHANGE = 1.0
"""An encoder also compares costs if the mean square error of interpolated uncoded features is at
least this factor times that of the reference frame: for changes without a local event."""
COARSE_REFERENCE = 0.5
"""An encoder also compares costs if the errors of the reference frame cost at least this many bits
per pixel: content coded in an earlier frame may reduce the errors of all that follow."""


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
        feature = future.sub_(past).mul_(number / parts).add_(past)
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


class Option(NamedTuple):
    """Encoded features, the trial that holds their symbols, and their cost."""

    symbols: EncodedSymbols
    encoded: EncodedFrames
    cost: float


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
        """Encode features as P-frames and gaps; without ``skip`` or a weight, only as P-frames.

        Either only the last feature is coded and the others are interpolated, or each half is
        encoded recursively, whichever costs less. Halves are not tried if interpolation has small
        errors everywhere and the reference frame, too. Interpolation is not tried if its errors
        alone cost more than halves.

        Args:
            symbols: Writer of symbols, or estimator of their bits.
            features: The feature of the reference frame, then those to encode.
            before: The decoded reference frame.
        """
        start, *following = features
        before, gap = self.inter.with_pyramid(before), len(following) - 1
        if gap and not self.chooses_modes:
            return self._halves(symbols, features, before)
        with fast_precision(start.device):
            # with skip, from the feature before coding: coding errors would be taken for motion
            earlier = start if self.inter.skip else before.feature
            motion = self.estimation(following[-1], earlier)
        last = partial(self._last, features=following, motion=motion, before=before)
        if not gap:
            return last(symbols)
        uncoded = before._replace(feature=start)
        frames = interpolated(uncoded, DecodedFrame(following[-1], motion), gap)[:-1]
        pairs = zip(frames, following[:-1], strict=True)
        errors = torch.cat([square_error(frame.feature, feature) for frame, feature in pairs])
        if not self._may_gain(errors, square_error(before.feature, start)):
            return last(symbols)
        symbols = cast("EncodedSymbols", symbols)
        halves = partial(self._halves, features=features, before=before)
        options = [self.option(symbols, halves, following)]
        if float(self.weight or 0.0) * gap * float(errors.mean()) < options[0].cost:
            options.append(self.option(symbols, last, following))
        return cheapest(symbols, options)

    def option(
        self,
        symbols: EncodedSymbols,
        encode: Callable[[EncodedSymbols], EncodedFrames],
        features: Sequence[Tensor],
    ) -> Option:
        """Encode features on trial."""
        trial = symbols.trial()
        encoded = encode(trial)
        return Option(trial, encoded, self.cost(trial.bits, encoded, features))

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

    def _may_gain(self, errors: Tensor, of_reference: Tensor) -> bool:
        """Return whether costs are compared, by the errors of interpolation and of the reference.

        A mean over the image does not show a small event, so each block is tested. Images up to
        :data:`SMALL_IMAGE` are always compared.
        """
        if errors[0].numel() <= SMALL_IMAGE:
            return True
        weight = float(self.weight or 0.0)
        if weight * BLOCK**2 * float(F.avg_pool2d(errors, BLOCK).max()) >= LEAST_GAIN:
            return True
        reference_error = float(of_reference.mean())
        if weight * reference_error >= COARSE_REFERENCE:
            return True
        return float(errors.mean()) >= SMALL_CHANGE * reference_error

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
        can replace dense motion, so it is tried with and without dense motion.
        """
        search = PFrameSearch(self, symbols, features, motion, before, [])
        smooth = smooth_flow(motion, features[-1])
        search.add_reference()
        search.add_affine(smooth)
        base = search.cheapest
        for dense in (smooth, motion):
            search.add_motion(base, dense)
        moved = search.cheapest
        for option in [base] if moved is base else [base, moved]:
            search.add_content(option)
        chosen = search.cheapest
        self.inter.encode_mode(symbols, chosen.mode)
        for part in chosen.parts:
            symbols.accept(part)
        return chosen.encoded


class PFrameCandidate(NamedTuple):
    """A P-frame with some of its parts."""

    frame: DecodedPFrame
    mode: FrameMode
    parts: tuple[EncodedSymbols, ...]
    encoded: EncodedFrames
    cost: float


class PFrameSearch(NamedTuple):
    """Candidates of a P-frame for the last of some features; the others are interpolated."""

    encoder: FrameEncoder
    symbols: EncodedSymbols
    features: Sequence[Tensor]
    motion: Tensor  # before coding
    before: ReferenceFrame
    candidates: list[PFrameCandidate]

    @property
    def cheapest(self) -> PFrameCandidate:
        """Candidate of the lowest cost, the first of several."""
        return min(self.candidates, key=attrgetter("cost"))

    @property
    def gap(self) -> int:
        """Number of frames left out before the P-frame."""
        return len(self.features) - 1

    def add_reference(self) -> None:
        """Add the reference frame, warped along its own motion."""
        frame = self.encoder.inter.continue_motion(self.before, self.gap)
        self._add(frame, FrameMode(False, False, False, self.gap))

    def add_affine(self, motion: Tensor) -> None:
        """Add affine motion to the cheapest candidate."""
        base, coder = self.cheapest, self._coder()
        frame = self.encoder.inter.encode_affine(
            coder, self.features[-1], motion, self.before, self.gap
        )
        self._add(frame, base.mode._replace(affine=True), *base.parts, coder.symbols)

    def add_motion(self, base: PFrameCandidate, motion: Tensor) -> None:
        """Add dense motion to a candidate."""
        coder = self._coder()
        frame = self.encoder.inter.encode_motion(coder, motion, base.frame, self.before)
        self._add(frame, base.mode._replace(motion=True), *base.parts, coder.symbols)

    def add_content(self, base: PFrameCandidate) -> None:
        """Add content to a candidate."""
        coder = self._coder()
        frame = self.encoder.inter.encode_content(coder, self.features[-1], base.frame, self.before)
        self._add(frame, base.mode._replace(content=True), *base.parts, coder.symbols)

    def _coder(self) -> FrameCoder:
        return FrameCoder(self.symbols.trial(), self.encoder.gains, self.encoder.quality)

    def _add(self, frame: DecodedPFrame, mode: FrameMode, *parts: Any) -> None:
        encoded = EncodedFrames.with_gap(self.before, frame, self.gap, self.motion)
        cost = self.encoder.cost(sum(part.bits for part in parts), encoded, self.features)
        self.candidates.append(PFrameCandidate(frame, mode, parts, encoded, cost))


def cheapest(symbols: EncodedSymbols, options: Sequence[Option]) -> EncodedFrames:
    """Accept the option of the lowest cost."""
    chosen = min(options, key=attrgetter("cost"))
    symbols.accept(chosen.symbols)
    return chosen.encoded


def square_error(decoded: Tensor, feature: Tensor) -> Tensor:
    """Return the mean square error of each pixel over the channels, ``(B, 1, H, W)``."""
    return (decoded.float().clamp(0.0, 1.0) - feature).square().mean(dim=1, keepdim=True)


def iframe_quality(quality: int, is_raised: bool) -> int:
    """Return the quality of the I-frame, from which its whole group is predicted; at most 3."""
    return min(quality + is_raised, QUALITIES - 1)
