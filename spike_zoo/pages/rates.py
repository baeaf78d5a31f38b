"""Section of a report: rate-distortion curve of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from spike_zoo.checkpoints.loading import load, pick_device
from spike_zoo.coding.header import QUALITIES
from spike_zoo.errors import SpikeZooError
from spike_zoo.media.output import with_progress
from spike_zoo.metrics import psnr
from spike_zoo.pages.methods import method_label
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tables.curves import FilledCurve, Line, curve_chart
from spike_zoo.tables.spec import CurveSpec
from spike_zoo.tasks.protocols import codec_from

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.media import Page
    from spike_zoo.pages.choices import Choices
    from spike_zoo.pages.scene import ReportScene
    from spike_zoo.tasks.protocols import Compresses

_MAX_PLANES: Final = 97  # planes to compress


def add_rates(page: Page, scene: ReportScene, choices: Choices) -> None:
    """Compress a recording at every quality; add PSNR against bits per pixel and plane."""
    page.add_section(
        "Rate and distortion",
        f"The recording compressed by {method_label(choices.codec)} at {QUALITIES} qualities.",
    )
    try:
        loaded = load(choices.codec, device=pick_device(choices.device), trust=choices.trust)
        codec = codec_from(loaded, f"--codec {choices.codec}")
        points, compared = _measured(codec, scene, choices)
    except (SpikeZooError, ValueError) as error:
        page.add_warning(f"No bitstream can be made: {error}")
        return
    spec = CurveSpec("rate", "bits per pixel and plane", f"PSNR (dB), {compared}", "log")
    curve = FilledCurve(spec, (Line(method_label(choices.codec), points),))
    page.add_drawings(
        [(curve_chart(curve), f"Raw spikes have 1 bit per pixel and plane. PSNR {compared}.")]
    )


def _measured(
    codec: Compresses, scene: ReportScene, choices: Choices
) -> tuple[tuple[tuple[float, float], ...], str]:
    """Return (bits per pixel and plane, PSNR) of each quality, and the name of the reference.

    The reference is the ground truth at the planes of the pictures, or the pictures of the best
    quality if none exists.
    """
    part = _part(scene, choices)
    coded: list[tuple[float, Tensor]] = []
    planes: list[int] = []
    for quality in with_progress(
        range(QUALITIES), QUALITIES, f"{method_label(choices.codec)}: qualities"
    ):
        data = codec.compress(part, quality=quality)
        decoded = codec.decompress(data)
        indices = [int(index) for index in decoded.feature_index]
        planes = [decoded.header.plane(index) for index in indices]
        coded.append((decoded.header.bits_per_pixel(len(data)), codec.reconstruct(decoded).cpu()))
    with_truth = [at for at, plane in enumerate(planes) if plane in scene.truths]
    if with_truth and scene.has_truth:
        truths = torch.stack([torch.from_numpy(scene.truths[planes[at]]) for at in with_truth])
        points = [(rate, float(psnr(images[with_truth], truths).mean())) for rate, images in coded]
        return tuple(points), "to the truth"
    best = coded[-1][1]
    points = [(rate, float(psnr(images, best).mean())) for rate, images in coded[:-1]]
    return tuple(points), "to the pictures of the best quality"


def _part(scene: ReportScene, choices: Choices) -> SpikeRecording:
    """Return the first planes of a recording, at most 97."""
    recording = scene.recording
    stop = min(len(recording), _MAX_PLANES)
    scale = scene.rate_scale(choices).value
    packed = recording.read_packed(0, stop)
    return SpikeRecording(packed, recording.shape[2], fps=recording.fps, rate_scale=scale)
