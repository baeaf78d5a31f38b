"""Encoding and decoding of the frames of a group of pictures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor

from spike_zoo.methods.sci.codec.entropy import (
    EncodedSymbols,
    FrameCoder,
    Gains,
    Passes,
    Symbols,
    UncodedLatent,
)
from spike_zoo.methods.sci.codec.frame_encoder import (
    DecodedFrame,
    FrameEncoder,
    cheapest,
    iframe_quality,
    interpolated,
)
from spike_zoo.methods.sci.codec.inter import (
    CODED,
    MAX_GAP,
    Context,
    FrameMode,
    Inter,
    TemporalPrior,
)
from spike_zoo.methods.sci.codec.intra import STRIDE, Intra
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.blocks import check_width
from spike_zoo.methods.sci.features.motion_estimation import FMVR, DISMotion, MotionEstimation
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.padding import pad_to_multiple

MAX_LOOKAHEAD = MAX_GAP + 1
"""Features for which an encoder chooses P-frames and gaps jointly."""
SHORT_GROUP = 5
"""Frames of the longest group for which an encoder compares two qualities of the I-frame."""
ALL_PARTS = itertools.repeat(CODED)
"""Modes of P-frames of which all parts are coded."""


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
        passes: Passes = 2,
    ) -> CodecNetworks:
        """Return untrained networks; arguments as of :class:`Intra` and :class:`Inter`."""
        check_width("codec_width", width)
        check_choice("context", context, Context)
        check_choice("temporal_prior", temporal_prior, TemporalPrior)
        intra = Intra(width, block_transform=block_transform, passes=passes)
        inter = Inter(
            *(width, context, temporal_prior),
            skip=skip,
            block_transform=block_transform,
            passes=passes,
        )
        models = inter.entropy
        parts = {"intra": intra.entropy, "motion": models.motion, "content": models.content}
        return cls(
            intra,
            inter,
            Gains({name: entropy.channels for name, entropy in parts.items()}),
            FMVR() if fmvr else None,
        )


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
    if is_choice:
        counted = cast("EncodedSymbols", symbols)
        starts = [partial(start_of, is_raised=choice) for choice in (True, False)]
        options = [encoder.option(counted, encode, originals) for encode in starts]
        encoded = cheapest(counted, options)
    else:
        encoded = start_of(symbols, is_raised=is_raised)
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
    iframe_coder = coder._replace(quality=iframe_quality(quality, is_raised))
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
