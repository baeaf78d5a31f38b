"""Report of an ``.sci`` bitstream, and rate-distortion curve of a recording."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from spike_zoo.coding.container import BitstreamReader
from spike_zoo.coding.header import QUALITIES
from spike_zoo.errors import SpikeZooError
from spike_zoo.media.charts import COLOURS, new_chart, to_svg
from spike_zoo.media.output import with_progress
from spike_zoo.media.page import Page
from spike_zoo.media.viewer import Layer, Viewer
from spike_zoo.spikes.recording import SpikeRecording

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.methods.sci.codec.codec import SCICodec
    from spike_zoo.pages.choices import Choices
    from spike_zoo.pages.scene import ReportScene

_MAX_FRAMES: Final = 48  # decoded frames
_MAX_PLANES: Final = 97  # planes to compress


def bitstream_page(source: Path, title: str, choices: Choices) -> Page:
    """Return the report of a bitstream, which may be damaged."""
    reader = BitstreamReader(source, strict=False)
    header = reader.header
    page = Page(title, f"{source.name}: a bitstream of spikes")
    page.add_facts(
        [
            ("planes", header.planes),
            ("pixels", f"{header.width} x {header.height}"),
            ("quality", f"{header.quality} of 0 to {QUALITIES - 1}"),
            ("frames", f"{header.frames} in {header.groups} groups"),
            ("bytes", f"{reader.size:,}".replace(",", " ")),
            ("bits per pixel and plane", f"{header.bits_per_pixel(reader.size):.4g}"),
        ]
    )
    for error in reader.errors:
        page.add_warning(f"Left out: {error}")
    _add_bits(page, reader)
    _add_decoded(page, reader, choices)
    return page


def _add_bits(page: Page, reader: BitstreamReader) -> None:
    lengths = reader.payload_bytes()
    if not lengths:
        return
    header = reader.header
    bits = {k: 8 * length / header.group_length(k) for k, length in lengths.items()}
    page.add_section(
        "Bits per frame",
        "The frames of a group of pictures are coded into one stream of bits, so the mean per "
        "frame is shown. The first frame is an I-frame, the others are predicted from "
        "the frame before.",
    )
    raw = header.height * header.width * header.step
    mean = 8 * sum(lengths.values()) / sum(header.group_length(k) for k in lengths)
    caption = f"{mean:.0f} bits per frame on average; {header.step} raw planes have {raw}."
    page.add_drawings([(_bars(bits, reader), caption)])


def _bars(bits: dict[int, float], reader: BitstreamReader) -> Markup:
    """Draw the mean bits of each group's frames over the planes of the group."""
    header = reader.header
    figure, axes = new_chart()
    for group, value in bits.items():
        first = group * header.gop
        last = first + header.group_length(group) - 1
        begin = max(0.0, header.plane(first) - header.step / 2)
        end = min(header.planes, header.plane(last) + header.step / 2)
        axes.bar(begin, value, 0.96 * (end - begin), align="edge", color=COLOURS[0])
    axes.set(xlabel="plane", ylabel="bits per frame", xlim=(0, header.planes))
    return to_svg(figure, "bits per frame over the planes")


def _add_decoded(page: Page, reader: BitstreamReader, choices: Choices) -> None:
    """Add decoded images and motion, or a warning with the reason if they cannot be decoded."""
    from spike_zoo.pages.methods import method_label

    page.add_section("Images", f"Decoded by {method_label(choices.coding_method)}.")
    try:
        _add_viewers(page, reader, _load_codec(choices))
    except (SpikeZooError, ValueError) as error:
        page.add_warning(f"The images cannot be made: {error}")


def _add_viewers(page: Page, reader: BitstreamReader, codec: SCICodec) -> None:
    import torch

    from spike_zoo.pages.flow import add_flow_viewer

    header = reader.header
    count = min(max(1, _MAX_FRAMES // header.gop), header.groups)
    stream = islice(codec.decompress_stream(reader), count)
    groups = list(with_progress(stream, count, "decoding"))
    images = dict(codec.reconstruct_stream(iter(groups)))
    if not images:
        raise reader.errors[0]
    frames = sorted(images)
    if len(frames) < header.frames:
        page.add_text(f"The first {len(frames)} of {header.frames} frames.")
    moments = tuple(f"plane {header.plane(index)}" for index in frames)
    stack = torch.stack([images[index] for index in frames]).cpu()
    numbers = [int(index) for group in groups for index in group.feature_index]
    rows = [numbers.index(index) for index in frames]
    features = torch.cat([torch.as_tensor(group.features) for group in groups])[rows]
    page.add_viewer(_viewer(stack, features.cpu(), moments))
    page.add_section(
        "Optical flow",
        f"The decoded optical flow of each frame to the frame {header.step} planes before. The "
        "first frame of a group has none.",
    )
    flow = torch.cat([torch.as_tensor(group.motion) for group in groups])[rows]
    add_flow_viewer(page, "decoded flow", moments, stack, {"flow": flow.float().cpu()})


def _viewer(images: Tensor, features: Tensor, moments: tuple[str, ...]) -> Viewer:
    """Return a viewer of images ``(N, 1, H, W)``, and of features with 3 channels."""
    layers = [Layer.of("image", list(images))]
    if features.shape[1] == 3:
        layers.append(Layer.of("features", list(features.clamp(0, 1))))
    return Viewer(
        label="decoded images",
        layers=tuple(layers),
        moments=moments,
        size=(images.shape[-1], images.shape[-2]),
        sides=(len(layers) - 1, 0),
        caption="The image, and the decoded features with three channels as red, green and blue.",
        has_differences=False,
    )


def _load_codec(choices: Choices) -> SCICodec:
    from spike_zoo.checkpoints.loading import load, pick_device
    from spike_zoo.tasks.protocols import codec_from

    loaded = load(choices.coding_method, device=pick_device(choices.device), trust=choices.trust)
    return codec_from(loaded, f"--coding-method {choices.coding_method}")


def add_rates(page: Page, scene: ReportScene, choices: Choices) -> None:
    """Compress a recording at every quality; add PSNR against bits per pixel and plane."""
    from spike_zoo.pages.methods import method_label
    from spike_zoo.tables.curves import FilledCurve, Line, curve_chart
    from spike_zoo.tables.spec import CurveSpec

    name = method_label(choices.coding_method)
    page.add_section(
        "Rate and distortion", f"The recording compressed by {name} at {QUALITIES} qualities."
    )
    try:
        points, compared = _measured(_load_codec(choices), scene, choices)
    except (SpikeZooError, ValueError) as error:
        page.add_warning(f"No bitstream can be made: {error}")
        return
    spec = CurveSpec("rate", "bits per pixel and plane", f"PSNR (dB), {compared}", "log")
    curve = FilledCurve(spec, (Line(name, points),))
    page.add_drawings(
        [(curve_chart(curve), f"Raw spikes have 1 bit per pixel and plane. PSNR {compared}.")]
    )


def _measured(
    codec: SCICodec, scene: ReportScene, choices: Choices
) -> tuple[tuple[tuple[float, float], ...], str]:
    """Return (bits per pixel and plane, PSNR) of each quality, and the name of the reference.

    The reference is the ground truth at the planes of the images, or the images of the best
    quality if none exists.
    """
    import torch

    from spike_zoo.metrics.image import psnr

    part = _part(scene, choices)
    coded: list[tuple[float, Tensor]] = []
    planes: list[int] = []
    for quality in with_progress(
        range(QUALITIES), QUALITIES, f"{choices.coding_method}: qualities"
    ):
        data = codec.compress(part, quality=quality)
        decoded = codec.decompress(data)
        indices = [int(index) for index in decoded.feature_index]
        planes = [scene.planes.start + decoded.header.plane(index) for index in indices]
        coded.append((decoded.header.bits_per_pixel(len(data)), codec.reconstruct(decoded).cpu()))
    with_truth = [at for at, plane in enumerate(planes) if plane in scene.truths]
    if with_truth and scene.has_truth:
        truths = torch.stack([torch.from_numpy(scene.truths[planes[at]]) for at in with_truth])
        points = [(rate, float(psnr(images[with_truth], truths).mean())) for rate, images in coded]
        return tuple(points), "to the truth"
    best = coded[-1][1]
    points = [(rate, float(psnr(images, best).mean())) for rate, images in coded[:-1]]
    return tuple(points), "to the images of the best quality"


def _part(scene: ReportScene, choices: Choices) -> SpikeRecording:
    """Return the first planes to show of a recording, at most 97."""
    recording, first = scene.recording, scene.planes.start
    stop = min(scene.planes.stop, first + _MAX_PLANES)
    scale = scene.rate_scale.value
    packed = recording.read_packed(first, stop)
    return SpikeRecording(packed, recording.shape[2], fps=recording.fps, rate_scale=scale)
