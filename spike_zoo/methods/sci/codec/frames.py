"""Encode and decode the frames of a group of pictures, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.codec.entropy import Gains
from spike_zoo.methods.sci.codec.inter import (
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
from spike_zoo.methods.sci.features.blocks import check_width, scaled
from spike_zoo.methods.sci.features.motion_estimation import FMVR
from spike_zoo.nn.padding import crop_padding, pad_to_multiple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spike_zoo.methods.sci.codec.entropy import EncodedSymbols, Symbols
    from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation


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
        for name, value, choices in (
            ("context", context, get_args(Context)),
            ("temporal_prior", temporal_prior, get_args(TemporalPrior)),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
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
        weight: Of the mean square error beside the bits of a feature's pixel, by which an encoder
            chooses the parts of a P-frame that it codes; by default it codes both.

    Yields:
        The frames as decoded, of the true size.
    """
    before: ReferenceFrame | None = None
    for feature in features:
        size = feature.shape[-2], feature.shape[-1]
        padded = pad_to_multiple(feature.float(), STRIDE)
        if before is None:
            found = coding.intra.encode(symbols, padded, coding.gains, quality).float()
            before = coding.inter.start(found.clamp(0.0, 1.0))
            yield DecodedFrame(found, torch.zeros_like(found[:, :2])).cropped(size)
            continue
        motion = cast("MotionEstimation", estimation)(padded, before.feature)
        options = (symbols, padded, motion, before, coding.gains, quality)
        if weight is None or not coding.inter.skip:
            frame = coding.inter.encode(*options)
        else:
            frame = _best_p_frame(coding.inter, *options, weight)
        before = frame.reference()
        yield DecodedFrame(frame.feature.float(), frame.motion, motion).cropped(size)


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
    padded = size[0] + -size[0] % STRIDE, size[1] + -size[1] % STRIDE
    found = coding.intra.decode(symbols, padded, coding.gains, quality).float()
    yield DecodedFrame(found, torch.zeros_like(found[:, :2])).cropped(size)
    before = coding.inter.start(found.clamp(0.0, 1.0))
    for _ in range(count - 1):
        frame = coding.inter.decode(symbols, before, coding.gains, quality)
        before = frame.reference()
        yield DecodedFrame(frame.feature.float(), frame.motion).cropped(size)


def _best_p_frame(
    inter: Inter,
    symbols: Symbols,
    feature: Tensor,
    motion: Tensor,
    before: ReferenceFrame,
    gains: Gains,
    quality: int,
    weight: float,
) -> DecodedPFrame:
    """Encode a P-frame with the parts that reduce bits and weighted error together.

    Motion is decided first, by the moved frame; then content.
    """
    symbols, options = cast("EncodedSymbols", symbols), (before, gains, quality)

    def cost(frame: DecodedPFrame, bits: float) -> float:
        error = F.mse_loss(frame.feature.float().clamp(0.0, 1.0), feature)
        return bits / feature[:, 0].numel() + weight * float(error)

    best = inter.still(before)
    accepted: dict[str, EncodedSymbols] = {}
    for part in FrameMode._fields:
        trial = symbols.trial()
        if part == "motion":
            tried = inter.encode_motion(trial, motion, *options)
        else:
            tried = inter.encode_content(trial, feature, best, *options)
        if cost(tried, float(trial.bits)) < cost(best, 0.0):
            best, accepted[part] = tried, trial
    mode = FrameMode(*(part in accepted for part in FrameMode._fields))
    symbols.number(MODES.index(mode), len(MODES))
    for trial in accepted.values():
        symbols.accept(trial)
    return best


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
