"""Measure changes of the codec of `sci` that need no training, on the scenes of an archive.

    python -m experiments.codec_changes data/sequence.h5 --split val

prints rates (bits per pixel and plane, without headers), PSNR, and the BD-rate of each change
against the shipped weights, by speed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

import spike_zoo
from spike_zoo.archive import SpikeArchive
from spike_zoo.methods.sci.analysis.fam import FAM, gather_analysis_input
from spike_zoo.methods.sci.codec import frame_encoder, frames, inter
from spike_zoo.methods.sci.codec.frames import CodecNetworks, encode_frames, stack_frames
from spike_zoo.methods.sci.codec.networks import FeatureStream
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.codec.symbols import RateEstimator
from spike_zoo.metrics.image import psnr
from spike_zoo.metrics.rate import bd_rate
from spike_zoo.nn.warp import sampling_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from spike_zoo.methods.sci import SCICodec

NETWORK: Final = "experiments/sci/weights/sci_fam.safetensors"  # with the network of motion
SPEEDS: Final = ("slow", "medium", "fast", "")
Point = tuple[float, float]  # bits per pixel and plane, PSNR


class Change(NamedTuple):
    """A change of the codec."""

    analysis: str = "encoder"
    by_network: bool = False  # motion estimation by the network
    patch: Callable[[], AbstractContextManager[object]] = nullcontext  # of its code
    weight: float = 1.0  # factor of the weight of the error in the encoder's choices


def warp_bicubic(features: Tensor, motion: Tensor) -> Tensor:
    """Return warped features, by bicubic interpolation."""
    options: Any = {"mode": "bicubic", "padding_mode": "border", "align_corners": True}
    return F.grid_sample(features, sampling_grid(motion), **options)


def zero_affine(affine: Tensor, *_: Tensor) -> Tensor:
    """Return the parameters of no affine motion."""
    return torch.zeros_like(affine)


def unrefined(affine: Tensor, *_: Tensor) -> Tensor:
    """Return the affine motion that was fitted to the estimated motion."""
    return affine


def patching(owner: object, name: str, value: object) -> Callable[[], Any]:
    """Return a function that returns a context with another value of an attribute."""
    return lambda: patch.object(owner, name, value)


CHANGES: Final[Mapping[str, Change]] = {
    "as shipped": Change(),
    "no affine motion": Change(patch=patching(inter, "refine_affine", zero_affine)),
    "affine motion not refined": Change(patch=patching(inter, "refine_affine", unrefined)),
    "gaps of at most 3 frames": Change(patch=patching(frames, "MAX_LOOKAHEAD", 4)),
    "weight of the error x 0.7": Change(weight=0.7),
    "weight of the error x 1.5": Change(weight=1.5),
    "least gain of 28 bits instead of 56": Change(
        patch=patching(frame_encoder, "LEAST_GAIN", 28.0)
    ),
    "least gain of 112 bits": Change(patch=patching(frame_encoder, "LEAST_GAIN", 112.0)),
    "motion by the network": Change(by_network=True),
    "bicubic warp": Change(patch=patching(inter, "warp_features", warp_bicubic)),
    "analysis in the decoder": Change("decoder"),
}


@torch.inference_mode()
def coded(codec: SCICodec, change: Change, features: Tensor, quality: int) -> tuple[float, Tensor]:
    """Return the bits of features ``(N, 3, H, W)``, and the decoded images."""
    symbols, coding = RateEstimator(is_exact=True), cast("CodecNetworks", codec.codec_networks)
    with change.patch():
        weight = change.weight * codec.rd_weights[quality]
        options: Any = {"estimation": codec.motion, "weight": weight}
        encoded = list(encode_frames(coding, symbols, features[:, None], quality, **options))
    decoded, motion = stack_frames(coding, encoded)
    if change.analysis == "encoder":
        images = decoded[0].mean(dim=1, keepdim=True)
    else:
        inputs = (gather_analysis_input(decoded, motion, n) for n in range(len(features)))
        images = torch.cat([cast("FAM", codec.fam)(*one) for one in inputs]).clamp(0, 1)
    return float(symbols.bits), images


def points_of(
    codec: SCICodec, network: nn.Module, archive: Path, split: str
) -> dict[tuple[str, str], Any]:
    """Return the points of all qualities by change and scene."""
    points, dis = {}, codec.motion
    with SpikeArchive(archive) as opened:
        for name in opened.names(split):
            recording, index = opened[name], opened.image_index(name).tolist()
            truth = torch.from_numpy(opened.images(name))[:, None] / 255
            for label, change in CHANGES.items():
                codec.motion = cast("Any", network if change.by_network else dis)
                codec.analysis = cast("Any", change.analysis)
                stream = FeatureStream(codec, recording, recording.rate_scale or 1.0)
                features = torch.cat([stream.coded(plane) for plane in index])
                curve = []
                for quality in range(QUALITIES):
                    bits, images = coded(codec, change, features, quality)
                    value = float(psnr(images, truth).mean())
                    curve.append((bits / len(recording) / truth[0].numel(), value))
                points[label, name] = curve
            print(name, flush=True)
    return points


def mean_curve(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Return the means over scenes."""
    return [(bits, value) for bits, value in torch.tensor(curves).mean(0).tolist()]


def main() -> None:
    """Print the curves and BD-rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    codec, other = (
        cast("SCICodec", spike_zoo.load(name).codec).eval() for name in ("sci", NETWORK)
    )
    points = points_of(codec, cast("nn.Module", other.motion), arguments.archive, arguments.split)
    print("| change | speed | bits and PSNR (dB) at each quality | BD-rate |\n|---|---|---|---:|")
    for speed in SPEEDS:
        groups: dict[str, list[Any]] = defaultdict(list)
        for (label, name), curve in points.items():
            if speed in name:
                groups[label].append(curve)
        curves = {label: mean_curve(group) for label, group in groups.items()}
        for label, curve in curves.items():
            percent = bd_rate(next(iter(curves.values())), curve, "pchip").percent
            values = ", ".join(f"{bits:.4f} {value:.2f}" for bits, value in curve)
            print(f"| {label} | {speed or 'all'} | {values} | {percent:+.1f} % |")


if __name__ == "__main__":
    main()
