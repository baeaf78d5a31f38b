"""What decoded features are used for: pictures and classes, each from five of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.fam import AnalysisInput, ClassFAM, surroundings
from spike_zoo.methods.sci.features.fem import REACH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spike_zoo.methods.sci.codec.bitstream import SCIDecoded
    from spike_zoo.methods.sci.codec.codec import SCICodec

Boundary = Literal["sequence", "gop"]
"""Whether an analysis looks across the borders of groups of pictures."""
IFrameMotion = Literal["zero", "decoder_me"]
"""Motion to an I-frame, which is not coded. It may be estimated from decoded features."""


class DecodedFeature(NamedTuple):
    """A decoded feature with the motion to the one before it.

    Shape:
        - feature: ``(1, 3, H, W)``.
        - motion: ``(1, 2, H, W)`` in pixels, refined.

    Attributes:
        number: Which feature of the recording.
        group: Which group of pictures it is of.
    """

    feature: Tensor
    motion: Tensor
    number: int
    group: int


def links(codec: SCICodec, groups: Iterable[SCIDecoded]) -> Iterator[DecodedFeature]:
    """Yield every decoded feature with its motion as an analysis takes it, on the codec's device.

    The motion of P-frames is refined (FMVR); that of I-frames is zero, or estimated here.
    """
    device = next(codec.parameters()).device
    before: DecodedFeature | None = None
    for decoded in groups:
        for index, feature, motion in zip(
            decoded.feature_index, decoded.features, decoded.motion, strict=True
        ):
            here, moved = feature[None].to(device), motion[None].to(device)
            follows = before is not None and before.number == index - 1
            if index % decoded.header.gop:
                moved = moved if codec.fmvr is None else codec.fmvr(moved, here)
            elif codec.iframe_motion == "decoder_me" and before is not None and follows:
                moved = codec.moved(here, before.feature)
            before = DecodedFeature(here, moved, index, index // decoded.header.gop)
            yield before


@torch.inference_mode()
def analyses(codec: SCICodec, groups: Iterable[SCIDecoded]) -> Iterator[tuple[int, AnalysisInput]]:
    """Yield the number of every decoded feature and what an analysis takes: those around it.

    At most five features are held. Where one is missing, at an end or because its group was
    damaged, the nearest is used.
    """
    run: list[DecodedFeature] = []
    target = 0
    for link in links(codec, groups):
        crosses = codec.boundary == "gop" and bool(run) and link.group != run[-1].group
        if run and (crosses or link.number != run[-1].number + 1):
            yield from (_around(run, place) for place in range(target, len(run)))
            run, target = [], 0
        run.append(link)
        if target + REACH < len(run):
            yield _around(run, target)
            target += 1
        if target > REACH:
            run, target = run[1:], target - 1
    yield from (_around(run, place) for place in range(target, len(run)))


def _around(run: list[DecodedFeature], target: int) -> tuple[int, AnalysisInput]:
    features = torch.stack([link.feature for link in run], dim=1)
    motions = torch.stack([link.motion for link in run], dim=1)
    return run[target].number, surroundings(features, motions, target)


@torch.inference_mode()
def pictures(codec: SCICodec, groups: Iterable[SCIDecoded]) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of every decoded feature and its image, ``(1, H, W)`` in [0, 1].

    Raises:
        ConfigError: If these weights predict classes.
    """
    if isinstance(codec.fam, ClassFAM):
        raise ConfigError("these weights predict classes, not images; use those of sci")
    if codec.fam is None:
        for decoded in groups:
            images = codec.picture(decoded.features).clamp(0.0, 1.0)
            yield from zip(decoded.feature_index, images, strict=True)
        return
    for number, analysis in analyses(codec, groups):
        yield number, codec.fam(*analysis)[0].float().clamp(0.0, 1.0).cpu()


@torch.inference_mode()
def class_probabilities(codec: SCICodec, decoded: SCIDecoded) -> Tensor:
    """Return the probability of every class, ``(classes,)``: logits are means over features.

    Only features with all four neighbours are asked, where there are any.

    Raises:
        ConfigError: If these weights predict no classes, or nothing was decoded.
    """
    if not isinstance(codec.fam, ClassFAM):
        raise ConfigError("these weights predict no classes; use those of sci-digits-coded")
    every = list(analyses(codec, [decoded]))
    if not every:
        raise ConfigError("nothing was decoded, so there is nothing to classify")
    whole = every[REACH:-REACH] or every[len(every) // 2 : len(every) // 2 + 1]
    logits = torch.cat([codec.fam(*analysis) for _, analysis in whole]).float().mean(dim=0)
    return torch.softmax(logits, dim=0).cpu()
