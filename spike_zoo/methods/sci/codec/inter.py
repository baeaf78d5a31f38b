"""P-frame codec: motion and content, predicted from the previous decoded frame."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spike_zoo.methods.sci.codec.entropy import (
    DecodedLatent,
    FrameCoder,
    LatentEntropy,
    Passes,
    Symbols,
    UncodedLatent,
)
from spike_zoo.methods.sci.codec.inter_layers import (
    COEFFICIENTS,
    CONTENT,
    CONTENT_HYPER,
    MOTION,
    MOTION_HYPER,
    ContentSynthesis,
    ContextMining,
    Contexts,
    InterAnalysis,
    MotionSynthesis,
)
from spike_zoo.methods.sci.codec.intra import LATENT_STRIDE, grid_of
from spike_zoo.methods.sci.features.blocks import DSB, conv3, scale_channels, warp_features
from spike_zoo.methods.sci.features.motion_estimation import affine_flow, fit_affine, refine_affine
from spike_zoo.nn.precision import in_full_precision

Context = Literal["condition", "residual"]
TemporalPrior = Literal["full", "symbols", "none"]


class TemporalEntropy(nn.Module):
    """Entropy models of motion and of content with a number of channels, and its temporal prior."""

    def __init__(self, width: float, content: int, passes: Passes) -> None:
        super().__init__()
        wide, wider = (scale_channels(c, width) for c in (64, 96))
        motion, inside, hidden = (scale_channels(c, width) for c in (MOTION, 256, 128))
        self.prior = nn.Sequential(
            conv3(wide, wider, stride=2), DSB(wider), conv3(wider, content, stride=2), DSB(content)
        )
        self.motion = LatentEntropy(
            motion,
            scale_channels(MOTION_HYPER, width),
            raised=(scale_channels(128, width), motion),
            fusion=(inside, inside),
            spatial=(inside, inside),
            hidden=hidden,
            extra=motion,
            previous=True,
            passes=passes,
        )
        inside = scale_channels(592, width)
        self.content = LatentEntropy(
            content,
            scale_channels(CONTENT_HYPER, width),
            raised=(scale_channels(256, width), content),
            fusion=(inside, inside),
            spatial=(inside, inside),
            hidden=hidden,
            extra=2 * content,
            previous=True,
            passes=passes,
        )


class ReferenceFrame(NamedTuple):
    """Decoded data of the previous frame, from which a P-frame is predicted.

    Latents and symbols are zero after an I-frame, whose latent has another transform.
    """

    feature: Tensor  # (B, 3, H, W), clamped to [0, 1]
    affine: Tensor  # (B, 6, 1, 1), global motion per frame, see affine_flow; 0 after an I-frame
    motion: DecodedLatent
    content: DecodedLatent
    pyramid: Sequence[Tensor] | None = None  # of :meth:`ContextMining.pyramid`, if several use it


class FrameMode(NamedTuple):
    """Parts of a P-frame that a bitstream contains."""

    affine: bool = True  # otherwise the global motion of the reference frame continues
    motion: bool = True  # otherwise all motion is global
    content: bool = True  # otherwise the frame is the warped reference frame
    gap: int = 0  # frames left out before it, which decoders interpolate


CODED: Final = FrameMode()
MAX_GAP: Final = 7
MODE_STOPS: Final = 2, 2, 2, MAX_GAP + 1  # numbers of values of the parts of a mode
AFFINE_STEPS: Final = 8  # of affine motion per pixel
AFFINE_LEVEL: Final = 36  # scale index of the changes of affine motion: a deviation of 4 steps


class DecodedPFrame(NamedTuple):
    """A decoded P-frame."""

    feature: Tensor  # (B, 3, H, W), not clamped
    motion: Tensor  # (B, 2, H, W) in pixels, to the reference frame
    affine: Tensor  # (B, 6, 1, 1), its global part
    latents: tuple[DecodedLatent, DecodedLatent]  # of motion and content, for the next frame

    def reference(self, gap: int) -> ReferenceFrame:
        """Return this frame as reference of the next; ``gap`` frames were left out before it."""
        feature, affine = self.feature.float().clamp(0.0, 1.0), self.affine / (gap + 1)
        return ReferenceFrame(feature, affine, *self.latents)


class Inter(nn.Module):
    """Networks of a P-frame except motion estimation.

    Args:
        width: Multiplier of channels and block counts; 1 is the paper's budget.
        context: ``"condition"`` codes a feature conditioned on contexts; ``"residual"`` codes its
            difference to the warped reference frame, without contexts. Both add the warped
            reference frame to the output of the synthesis, which is zero before training. If this
            identity had to be learned, errors would accumulate from frame to frame.
        skip: Whether a bitstream stores a :class:`FrameMode` per P-frame, and whether an I-frame
            may have the next higher quality. In the paper all frames are coded at one quality.
        temporal_prior: Predictors of latents from the reference frame. ``"full"``: its symbols
            predict scale indexes, its latents and the contexts predict means. ``"symbols"``: as
            full, without the contexts. ``"none"``: no predictor.
        block_transform: Whether a linear transform of blocks of the difference to the warped
            reference frame is added to analysis and synthesis, as in :class:`Intra`. Its latent
            has at least 64 channels.
        passes: Number of passes of the entropy models, see :func:`coding_passes`.
    """

    def __init__(
        self,
        width: float,
        context: Context = "condition",
        temporal_prior: TemporalPrior = "full",
        *,
        skip: bool = False,
        block_transform: bool = False,
        passes: Passes = 2,
    ) -> None:
        super().__init__()
        self.context, self.temporal_prior, self.skip = context, temporal_prior, skip
        content = scale_channels(CONTENT, width)
        content = max(content, COEFFICIENTS) if block_transform else content
        self.analysis = InterAnalysis(width, content, block_transform=block_transform)
        self.entropy = TemporalEntropy(width, content, passes)
        self.motion_synthesis = MotionSynthesis(width)
        self.contexts = ContextMining(width)
        self.synthesis = ContentSynthesis(width, content, block_transform=block_transform)

    def start(self, feature: Tensor) -> ReferenceFrame:
        """Return the reference frame of the first P-frame after an I-frame."""
        size = feature.shape[-2] // LATENT_STRIDE, feature.shape[-1] // LATENT_STRIDE
        models = self.entropy.motion, self.entropy.content
        shapes = [(len(feature), model.channels, *size) for model in models]
        latents = (DecodedLatent(*feature.new_zeros(2, *shape)) for shape in shapes)
        return ReferenceFrame(feature, feature.new_zeros(len(feature), 6, 1, 1), *latents)

    def encode(
        self,
        coder: FrameCoder,
        feature: Tensor,
        motion: Tensor,
        before: ReferenceFrame,
        mode: FrameMode,
    ) -> DecodedPFrame:
        """Encode parts of a P-frame: estimated backward motion and content. Decode them."""
        frame = self.continue_motion(before, 0)
        if self.skip:
            self.encode_mode(coder.symbols, mode)
        if self.skip and mode.affine:
            frame = self.encode_affine(coder, feature, motion, before, 0)
        if mode.motion:
            frame = self.encode_motion(coder, motion, frame, before)
        return self.encode_content(coder, feature, frame, before) if mode.content else frame

    def encode_mode(self, symbols: Symbols, mode: FrameMode) -> None:
        """Encode the mode of a frame."""
        for value, stop in zip(mode, MODE_STOPS, strict=True):
            symbols.number(int(value), stop)

    def decode_mode(self, symbols: Symbols) -> FrameMode:
        """Decode the mode of the next frame."""
        if not self.skip:
            return CODED._replace(affine=False)
        return FrameMode(*(symbols.number(None, stop) for stop in MODE_STOPS))  # type: ignore[arg-type]  # 0 or 1

    def decode(self, coder: FrameCoder, mode: FrameMode, before: ReferenceFrame) -> DecodedPFrame:
        """Decode the coded parts of a frame."""
        frame = self.continue_motion(before, mode.gap)
        if mode.affine:
            frame = self._code_affine(coder, None, before, mode.gap)
        if mode.motion:
            frame = self._code_motion(coder, None, frame, before)
        if mode.content:
            contexts = self._contexts(before, frame.motion)
            frame = self._code_content(coder, None, contexts, frame, before)
        return frame

    def with_pyramid(self, before: ReferenceFrame) -> ReferenceFrame:
        """Return a reference frame with the features that the contexts of its P-frames share."""
        if before.pyramid is not None or self.context == "residual":
            return before
        return before._replace(pyramid=self.contexts.pyramid(before.feature))

    def continue_motion(self, before: ReferenceFrame, gap: int) -> DecodedPFrame:
        """Return the reference frame warped along its global motion, ``gap`` frames left out."""
        return self._moved(before, before.affine * (gap + 1))

    def encode_affine(
        self, coder: FrameCoder, feature: Tensor, motion: Tensor, before: ReferenceFrame, gap: int
    ) -> DecodedPFrame:
        """Encode the change of global motion, and return the reference frame warped along it."""
        affine = refine_affine(fit_affine(motion, feature), feature, before.feature)
        return self._code_affine(coder, AFFINE_STEPS * affine, before, gap)

    def encode_motion(
        self, coder: FrameCoder, motion: Tensor, base: DecodedPFrame, before: ReferenceFrame
    ) -> DecodedPFrame:
        """Encode the change of motion against that of ``base``, and return the warped frame."""
        latent = coder.scale_latent("motion", self.analysis.motion(motion - base.motion))
        uncoded = UncodedLatent(latent, self.analysis.motion.hyper(latent))
        return self._code_motion(coder, uncoded, base, before)

    def encode_content(
        self, coder: FrameCoder, feature: Tensor, base: DecodedPFrame, before: ReferenceFrame
    ) -> DecodedPFrame:
        """Encode content, and return the warped frame ``base`` with the decoded content added."""
        contexts = self._contexts(before, base.motion)
        difference = feature - base.feature
        content = difference if self.context == "residual" else feature
        latent = self.analysis.content(content, contexts, difference)
        latent = coder.scale_latent("content", latent)
        uncoded = UncodedLatent(latent, self.analysis.content.hyper(latent))
        return self._code_content(coder, uncoded, contexts, base, before)

    def _moved(self, before: ReferenceFrame, affine: Tensor) -> DecodedPFrame:
        """Return the reference frame warped along affine motion."""
        start = self.start(before.feature)
        motion = affine_flow(affine, (before.feature.shape[-2], before.feature.shape[-1]))
        feature = warp_features(before.feature, motion)
        return DecodedPFrame(feature, motion, affine, (start.motion, start.content))

    def _code_affine(
        self, coder: FrameCoder, latent: Tensor | None, before: ReferenceFrame, gap: int
    ) -> DecodedPFrame:
        continued = AFFINE_STEPS * (gap + 1) * before.affine
        level = torch.full_like(continued, AFFINE_LEVEL)
        change, _ = coder.symbols.residual(latent, continued, level, level > 0)
        return self._moved(before, (continued + change) / AFFINE_STEPS)

    def _code_motion(
        self,
        coder: FrameCoder,
        uncoded: UncodedLatent | None,
        base: DecodedPFrame,
        before: ReferenceFrame,
    ) -> DecodedPFrame:
        side, grid = self._side_information(before.motion), grid_of(before.feature)
        decoded = self.entropy.motion(
            coder.symbols, uncoded, grid, coder.quality, [side.latent], side.symbols
        )
        change = self.motion_synthesis(coder.unscale_latent("motion", decoded.latent)).float()
        motion = base.motion + change
        feature = warp_features(before.feature, motion)
        return DecodedPFrame(feature, motion, base.affine, (decoded, base.latents[1]))

    def _code_content(
        self,
        coder: FrameCoder,
        uncoded: UncodedLatent | None,
        contexts: Contexts,
        base: DecodedPFrame,
        before: ReferenceFrame,
    ) -> DecodedPFrame:
        side, grid = self._side_information(before.content), grid_of(before.feature)
        prior = torch.zeros_like(side.latent)
        if self.temporal_prior == "full":
            prior = in_full_precision(self.entropy.prior, contexts.quarter)
        decoded = self.entropy.content(
            coder.symbols, uncoded, grid, coder.quality, [side.latent, prior], side.symbols
        )
        added = self.synthesis(coder.unscale_latent("content", decoded.latent), contexts)
        latents = base.latents[0], decoded
        return base._replace(feature=base.feature + added, latents=latents)

    def _side_information(self, previous: DecodedLatent) -> DecodedLatent:
        if self.temporal_prior == "none":
            return DecodedLatent(*(torch.zeros_like(part) for part in previous))
        return previous

    def _contexts(self, before: ReferenceFrame, motion: Tensor) -> Contexts:
        reference = before.feature
        if self.context == "condition":
            return self.contexts(reference, motion, before.pyramid)
        channels = self.contexts.at_quarter.widen.in_channels
        sizes = [(channels, reference.shape[-2] // f, reference.shape[-1] // f) for f in (1, 2, 4)]
        return Contexts(*(reference.new_zeros(len(reference), *size) for size in sizes))
