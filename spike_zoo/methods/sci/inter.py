"""The codec of a frame that is told from the one before it (P-frame): motion, contexts, content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.methods.sci.blocks import (
    DSB,
    FEATURES,
    Res,
    Up,
    conv3,
    repeated,
    residuals,
    scaled,
    separables,
    warped,
)
from spike_zoo.methods.sci.entropy import Known, LatentEntropy
from spike_zoo.methods.sci.intra import LATENT_STRIDE, STRIDE

if TYPE_CHECKING:
    from spike_zoo.methods.sci.entropy import Symbols
    from spike_zoo.methods.sci.gains import Gains

Context = Literal["condition", "residual"]
TemporalPrior = Literal["full", "symbols", "none"]

MOTION, MOTION_HYPER = 64, 64
CONTENT, CONTENT_HYPER = 128, 96


class Contexts(NamedTuple):
    """What the decoded frame before and the decoded motion tell of a frame.

    Shape:
        - full, half, quarter: ``(B, C, H, W)``, and 2 and 4 times smaller along each side.
    """

    full: Tensor
    half: Tensor
    quarter: Tensor


class MotionAnalysis(nn.Module):
    """Motion becomes a latent, and that a hyper latent.

    Args:
        width: Of all channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        wide, wider, hyper = (scaled(c, width) for c in (64, 96, MOTION_HYPER))
        latent = scaled(MOTION, width)
        self.transform = nn.Sequential(
            conv3(2, wide, stride=2),
            separables(wide, 2),
            conv3(wide, wide, stride=2),
            separables(wide, 2),
            conv3(wide, wider, stride=2),
            DSB(wider),
            conv3(wider, latent, stride=2),
        )
        self.hyper = hyper_analysis(latent, latent, hyper)

    def forward(self, motion: Tensor) -> Tensor:
        """Return the latent, ``(B, 2, H, W)`` -> ``(B, N, H/16, W/16)``."""
        return self.transform(motion)


class ContentAnalysis(nn.Module):
    """A feature becomes a latent, seen beside its contexts.

    Args:
        width: Of all channels and repeats.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        wide, wider, latent = (scaled(c, width) for c in (64, 96, CONTENT))
        self.at_full = conv3(FEATURES + wide, wide, stride=2)
        self.at_half = nn.Sequential(conv3(2 * wide, wide), residuals(wide, repeated(4, width)))
        self.to_quarter = conv3(wide, wider, stride=2)
        self.at_quarter = nn.Sequential(
            conv3(wider + wide, wider),
            Res(wider),
            DSB(wider),
            conv3(wider, latent, stride=2),
            separables(latent, 2),
            conv3(latent, latent, stride=2),
            DSB(latent),
        )
        self.hyper = hyper_analysis(latent, latent, scaled(CONTENT_HYPER, width))

    def forward(self, feature: Tensor, contexts: Contexts) -> Tensor:
        """Return the latent, ``(B, 3, H, W)`` -> ``(B, N, H/16, W/16)``."""
        half = self.at_full(torch.cat([feature, contexts.full], dim=1))
        half = self.at_half(torch.cat([half, contexts.half], dim=1))
        return self.at_quarter(torch.cat([self.to_quarter(half), contexts.quarter], dim=1))


class InterAnalysis(nn.Module):
    """What the camera's side computes of a P-frame beside motion estimation.

    Args:
        width: Of all channels and repeats.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        self.motion = MotionAnalysis(width)
        self.content = ContentAnalysis(width)


class TemporalEntropy(nn.Module):
    """Entropy models of motion and content, and what contexts tell of the content's means.

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


class ContextMining(nn.Module):
    """Features of the decoded frame before, moved along the decoded motion, at three sizes.

    Args:
        width: Of all channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        wide = scaled(64, width)
        self.enter = nn.Sequential(conv3(FEATURES, wide), nn.Conv2d(wide, wide, 1), DSB(wide))
        self.to_half = nn.Sequential(conv3(wide, wide, stride=2), DSB(wide))
        self.to_quarter = nn.Sequential(conv3(wide, wide, stride=2), DSB(wide))
        self.at_quarter = DSB(wide)
        self.raise_quarter, self.raise_half = Up(wide, wide), Up(wide, wide)
        self.at_half = nn.Sequential(nn.Conv2d(2 * wide, wide, 1), DSB(wide))
        self.at_full = nn.Sequential(nn.Conv2d(2 * wide, wide, 1), DSB(wide))

    def forward(self, reference: Tensor, motion: Tensor) -> Contexts:
        """Return the contexts of a frame.

        Args:
            reference: ``(B, 3, H, W)``, the decoded feature before.
            motion: ``(B, 2, H, W)`` in pixels, decoded.
        """
        full = self.enter(reference)
        half = self.to_half(full)
        quarter = self.to_quarter(half)
        moved = [
            warped(x, smaller_motion(motion, factor))
            for x, factor in ((full, 1), (half, 2), (quarter, 4))
        ]
        quarter = self.at_quarter(moved[2])
        half = self.at_half(torch.cat([self.raise_quarter(quarter), moved[1]], dim=1))
        full = self.at_full(torch.cat([self.raise_half(half), moved[0]], dim=1))
        return Contexts(full, half, quarter)


class MotionSynthesis(nn.Sequential):
    """A latent becomes motion again, ``(B, N, H/16, W/16)`` -> ``(B, 2, H, W)``.

    Args:
        width: Of all channels.
    """

    def __init__(self, width: float) -> None:
        latent, wider, wide, narrow, last = (scaled(c, width) for c in (MOTION, 96, 64, 32, 16))
        super().__init__(
            DSB(latent),
            Up(latent, wider, 3),
            DSB(wider),
            Up(wider, wide, 3),
            separables(wide, 2),
            Up(wide, narrow, 3),
            separables(narrow, 2),
            Up(narrow, last),
            conv3(last, 2),
        )


class ContentSynthesis(nn.Module):
    """A latent and the contexts become a feature again.

    Args:
        width: Of all channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        latent, wider, wide, narrow = (scaled(c, width) for c in (CONTENT, 96, 64, 32))
        self.to_quarter = nn.Sequential(
            DSB(latent), Up(latent, latent, 3), separables(latent, 2), Up(latent, wider, 3)
        )
        self.at_quarter = nn.Sequential(
            conv3(wider + wide, wider), separables(wider, 2), Up(wider, wide, 3)
        )
        self.at_half = nn.Sequential(conv3(2 * wide, wide), separables(wide, 2), Up(wide, narrow))
        self.at_full = nn.Sequential(
            conv3(narrow + wide, wide), Res(wide), separables(wide, 2), conv3(wide, FEATURES)
        )

    def forward(self, latent: Tensor, contexts: Contexts) -> Tensor:
        """Return the feature, ``(B, N, H/16, W/16)`` -> ``(B, 3, H, W)``, not clamped."""
        quarter = torch.cat([self.to_quarter(latent), contexts.quarter], dim=1)
        half = torch.cat([self.at_quarter(quarter), contexts.half], dim=1)
        return self.at_full(torch.cat([self.at_half(half), contexts.full], dim=1))


class Before(NamedTuple):
    """What a P-frame knows of the frame before it.

    Shape:
        - feature: ``(B, 3, H, W)``, decoded and clamped.

    Attributes:
        motion: Its latent and symbols; of an I-frame zeros.
        content: Likewise: the latents of I-frames are of another space.
    """

    feature: Tensor
    motion: Known
    content: Known


class Moved(NamedTuple):
    """A decoded P-frame.

    Shape:
        - feature: ``(B, 3, H, W)``, not clamped.
        - motion: ``(B, 2, H, W)`` in pixels, to the frame before.

    Attributes:
        known: Latents and symbols of motion and content, for the next frame.
    """

    feature: Tensor
    motion: Tensor
    known: tuple[Known, Known]


class Inter(nn.Module):
    """All networks of a P-frame but motion estimation.

    Args:
        width: Of all channels and repeats; 1 is the paper's budget.
        context: ``"condition"`` codes a feature given contexts; ``"residual"`` codes what the
            warped frame before leaves of it, without contexts.
        temporal_prior: What of the frame before predicts latents: ``"full"`` lets its symbols
            choose levels, and its latents and the contexts choose means; ``"symbols"`` leaves the
            contexts out; ``"none"`` leaves all out.
    """

    def __init__(
        self, width: float, context: Context = "condition", temporal_prior: TemporalPrior = "full"
    ) -> None:
        super().__init__()
        self.context, self.temporal_prior = context, temporal_prior
        self.analysis = InterAnalysis(width)
        self.entropy = TemporalEntropy(width)
        self.motion_synthesis = MotionSynthesis(width)
        self.contexts = ContextMining(width)
        self.synthesis = ContentSynthesis(width)
        self.motion_channels, self.motion_hyper = scaled(MOTION, width), scaled(MOTION_HYPER, width)
        self.channels, self.hyper = scaled(CONTENT, width), scaled(CONTENT_HYPER, width)

    def start(self, feature: Tensor) -> Before:
        """Return what the first P-frame after an I-frame knows."""
        size = feature.shape[-2] // LATENT_STRIDE, feature.shape[-1] // LATENT_STRIDE
        motion = Known.nothing(feature, self.motion_channels, size)
        return Before(feature, motion, Known.nothing(feature, self.channels, size))

    def forward(
        self,
        symbols: Symbols,
        feature: Tensor | None,
        motion: Tensor | None,
        before: Before,
        gains: Gains,
        quality: int,
    ) -> Moved:
        """Code a frame, or read it.

        Args:
            symbols: Where symbols come from or go.
            feature: What is coded, ``(B, 3, H, W)``; None where a stream is read.
            motion: Estimated backward motion ``(B, 2, H, W)``; None where a stream is read.
            before: The frame before it.
            gains: Of all latents.
            quality: 0 to 3.
        """
        known_motion = self._motion(symbols, motion, before, gains, quality)
        moved = self.motion_synthesis(gains.after("motion", known_motion.latent, quality)).float()
        contexts, base = self._contexts(before.feature, moved)
        latent = hyper = None
        if feature is not None:
            latent = self.analysis.content(feature - base, contexts)
            latent = gains.before("content", latent, quality)
            hyper = self.analysis.content.hyper(latent)
        known = self._content(symbols, latent, hyper, contexts, before, quality)
        found = base + self.synthesis(gains.after("content", known.latent, quality), contexts)
        return Moved(found, moved, (known_motion, known))

    def _motion(
        self,
        symbols: Symbols,
        motion: Tensor | None,
        before: Before,
        gains: Gains,
        quality: int,
    ) -> Known:
        latent = hyper = None
        if motion is not None:
            latent = gains.before("motion", self.analysis.motion(motion), quality)
            hyper = self.analysis.motion.hyper(latent)
        entropy, known = self.entropy.motion, self._told(before.motion)
        size = self.motion_hyper, *grid_of(before.feature)
        hyper = symbols.hyper(hyper, entropy.prior, size)
        return entropy(symbols, latent, hyper, quality, [known.latent], known.symbols)

    def _content(
        self,
        symbols: Symbols,
        latent: Tensor | None,
        hyper: Tensor | None,
        contexts: Contexts,
        before: Before,
        quality: int,
    ) -> Known:
        entropy, known = self.entropy.content, self._told(before.content)
        hyper = symbols.hyper(hyper, entropy.prior, (self.hyper, *grid_of(before.feature)))
        prior = torch.zeros_like(known.latent)
        if self.temporal_prior == "full":
            prior = self.entropy.prior(contexts.quarter)
        return entropy(symbols, latent, hyper, quality, [known.latent, prior], known.symbols)

    def _told(self, known: Known) -> Known:
        if self.temporal_prior == "none":
            return Known(*(torch.zeros_like(part) for part in known))
        return known

    def _contexts(self, reference: Tensor, motion: Tensor) -> tuple[Contexts, Tensor]:
        """Return the contexts, and what is subtracted before and added after coding."""
        if self.context == "condition":
            return self.contexts(reference, motion), torch.zeros_like(reference)
        base = warped(reference, motion)
        channels = self.contexts.at_quarter.widen.in_channels
        sizes = [(channels, reference.shape[-2] // f, reference.shape[-1] // f) for f in (1, 2, 4)]
        return Contexts(*(base.new_zeros(len(base), *size) for size in sizes)), base


def hyper_analysis(channels: int, middle: int, hyper: int) -> nn.Sequential:
    """Return the layers from a latent to a hyper latent, 4 times smaller along each side."""
    return nn.Sequential(
        conv3(channels, channels),
        nn.GELU(),
        conv3(channels, middle, stride=2),
        nn.GELU(),
        conv3(middle, hyper, stride=2),
    )


def smaller_motion(motion: Tensor, factor: int) -> Tensor:
    """Return motion at a smaller size, in pixels of that."""
    return motion if factor == 1 else F.avg_pool2d(motion, factor) / factor


def grid_of(feature: Tensor) -> tuple[int, int]:
    """Return the size of the hyper latent of a feature."""
    return feature.shape[-2] // STRIDE, feature.shape[-1] // STRIDE
