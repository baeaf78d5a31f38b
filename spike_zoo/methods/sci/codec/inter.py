"""P-frame codec: motion, contexts and content, predicted from the previous decoded frame."""

from __future__ import annotations

import itertools
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spike_zoo.methods.sci.codec.entropy import (
    DecodedLatent,
    FrameCoder,
    LatentEntropy,
    Symbols,
    UncodedLatent,
)
from spike_zoo.methods.sci.codec.inter_layers import (
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
from spike_zoo.methods.sci.features.blocks import DSB, conv3, scaled, warped
from spike_zoo.nn.precision import in_full_precision

Context = Literal["condition", "residual"]
TemporalPrior = Literal["full", "symbols", "none"]


class TemporalEntropy(nn.Module):
    """Entropy models of motion and content, and the contexts' prediction of content's means.

    Args:
        width: Of all channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        wide, wider, content = (scaled(c, width) for c in (64, 96, CONTENT))
        motion, inside, hidden = (scaled(c, width) for c in (MOTION, 256, 128))
        self.prior = nn.Sequential(
            conv3(wide, wider, stride=2), DSB(wider), conv3(wider, content, stride=2), DSB(content)
        )
        self.motion = LatentEntropy(
            motion,
            scaled(MOTION_HYPER, width),
            raised=(scaled(128, width), motion),
            fusion=(inside, inside),
            spatial=(inside, inside),
            hidden=hidden,
            extra=motion,
            previous=True,
        )
        inside = scaled(592, width)
        self.content = LatentEntropy(
            content,
            scaled(CONTENT_HYPER, width),
            raised=(scaled(256, width), content),
            fusion=(inside, inside),
            spatial=(inside, inside),
            hidden=hidden,
            extra=2 * content,
            previous=True,
        )


class ReferenceFrame(NamedTuple):
    """Decoded data of the previous frame, from which a P-frame is predicted.

    Shape:
        - feature: ``(B, 3, H, W)``, decoded and clamped.

    Attributes:
        motion: Its latent and symbols; of an I-frame zeros.
        content: Likewise: the latents of I-frames are of another space.
    """

    feature: Tensor
    motion: DecodedLatent
    content: DecodedLatent


class FrameMode(NamedTuple):
    """Which parts of a P-frame a stream holds.

    Attributes:
        motion: Without it, the frame does not move.
        content: Without it, the frame is the one before it, moved.
        gap: How many frames before it are left out; decoders interpolate them.
    """

    motion: bool = True
    content: bool = True
    gap: int = 0


CODED: Final = FrameMode()
LONGEST_GAP: Final = 3
MODES: Final = tuple(
    itertools.starmap(
        FrameMode, itertools.product((False, True), (False, True), range(LONGEST_GAP + 1))
    )
)
"""Modes by the number that a stream states."""


class DecodedPFrame(NamedTuple):
    """A decoded P-frame.

    Shape:
        - feature: ``(B, 3, H, W)``, not clamped.
        - motion: ``(B, 2, H, W)`` in pixels, to the frame before.

    Attributes:
        known: Latents and symbols of motion and content, for the next frame.
    """

    feature: Tensor
    motion: Tensor
    known: tuple[DecodedLatent, DecodedLatent]

    def reference(self) -> ReferenceFrame:
        """Return what the next P-frame is predicted from."""
        return ReferenceFrame(self.feature.float().clamp(0.0, 1.0), *self.known)


class Inter(nn.Module):
    """All networks of a P-frame except motion estimation.

    Args:
        width: Of all channels and repeats; 1 is the paper's budget.
        context: ``"condition"`` codes a feature given contexts; ``"residual"`` codes what the
            warped frame before leaves of it, without contexts. Both add the warped frame before to
            what is synthesised, and start as this identity: to learn it would cost quality that
            adds up from frame to frame.
        skip: Whether a stream states which P-frames and which of their parts it holds, see
            :class:`FrameMode`, and whether the I-frame has the next higher quality; the paper's
            holds all, at one quality.
        temporal_prior: What of the frame before predicts latents: ``"full"`` lets its symbols
            choose levels, and its latents and the contexts choose means; ``"symbols"`` leaves the
            contexts out; ``"none"`` leaves all out.
    """

    def __init__(
        self,
        width: float,
        context: Context = "condition",
        temporal_prior: TemporalPrior = "full",
        *,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.context, self.temporal_prior, self.skip = context, temporal_prior, skip
        self.analysis = InterAnalysis(width)
        self.entropy = TemporalEntropy(width)
        self.motion_synthesis = MotionSynthesis(width)
        self.contexts = ContextMining(width)
        self.synthesis = ContentSynthesis(width)

    def start(self, feature: Tensor) -> ReferenceFrame:
        """Return what the first P-frame after an I-frame knows."""
        size = feature.shape[-2] // LATENT_STRIDE, feature.shape[-1] // LATENT_STRIDE
        models = self.entropy.motion, self.entropy.content
        nothing = (DecodedLatent.nothing(feature, model.channels, size) for model in models)
        return ReferenceFrame(feature, *nothing)

    def encode(
        self, coder: FrameCoder, feature: Tensor, motion: Tensor, before: ReferenceFrame
    ) -> DecodedPFrame:
        """Encode a frame, motion and content, and return it as decoded.

        Args:
            coder: Takes the symbols.
            feature: ``(B, 3, H, W)``.
            motion: Estimated backward motion ``(B, 2, H, W)``.
            before: The frame before it.
        """
        if self.skip:
            coder.symbols.number(MODES.index(CODED), len(MODES))
        moved = self.encode_motion(coder, motion, before)
        return self.encode_content(coder, feature, moved, before)

    def decode_mode(self, symbols: Symbols) -> FrameMode:
        """Return which parts of the next frame the stream holds."""
        return MODES[symbols.number(None, len(MODES))] if self.skip else CODED

    def decode(self, coder: FrameCoder, mode: FrameMode, before: ReferenceFrame) -> DecodedPFrame:
        """Decode the parts of a frame that the stream holds."""
        frame = self.still(before)
        if mode.motion:
            frame = self._moved(coder, None, before)
        if mode.content:
            contexts = self._contexts(before.feature, frame.motion)
            frame = self._corrected(coder, None, contexts, frame, before)
        return frame

    def still(self, before: ReferenceFrame) -> DecodedPFrame:
        """Return the frame before as the next one, without motion and content."""
        start = self.start(before.feature)
        motion = torch.zeros_like(before.feature[:, :2])
        return DecodedPFrame(before.feature, motion, (start.motion, start.content))

    def encode_motion(
        self, coder: FrameCoder, motion: Tensor, before: ReferenceFrame
    ) -> DecodedPFrame:
        """Encode motion alone and return the frame before, moved along it as decoded."""
        latent = coder.before("motion", self.analysis.motion(motion))
        given = UncodedLatent(latent, self.analysis.motion.hyper(latent))
        return self._moved(coder, given, before)

    def encode_content(
        self, coder: FrameCoder, feature: Tensor, base: DecodedPFrame, before: ReferenceFrame
    ) -> DecodedPFrame:
        """Encode content alone and return the moved frame with it as decoded."""
        contexts = self._contexts(before.feature, base.motion)
        new = feature - base.feature if self.context == "residual" else feature
        latent = coder.before("content", self.analysis.content(new, contexts))
        given = UncodedLatent(latent, self.analysis.content.hyper(latent))
        return self._corrected(coder, given, contexts, base, before)

    def _moved(
        self, coder: FrameCoder, given: UncodedLatent | None, before: ReferenceFrame
    ) -> DecodedPFrame:
        known, grid = self._side_information(before.motion), grid_of(before.feature)
        decoded = self.entropy.motion(
            coder.symbols, given, grid, coder.quality, [known.latent], known.symbols
        )
        motion = self.motion_synthesis(coder.after("motion", decoded.latent)).float()
        no_content = self.start(before.feature).content
        return DecodedPFrame(warped(before.feature, motion), motion, (decoded, no_content))

    def _corrected(
        self,
        coder: FrameCoder,
        given: UncodedLatent | None,
        contexts: Contexts,
        base: DecodedPFrame,
        before: ReferenceFrame,
    ) -> DecodedPFrame:
        known, grid = self._side_information(before.content), grid_of(before.feature)
        prior = torch.zeros_like(known.latent)
        if self.temporal_prior == "full":
            prior = in_full_precision(self.entropy.prior, contexts.quarter)
        decoded = self.entropy.content(
            coder.symbols, given, grid, coder.quality, [known.latent, prior], known.symbols
        )
        added = self.synthesis(coder.after("content", decoded.latent), contexts)
        return DecodedPFrame(base.feature + added, base.motion, (base.known[0], decoded))

    def _side_information(self, known: DecodedLatent) -> DecodedLatent:
        if self.temporal_prior == "none":
            return DecodedLatent(*(torch.zeros_like(part) for part in known))
        return known

    def _contexts(self, reference: Tensor, motion: Tensor) -> Contexts:
        if self.context == "condition":
            return self.contexts(reference, motion)
        channels = self.contexts.at_quarter.widen.in_channels
        sizes = [(channels, reference.shape[-2] // f, reference.shape[-1] // f) for f in (1, 2, 4)]
        return Contexts(*(reference.new_zeros(len(reference), *size) for size in sizes))
