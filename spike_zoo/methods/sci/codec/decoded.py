"""Reconstruction and classification from decoded features."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.fam import AnalysisInput, ClassFAM, gather_analysis_input
from spike_zoo.methods.sci.features.fem import NEIGHBOURS_PER_SIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spike_zoo.methods.sci.codec.bitstream import SCIDecoded
    from spike_zoo.methods.sci.codec.networks import SCINetworks


class DecodedFeature(NamedTuple):
    """A decoded feature with the motion to the previous feature.

    Shape:
        - feature: ``(1, 3, H, W)``.
        - motion: ``(1, 2, H, W)`` in pixels, refined.

    Attributes:
        number: Index of the feature in the recording.
        group: Index of its group of pictures.
    """

    feature: Tensor
    motion: Tensor
    number: int
    group: int


def decoded_features(codec: SCINetworks, groups: Iterable[SCIDecoded]) -> Iterator[DecodedFeature]:
    """Yield each decoded feature with its motion for the analysis, on the codec's device.

    FMVR refines the motion of P-frames. The motion of I-frames is zero, or estimated here if
    ``codec.iframe_motion`` is ``"decoder_me"``.
    """
    device = next(codec.parameters()).device
    previous: DecodedFeature | None = None
    for decoded in groups:
        for index, feature, motion in zip(
            decoded.feature_index, decoded.features, decoded.motion, strict=True
        ):
            current, backward = feature[None].to(device), motion[None].to(device)
            follows = previous is not None and previous.number == index - 1
            if index % decoded.header.gop:
                backward = backward if codec.fmvr is None else codec.fmvr(backward, current)
            elif codec.iframe_motion == "decoder_me" and previous is not None and follows:
                backward = codec.estimate_motion(current, previous.feature)
            previous = DecodedFeature(current, backward, index, index // decoded.header.gop)
            yield previous


@torch.inference_mode()
def analysis_inputs(
    codec: SCINetworks, groups: Iterable[SCIDecoded]
) -> Iterator[tuple[int, AnalysisInput]]:
    """Yield the index of each decoded feature and the input of its analysis.

    At most five features are held in memory. If a neighbour is missing, at an end or because its
    group is damaged, the nearest available feature is used.
    """
    run: list[DecodedFeature] = []  # consecutive features
    target = 0
    for decoded in decoded_features(codec, groups):
        crosses = codec.boundary == "gop" and bool(run) and decoded.group != run[-1].group
        if run and (crosses or decoded.number != run[-1].number + 1):
            yield from (_around(run, place) for place in range(target, len(run)))
            run, target = [], 0
        run.append(decoded)
        if target + NEIGHBOURS_PER_SIDE < len(run):
            yield _around(run, target)
            target += 1
        if target > NEIGHBOURS_PER_SIDE:
            run, target = run[1:], target - 1
    yield from (_around(run, place) for place in range(target, len(run)))


def _around(run: list[DecodedFeature], target: int) -> tuple[int, AnalysisInput]:
    features = torch.stack([decoded.feature for decoded in run], dim=1)
    motions = torch.stack([decoded.motion for decoded in run], dim=1)
    return run[target].number, gather_analysis_input(features, motions, target)


@torch.inference_mode()
def pictures(codec: SCINetworks, groups: Iterable[SCIDecoded]) -> Iterator[tuple[int, Tensor]]:
    """Yield the index and the image ``(1, H, W)`` in [0, 1] of each decoded feature."""
    if isinstance(codec.fam, ClassFAM):
        raise ConfigError("these weights predict classes, not images; use those of sci")
    if codec.fam is None:
        for decoded in groups:
            images = codec.picture(decoded.features).clamp(0.0, 1.0)
            yield from zip(decoded.feature_index, images, strict=True)
        return
    for number, analysis in analysis_inputs(codec, groups):
        yield number, codec.fam(*analysis)[0].float().clamp(0.0, 1.0).cpu()


@torch.inference_mode()
def class_probabilities(codec: SCINetworks, decoded: SCIDecoded) -> Tensor:
    """Return the probability of each class, ``(classes,)``, from the mean logits over features.

    Only features with all four neighbours are used, or the middle one if there are none.
    """
    if not isinstance(codec.fam, ClassFAM):
        raise ConfigError("these weights predict no classes; use those of sci-digits-coded")
    inputs = list(analysis_inputs(codec, [decoded]))
    if not inputs:
        raise ConfigError("nothing was decoded, so there is nothing to classify")
    middle = inputs[len(inputs) // 2 : len(inputs) // 2 + 1]
    complete = inputs[NEIGHBOURS_PER_SIDE:-NEIGHBOURS_PER_SIDE] or middle
    logits = torch.cat([codec.fam(*analysis) for _, analysis in complete]).float().mean(dim=0)
    return torch.softmax(logits, dim=0).cpu()
