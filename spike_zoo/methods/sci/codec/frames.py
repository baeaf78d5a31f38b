"""Frame after frame of a group of pictures: the one way that training, writing and reading go."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, NamedTuple, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.codec.gains import Gains
from spike_zoo.methods.sci.codec.inter import (
    CODED,
    Context,
    DecodedPFrame,
    FrameMode,
    Inter,
    ReferenceFrame,
    TemporalPrior,
)
from spike_zoo.methods.sci.codec.inter_layers import CONTENT, MOTION
from spike_zoo.methods.sci.codec.intra import LATENT, STRIDE, Intra
from spike_zoo.methods.sci.features.blocks import check_width, scaled
from spike_zoo.methods.sci.features.fmvr import FMVR
from spike_zoo.nn.padding import crop_padding, pad_to_multiple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spike_zoo.methods.sci.codec.entropy import EncodedSymbols, Symbols
    from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation


_MODES: Final = tuple(itertools.starmap(FrameMode, itertools.product((False, True), repeat=2)))


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
    ) -> CodecNetworks:
        """Return untrained networks.

        Args:
            width: Of all channels and repeats; 1 is the paper's budget.
            context: See :class:`Inter`.
            temporal_prior: See there.
            fmvr: Whether there is one.
            skip: See :class:`Inter`.

        Raises:
            ValueError: If an argument is outside its range.
        """
        check_width("codec_width", width)
        for name, value, choices in (
            ("context", context, get_args(Context)),
            ("temporal_prior", temporal_prior, get_args(TemporalPrior)),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        channels = {"intra": LATENT, "motion": MOTION, "content": CONTENT}
        return cls(
            Intra(width),
            Inter(width, context, temporal_prior, skip=skip),
            Gains({name: scaled(count, width) for name, count in channels.items()}),
            FMVR() if fmvr else None,
        )


class DecodedFrame(NamedTuple):
    """A decoded frame.

    Shape:
        - feature: ``(B, 3, H, W)``, not clamped; the next frame sees it clamped to [0, 1].
        - motion: ``(B, 2, H, W)`` in pixels, to the frame before; None of an I-frame.
        - estimated: ``(B, 2, H, W)``, the motion that was coded; None of an I-frame, and where a
          stream is read.
    """

    feature: Tensor
    motion: Tensor | None
    estimated: Tensor | None = None


def coded_frames(
    coding: CodecNetworks,
    symbols: Symbols,
    size: tuple[int, int],
    quality: int,
    *,
    count: int,
    features: Iterable[Tensor] | None = None,
    estimation: MotionEstimation | None = None,
    weight: float | None = None,
) -> Iterator[DecodedFrame]:
    """Code the frames of a group of pictures, or read them: an I-frame, then P-frames.

    Args:
        coding: The networks.
        symbols: Where symbols come from or go.
        size: H and W of a feature.
        quality: 0 to 3.
        count: Frames of the group.
        features: What is coded, ``(B, 3, H, W)`` each; None where a stream is read. From an
            iterator exactly ``count`` are taken.
        estimation: Motion estimation, where something is coded.
        weight: Of the mean square error beside the bits of a feature's pixel, by which an encoder
            chooses the parts of a P-frame that it codes; by default it codes both.

    Yields:
        The decoded frames, of the true size.
    """
    padded = size[0] + -size[0] % STRIDE, size[1] + -size[1] % STRIDE
    before: ReferenceFrame | None = None
    coded = itertools.repeat(None) if features is None else features
    for _, feature in zip(range(count), coded):  # noqa: B905  (an iterator may hold further groups)
        feature = None if feature is None else pad_to_multiple(feature.float(), STRIDE)
        if before is None:
            found = coding.intra(symbols, feature, padded, coding.gains, quality).float()
            before = coding.inter.start(found.clamp(0.0, 1.0))
            yield DecodedFrame(crop_padding(found, *size), None)
            continue
        motion = None
        if feature is not None and estimation is not None:
            motion = estimation(feature, before.feature)
        moved = _coded_p_frame(coding, symbols, feature, motion, before, quality, weight)
        before = ReferenceFrame(moved.feature.float().clamp(0.0, 1.0), *moved.known)
        yield DecodedFrame(
            crop_padding(moved.feature.float(), *size),
            crop_padding(moved.motion, *size),
            None if motion is None else crop_padding(motion, *size),
        )


def _coded_p_frame(
    coding: CodecNetworks,
    symbols: Symbols,
    feature: Tensor | None,
    motion: Tensor | None,
    before: ReferenceFrame,
    quality: int,
    weight: float | None,
) -> DecodedPFrame:
    """Code a P-frame, or read it, in the mode that the stream states or the encoder chooses."""
    inter, mode = coding.inter, CODED
    if inter.skip and feature is None:
        mode = _MODES[symbols.number(None, len(_MODES))]
    elif inter.skip and feature is not None and weight is not None:
        symbols = cast("EncodedSymbols", symbols)
        return _best_p_frame(coding, symbols, feature, motion, before, quality, weight)
    elif inter.skip:
        symbols.number(_MODES.index(mode), len(_MODES))
    return inter(symbols, feature, motion, before, coding.gains, quality, mode)


def _best_p_frame(
    coding: CodecNetworks,
    symbols: EncodedSymbols,
    feature: Tensor,
    motion: Tensor | None,
    before: ReferenceFrame,
    quality: int,
    weight: float,
) -> DecodedPFrame:
    """Code a P-frame with the parts that reduce bits and weighted error together.

    Motion is decided first, by the moved frame; then content.
    """
    inter, options = coding.inter, (before, coding.gains, quality)

    def cost(frame: DecodedPFrame, bits: float) -> float:
        error = F.mse_loss(frame.feature.float().clamp(0.0, 1.0), feature)
        return bits / feature[:, 0].numel() + weight * float(error)

    best = inter.still(before)
    accepted: dict[str, EncodedSymbols] = {}
    for part in FrameMode._fields:
        trial = symbols.trial()
        if part == "motion":
            tried = inter.moved(trial, motion, *options)
        else:
            tried = inter.corrected(trial, feature, best, *options)
        if cost(tried, float(trial.bits)) < cost(best, 0.0):
            best, accepted[part] = tried, trial
    mode = FrameMode(*(part in accepted for part in FrameMode._fields))
    symbols.number(_MODES.index(mode), len(_MODES))
    for trial in accepted.values():
        symbols.accept(trial)
    return best


def in_time(coding: CodecNetworks, frames: Sequence[DecodedFrame]) -> tuple[Tensor, Tensor]:
    """Return decoded frames as an analysis takes them.

    Returns:
        Features ``(B, n, 3, H, W)`` in [0, 1] and motion ``(B, n, 2, H, W)`` in pixels, of each to
        the one before it, refined; zero of I-frames.
    """
    still = torch.zeros_like(frames[0].feature[:, :2])
    features, motions = [], []
    for frame in frames:
        feature = frame.feature.clamp(0.0, 1.0)
        motion = still if frame.motion is None else frame.motion
        if frame.motion is not None and coding.fmvr is not None:
            motion = coding.fmvr(motion, feature)
        features.append(feature)
        motions.append(motion)
    return torch.stack(features, dim=1), torch.stack(motions, dim=1)
