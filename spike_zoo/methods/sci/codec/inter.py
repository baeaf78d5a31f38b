"""P-frame codec: motion, contexts and content, predicted from the previous decoded frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spike_zoo.methods.sci.codec.entropy import DecodedLatent, LatentEntropy
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
from spike_zoo.methods.sci.codec.intra import LATENT_STRIDE, STRIDE
from spike_zoo.methods.sci.features.blocks import DSB, conv3, scaled, warped
from spike_zoo.nn.precision import in_full_precision

if TYPE_CHECKING:
    from spike_zoo.methods.sci.codec.entropy import Symbols
    from spike_zoo.methods.sci.codec.gains import Gains

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
    """What a P-frame knows of the frame before it.

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
    """

    motion: bool = True
    content: bool = True


CODED: Final = FrameMode()


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


class Inter(nn.Module):
    """All networks of a P-frame except motion estimation.

    Args:
        width: Of all channels and repeats; 1 is the paper's budget.
        context: ``"condition"`` codes a feature given contexts; ``"residual"`` codes what the
            warped frame before leaves of it, without contexts. Both add the warped frame before to
            what is synthesised, and start as this identity: to learn it would cost quality that
            adds up from frame to frame.
        skip: Whether a stream states for each P-frame which parts it holds, see :class:`FrameMode`;
            the paper's holds both.
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
        self.motion_channels, self.motion_hyper = scaled(MOTION, width), scaled(MOTION_HYPER, width)
        self.channels, self.hyper = scaled(CONTENT, width), scaled(CONTENT_HYPER, width)

    def start(self, feature: Tensor) -> ReferenceFrame:
        """Return what the first P-frame after an I-frame knows."""
        size = feature.shape[-2] // LATENT_STRIDE, feature.shape[-1] // LATENT_STRIDE
        motion = DecodedLatent.nothing(feature, self.motion_channels, size)
        return ReferenceFrame(feature, motion, DecodedLatent.nothing(feature, self.channels, size))

    def forward(
        self,
        symbols: Symbols,
        feature: Tensor | None,
        motion: Tensor | None,
        before: ReferenceFrame,
        gains: Gains,
        quality: int,
        mode: FrameMode = CODED,
    ) -> DecodedPFrame:
        """Code a frame, or read it.

        Args:
            symbols: Where symbols come from or go.
            feature: What is coded, ``(B, 3, H, W)``; None where a stream is read.
            motion: Estimated backward motion ``(B, 2, H, W)``; None where a stream is read.
            before: The frame before it.
            gains: Of all latents.
            quality: 0 to 3.
            mode: Which parts are coded.
        """
        found = self.still(before)
        if mode.motion:
            found = self.moved(symbols, motion, before, gains, quality)
        if mode.content:
            found = self.corrected(symbols, feature, found, before, gains, quality)
        return found

    def still(self, before: ReferenceFrame) -> DecodedPFrame:
        """Return the frame before as the next one, without motion and content."""
        start = self.start(before.feature)
        motion = torch.zeros_like(before.feature[:, :2])
        return DecodedPFrame(before.feature, motion, (start.motion, start.content))

    def moved(
        self,
        symbols: Symbols,
        motion: Tensor | None,
        before: ReferenceFrame,
        gains: Gains,
        quality: int,
    ) -> DecodedPFrame:
        """Code motion, or read it, and return the frame before, moved along it."""
        known = self._motion(symbols, motion, before, gains, quality)
        moved = self.motion_synthesis(gains.after("motion", known.latent, quality)).float()
        no_content = self.start(before.feature).content
        return DecodedPFrame(warped(before.feature, moved), moved, (known, no_content))

    def corrected(
        self,
        symbols: Symbols,
        feature: Tensor | None,
        base: DecodedPFrame,
        before: ReferenceFrame,
        gains: Gains,
        quality: int,
    ) -> DecodedPFrame:
        """Code content, or read it, and return the moved frame with it."""
        contexts = self._contexts(before.feature, base.motion)
        latent = hyper = None
        if feature is not None:
            new = feature - base.feature if self.context == "residual" else feature
            latent = self.analysis.content(new, contexts)
            latent = gains.before("content", latent, quality)
            hyper = self.analysis.content.hyper(latent)
        known = self._content(symbols, latent, hyper, contexts, before, quality)
        added = self.synthesis(gains.after("content", known.latent, quality), contexts)
        return DecodedPFrame(base.feature + added, base.motion, (base.known[0], known))

    def _motion(
        self,
        symbols: Symbols,
        motion: Tensor | None,
        before: ReferenceFrame,
        gains: Gains,
        quality: int,
    ) -> DecodedLatent:
        latent = hyper = None
        if motion is not None:
            latent = gains.before("motion", self.analysis.motion(motion), quality)
            hyper = self.analysis.motion.hyper(latent)
        entropy, known = self.entropy.motion, self._side_information(before.motion)
        size = self.motion_hyper, *grid_of(before.feature)
        hyper = symbols.hyper(hyper, entropy.prior, size)
        return entropy(symbols, latent, hyper, quality, [known.latent], known.symbols)

    def _content(
        self,
        symbols: Symbols,
        latent: Tensor | None,
        hyper: Tensor | None,
        contexts: Contexts,
        before: ReferenceFrame,
        quality: int,
    ) -> DecodedLatent:
        entropy, known = self.entropy.content, self._side_information(before.content)
        hyper = symbols.hyper(hyper, entropy.prior, (self.hyper, *grid_of(before.feature)))
        prior = torch.zeros_like(known.latent)
        if self.temporal_prior == "full":
            prior = in_full_precision(self.entropy.prior, contexts.quarter)
        return entropy(symbols, latent, hyper, quality, [known.latent, prior], known.symbols)

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


def grid_of(feature: Tensor) -> tuple[int, int]:
    """Return the size of the hyper latent of a feature."""
    return feature.shape[-2] // STRIDE, feature.shape[-1] // STRIDE
