"""Command ``compress``: a recording as a bitstream or a coded video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from spike_zoo.archive.validate import check_data
from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.batch import for_each_recording
from spike_zoo.cli.console import echo, quiet, report_clipping, warn_of_filters
from spike_zoo.cli.inputs import (
    SharedWork,
    chosen_rate_scale,
    load_method,
    recording_source,
    report_lacking,
)
from spike_zoo.cli.options import DatOptions, Gop, NonNegativeInt, PositiveInt, Quality
from spike_zoo.coding.container import BitstreamWriter
from spike_zoo.coding.header import Header
from spike_zoo.coding.spl import codec as lossless_coding
from spike_zoo.errors import UsageError
from spike_zoo.formats.hdf5_recording import SPIKES, is_archive
from spike_zoo.formats.recording import RecordingSource, detect_format
from spike_zoo.formats.remote import local_path
from spike_zoo.media.clipping import ClippedPixels
from spike_zoo.media.output import progress_bar, with_progress
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import centers_inside, check_span
from spike_zoo.tasks.protocols import Reconstructs, codec_from, margin_of, require_ability
from spike_zoo.utils.files import check_absent

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spike_zoo.media.coded_images import CodedImages

LOSSLESS = ".spl"
FPS = 25.0
_MAX_CRF = {"x265": 51, "av1": 63}


@for_each_recording
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
    target = Path(out)
    coder = _CODERS.get(target.suffix.lower())
    if coder is None:
        raise UsageError(
            f"--out {out}: give X.sci for features of a method, X.spl for every spike, or X.mp4 "
            "for images"
        )
    if lossless and coder is not _code_lossless:
        raise UsageError(f"--out {out}: a lossless bitstream is named X{LOSSLESS}")
    given = {
        **{"codec": codec, "method": method, "quality": quality, "gop": gop, "effort": effort},
        **{"crf": crf, "stride": stride, "device": None if device == "auto" else device},
        **{"trust": trust or None, "camera": dat.get("camera")},
    }
    options = {option: value for option, value in given.items() if value is not None}
    for option in options.keys() - signature(coder).parameters.keys():
        raise UsageError(f"--{option} {options[option]}: does not apply to X{target.suffix}")
    source = recording_source(recording, name, dat, rate_scale)
    check_absent(target, overwrite=overwrite)
    echo(coder(_Compression(source, jobs, cluster, target, overwrite, start, stop), **options))


@dataclass(frozen=True)
class _Compression(SharedWork):
    """A recording to compress, its output, and options of all coders."""

    target: Path
    overwrite: bool
    start: int | None
    stop: int | None

    @property
    def part(self) -> RecordingSource:
        """The planes from start to stop as a recording of their own."""
        return replace(self.source, start=self.start or 0, stop=self.stop)

    @property
    def origin(self) -> str:
        """Text that states the first plane of a part of a recording."""
        return f" from plane {self.start} (plane 0 of the bitstream)" if self.start else ""


def _code_lossless(work: _Compression) -> str:
    """Write a lossless bitstream; return a line with its path and bit rate."""
    target, path = work.target, local_path(work.source.path)
    recording = work.part.open(check_rows=True)
    if detect_format(path) == "hdf5" and is_archive(path):
        check_data(path, recording.meta["name"], (SPIKES,))
    segments = range(lossless_coding.segments(recording))
    chunks = work.share(partial(_segments, work.part.unchanged(recording)), segments, 1)
    with progress_bar("compressing") as progress:
        options: dict[str, Any] = {"overwrite": work.overwrite, "progress": progress}
        lossless_coding.write(recording, target, chunks=chunks, **options)
    planes, height, width = recording.shape
    size = target.stat().st_size
    cost = _cost(size, 8 * size / (planes * height * width))
    return f"bitstream: {target} ({planes} planes{work.origin}, {cost})"


def _segments(source: RecordingSource, numbers: Sequence[int]) -> list[bytes]:
    with quiet():
        recording = source.open()
        return [chunk for number in numbers for chunk in lossless_coding.segment(recording, number)]


def _opened(
    source: RecordingSource, method: str, device: str, *, trust: bool
) -> tuple[SpikeRecording, partial[nn.Module]]:
    """Open the recording; return it and the function that loads the method."""
    check_method(method)
    recording = source.open(check_rows=True)
    warn_of_filters(recording, method)
    return recording, partial(load_method, method, device, trust=trust)


def _code_features(
    work: _Compression,
    *,
    method: str = "sci",
    quality: int = 2,
    gop: int = 32,
    effort: int = 0,
    device: str = "auto",
    trust: bool = False,
) -> str:
    """Write the bitstream of a method; return a line with its path and size."""
    recording, prepare = _opened(work.part, method, device, trust=trust)
    module = prepare()
    scale = chosen_rate_scale(work.source.open(), module)  # of all planes, as in reconstruct
    coder = codec_from(module, f"--method {method}")
    header = coder.header(recording, quality=quality, gop=gop, rate_scale=scale)
    payloads = coder.compress_stream(recording, header, effort=effort)
    if work.is_shared:
        make = partial(_groups, prepare, work.part.unchanged(recording), header, effort)
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
    *,
    method: str = "tfi-aligned",
    codec: str = "av1",
    crf: int | None = None,
    stride: int = 7,
    camera: str | None = None,  # of the recording, which the source reads
    device: str = "auto",
    trust: bool = False,
) -> str:
    """Write the images of a method as a video; return a line with its path and bit rate."""
    if crf is not None and crf > (largest := _MAX_CRF[codec]):
        raise UsageError(f"--crf {crf}: must be 0 to {largest} for {codec}")
    recording, prepare = _opened(work.source, method, device, trust=trust)
    loaded = prepare()
    module = require_ability(loaded, Reconstructs, f"--method {method}")
    if getattr(module, "channels", 1) != 1:  # the video would contain only luminance
        raise UsageError(
            f"--method {method}: X.mp4 of compress codes grey images; for a video in colour run "
            f"reconstruct --method {method} --out X.mp4"
        )
    span = work.start, work.stop
    check_span(work.source.label, len(recording), *span)
    centers = centers_inside(len(recording), stride, margin := margin_of(module), *span)
    if span != (None, None) or 2 * margin >= len(recording):
        report_lacking(centers, len(recording), margin)
    scale = chosen_rate_scale(recording, module)
    from spike_zoo.checkpoints.weight_files import state_digest
    from spike_zoo.media.coded_images import CodedImages
    from spike_zoo.media.video import VIDEO_CODECS

    count = (len(recording) if span[1] is None else span[1]) - (span[0] or 0)
    weights = loaded.state_dict()
    description = CodedImages(
        method,
        state_digest(weights)[:24] if weights else "",
        codec,
        VIDEO_CODECS[codec].crf if crf is None else crf,
        *(centers[0], stride, len(centers), count),
        *recording.shape[1:],
        scale,
        recording.fps or None,
    )
    images = work.images(prepare, recording, centers, scale, module)
    return _write_video(work, description, images)


def _write_video(work: _Compression, description: CodedImages, images: Iterable[Tensor]) -> str:
    """Write images as a video; return a line with its path and bit rate."""
    from spike_zoo.media.video import VideoWriter

    clipped = ClippedPixels(description.rate_scale)
    options: dict[str, Any] = {"codec": description.codec, "crf": description.crf}
    options |= {"comment": description.as_text(), "overwrite": work.overwrite}
    with VideoWriter(work.target, FPS, **options) as video:
        for image in with_progress(clipped.counted(images), description.images, "compressing"):
            video.write(image)
    report_clipping(clipped)
    size = work.target.stat().st_size
    cost = _cost(size, description.bits_per_pixel(size))
    count = f"{description.images} images of {description.planes} planes"
    return f"video: {work.target} (lossy, {count}, {cost})"


#: Suffix of the output -> its coder, whose parameters are the options that apply to it.
_CODERS: Final[Mapping[str, Callable[..., str]]] = {
    ".sci": _code_features,
    LOSSLESS: _code_lossless,
    ".mp4": _code_images,
}


def _cost(size: int, rate: float, *further: str) -> str:
    """Return size, bits per pixel and plane, and saving against raw bits as text."""
    saved = f"{1 - rate:.1%} saved" if rate <= 1 else f"{rate:.3g} x the raw bits"
    return ", ".join([f"{size} bytes: {rate:.4g} bits per pixel and plane", *further, saved])
