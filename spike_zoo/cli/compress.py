"""Command ``compress``: a recording as a bitstream or a coded video."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from spike_zoo.archive.validate import check_data
from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.batch import run_batch
from spike_zoo.cli.console import echo, quiet, report_clipping, warn_of_filters
from spike_zoo.cli.inputs import (
    RecordingSource,
    SharedWork,
    check_span,
    chosen_rate_scale,
    load_method,
    report_lacking,
)
from spike_zoo.cli.options import DatOptions, Gop, NonNegativeInt, PositiveInt, Quality
from spike_zoo.coding.container import BitstreamWriter
from spike_zoo.coding.spl import codec as lossless_coding
from spike_zoo.errors import UsageError
from spike_zoo.formats.hdf5_recording import SPIKES, is_archive
from spike_zoo.formats.recording import detect_format
from spike_zoo.formats.remote import local_path
from spike_zoo.media.clipping import ClippedPixels
from spike_zoo.media.output import progress_bar, with_progress
from spike_zoo.spikes.rate_scale import stated_rate_scale
from spike_zoo.spikes.windows import centers_inside
from spike_zoo.tasks.protocols import Reconstructs, codec_from, margin_of, require_ability
from spike_zoo.utils.files import check_absent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from spike_zoo.coding.header import Header
    from spike_zoo.media.coded_pictures import CodedPictures
    from spike_zoo.spikes.recording import SpikeRecording

FEATURES, LOSSLESS, VIDEO = ".sci", ".spl", ".mp4"
QUALITY, GOP = 2, 32
CODEC, STRIDE, FPS = "av1", 7, 25.0
_METHODS = {FEATURES: "sci", VIDEO: "tfi-aligned"}
#: Suffix of the output -> options that do not apply to it.
_UNUSED = {
    FEATURES: ("codec", "crf", "stride", "camera"),
    LOSSLESS: (
        *("codec", "method", "quality", "gop", "effort", "crf", "stride"),
        *("device", "trust", "camera"),
    ),
    VIDEO: ("quality", "gop", "effort"),
}
_MAX_CRF = {"x265": 51, "av1": 63}


def compress(
    recording: str,
    *,
    out: str,
    lossless: bool = False,
    codec: Literal["x265", "av1"] | None = None,
    method: str | None = None,
    quality: Quality | None = None,
    gop: Gop | None = None,
    effort: Quality | None = None,
    crf: NonNegativeInt | None = None,
    stride: PositiveInt | None = None,
    start: NonNegativeInt | None = None,
    stop: int | None = None,
    rate_scale: float | str = "auto",
    name: str | None = None,
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
    jobs: NonNegativeInt = 0,
    cluster: str | None = None,
    **dat: Unpack[DatOptions],
) -> None:
    """Compress a recording. The suffix of the output selects the coder.

    X.sci is a bitstream of a method and is decoded with the same weights. X.spl needs no weights
    and restores every spike. X.mp4 is a video of the images that a method reconstructs; the spikes
    cannot be recovered from it. A folder, a pattern, or an archive with a pattern of names
    compresses several recordings, each to its own file; results of the same input and options are
    kept.

    Args:
        out: X.sci, X.spl or X.mp4. For several recordings a path with {name}, such as
            results/{name}.sci.
        lossless: Accept only X.spl as the output.
        codec: Video codec of X.mp4. Default: av1.
        method: A shipped name, a checkpoint or an export folder. For X.sci a method that
            compresses; default: sci. For X.mp4 a method that reconstructs; default: tfi-aligned.
        quality: Quality of X.sci, 0 (fewest bits) to 3. Default: 2.
        gop: Frames per group of pictures of X.sci. Each group can be decoded without the others;
            longer groups need fewer bits. Default: 32.
        effort: Refinement of the first frame of each group of X.sci, 0 (fastest) to 3 (fewest bits
            at equal quality). Default: 0.
        crf: Constant rate factor of X.mp4; lower values give better images and larger files.
            Default: 28 for x265, 35 for av1.
        stride: Planes from one image of X.mp4 to the next. Default: 7.
        start: First plane to compress, or of the first image of X.mp4. It is plane 0 of X.sci and
            X.spl; images of X.mp4 keep the planes of the recording. Default: 0; for X.mp4 the first
            plane around which the recording has all planes that the method uses.
        stop: Plane after the last one. Default: the end; for X.mp4 as for start.
        rate_scale: Spikes per plane at white; auto uses the value that the recording states, else
            an estimate from the brightest pixels, which is printed. For X.spl auto keeps the
            recording's value.
        name: Name of the recording in an archive; a pattern such as 'test-*' or '*' selects
            several.
        jobs: Number of processes for several recordings; 0: one per core. For one recording, 2 or
            more processes share its planes.
    """
    given = locals()  # first, while they are only the arguments
    if run_batch(compress, given):
        return
    target = Path(out)
    suffix = _checked_suffix(target, lossless=lossless)
    for option in _UNUSED[suffix]:
        if (value := (given | given["dat"]).get(option)) not in (None, "auto", False):
            raise UsageError(f"--{option} {value}: does not apply to X{suffix}")
    if crf is not None and crf > (largest := _MAX_CRF[codec or CODEC]):
        raise UsageError(f"--crf {crf}: must be 0 to {largest} for {codec or CODEC}")
    stated_rate_scale(rate_scale)
    check_absent(target, overwrite=overwrite)
    span = (0, None) if suffix == VIDEO else (start or 0, stop)
    source = RecordingSource(recording, name, dat, *span)
    work = _Compression(source, jobs, cluster, target, overwrite, rate_scale)
    if suffix == LOSSLESS:
        echo(_code_lossless(work))
        return
    prepare = partial(load_method, method or _METHODS[suffix], device, trust=trust)
    if suffix == VIDEO:
        echo(_code_images(work, prepare, (codec or CODEC, crf), stride or STRIDE, (start, stop)))
    else:
        options = {"quality": QUALITY if quality is None else quality, "gop": gop or GOP}
        echo(_code_features(work, prepare, options, effort or 0))


@dataclass(frozen=True)
class _Compression(SharedWork):
    """A recording to compress, its output, and its rate scale as an option."""

    target: Path
    overwrite: bool
    rate_scale: float | str

    @property
    def origin(self) -> str:
        """Text that states the first plane of a part of a recording."""
        start = self.source.start
        return f" from plane {start} (plane 0 of the bitstream)" if start else ""

    def open(self, prepare: partial[nn.Module]) -> tuple[SpikeRecording, nn.Module]:
        """Open the recording, and load the method."""
        method = prepare.args[0]
        check_method(method)
        recording = self.source.open(check_rows=True)
        warn_of_filters(recording, method)
        return recording, prepare()


def _checked_suffix(target: Path, *, lossless: bool) -> str:
    suffix = target.suffix.lower()
    if lossless and suffix != LOSSLESS:
        raise UsageError(f"--out {target}: a lossless bitstream is named X{LOSSLESS}")
    if suffix not in _UNUSED:
        raise UsageError(
            f"--out {target}: give X{FEATURES} for features of a method, X{LOSSLESS} for every "
            f"spike, or X{VIDEO} for images"
        )
    return suffix


def _code_lossless(work: _Compression) -> str:
    """Write a lossless bitstream; return a line with its path and bit rate."""
    stated, target = stated_rate_scale(work.rate_scale), work.target
    recording = work.source.open(rate_scale=stated, check_rows=True)
    path = local_path(work.source.recording)
    if detect_format(path) == "hdf5" and is_archive(path):
        check_data(path, recording.meta["name"], (SPIKES,))
    segments = range(lossless_coding.segments(recording))
    source = work.source.unchanged(recording)
    chunks = work.share(partial(_segments, source), segments, 1)
    with progress_bar("compressing") as progress:
        options: dict[str, Any] = {"overwrite": work.overwrite, "progress": progress}
        lossless_coding.write(recording, target, chunks=chunks, **options)
    planes, height, width = recording.shape
    size = target.stat().st_size
    cost = _cost(size, 8 * size / (planes * height * width))
    return f"bitstream: {target} ({planes} planes{work.origin}, {cost})"


def _segments(source: RecordingSource, numbers: Sequence[int]) -> list[bytes]:
    """Return the chunks of some segments of a lossless bitstream."""
    with quiet():
        recording = source.open()
        return [chunk for number in numbers for chunk in lossless_coding.segment(recording, number)]


def _code_features(
    work: _Compression, prepare: partial[nn.Module], options: dict[str, Any], effort: int
) -> str:
    """Write the bitstream of a method; return a line with its path and size."""
    recording, module = work.open(prepare)
    scale = chosen_rate_scale(recording, module, work.rate_scale)
    options |= {"rate_scale": scale}
    coder = codec_from(module, f"--method {prepare.args[0]}")
    header = coder.header(recording, **options)
    payloads = coder.compress_stream(recording, header, effort=effort)
    if work.is_shared:
        source = work.source.unchanged(recording)
        make = partial(_groups, prepare, source, header, effort)
        payloads = work.share(make, range(header.groups), 1)
    with BitstreamWriter(work.target, header, overwrite=work.overwrite) as writer:
        for payload in with_progress(payloads, header.groups, "compressing"):
            writer.append(payload)
    size = writer.size
    per_frame = f"{8 * size / header.frames:.0f} bits per frame"
    cost = _cost(size, header.bits_per_pixel(size), per_frame)
    planes = f"{header.planes} planes{work.origin}"
    return f"bitstream: {work.target} (lossy, {header.frames} frames of {planes}, {cost})"


def _groups(
    prepare: Callable[[], nn.Module],
    source: RecordingSource,
    header: Header,
    effort: int,
    numbers: Sequence[int],
) -> list[bytes]:
    """Return the payloads of consecutive groups of pictures."""
    with quiet():
        recording, coder = source.open(), codec_from(prepare(), "")
        groups = range(numbers[0], numbers[-1] + 1)
        return list(coder.compress_stream(recording, header, effort=effort, groups=groups))


def _code_images(
    work: _Compression,
    prepare: partial[nn.Module],
    coder: tuple[str, int | None],
    stride: int,
    span: tuple[int | None, int | None],
) -> str:
    """Write the images of a method as a video; return a line with its path and bit rate."""
    recording, loaded = work.open(prepare)
    method = prepare.args[0]
    module = require_ability(loaded, Reconstructs, f"--method {method}")
    if getattr(module, "channels", 1) != 1:  # the video would contain only luminance
        raise UsageError(
            f"--method {method}: X{VIDEO} of compress codes grey images; for a video in colour run "
            f"reconstruct --method {method} --out X{VIDEO}"
        )
    check_span(len(recording), *span)
    centers = centers_inside(len(recording), stride, margin := margin_of(module), *span)
    if span != (None, None) or 2 * margin >= len(recording):
        report_lacking(centers, len(recording), margin)
    scale = chosen_rate_scale(recording, module, work.rate_scale)
    clipped = ClippedPixels(scale)
    images = clipped.counted(work.images(prepare, recording, centers, scale, module))
    from spike_zoo.media.video import VideoWriter

    count = (len(recording) if span[1] is None else span[1]) - (span[0] or 0)
    planes = centers[0], stride, len(centers), count
    metadata = _metadata(loaded, method, recording, coder, planes, scale)
    options: dict[str, Any] = {"codec": metadata.codec, "crf": metadata.crf}
    options |= {"comment": metadata.as_text(), "overwrite": work.overwrite}
    with VideoWriter(work.target, FPS, **options) as video:
        for image in with_progress(images, metadata.images, "compressing"):
            video.write(image)
    report_clipping(clipped)
    size = work.target.stat().st_size
    cost = _cost(size, metadata.bits_per_pixel(size))
    return f"video: {work.target} (lossy, {len(centers)} images of {count} planes, {cost})"


def _metadata(
    module: nn.Module,
    method: str,
    recording: SpikeRecording,
    coder: tuple[str, int | None],
    images: tuple[int, int, int, int],
    rate_scale: float,
) -> CodedPictures:
    """Return the metadata of a video.

    ``coder`` is codec and crf; ``images`` are the first plane, the stride, the number of images,
    and that of planes.
    """
    from spike_zoo.checkpoints.weight_files import state_digest
    from spike_zoo.media.coded_pictures import CodedPictures
    from spike_zoo.media.video import VIDEO_CODECS

    codec, crf = coder
    weights = module.state_dict()
    digest = state_digest(weights)[:24] if weights else ""
    crf = VIDEO_CODECS[codec].crf if crf is None else crf
    fps = recording.fps or None
    size = recording.shape[1:]
    return CodedPictures(method, digest, codec, crf, *images, *size, rate_scale, fps)


def _cost(size: int, rate: float, *further: str) -> str:
    """Return size, bits per pixel and plane, and saving against raw bits as text."""
    saved = f"{1 - rate:.1%} saved" if rate <= 1 else f"{rate:.3g} x the raw bits"
    return ", ".join([f"{size} bytes: {rate:.4g} bits per pixel and plane", *further, saved])
