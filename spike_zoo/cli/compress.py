"""Command ``compress``: a recording as a bitstream or a coded video."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.batch import Item, RecordingSource, images_of, in_blocks, run_batch
from spike_zoo.cli.console import (
    check_no_method,
    echo,
    quiet,
    report_clipping,
    report_rate_scale,
    warn_of_filters,
)
from spike_zoo.coding import BitstreamWriter
from spike_zoo.coding.header import QUALITIES
from spike_zoo.coding.spl import codec as lossless_coding
from spike_zoo.coding.spl.header import SUFFIX as LOSSLESS_SUFFIX
from spike_zoo.errors import UsageError
from spike_zoo.files import check_absent
from spike_zoo.media.clipping import ClippedPixels, unclipped_rate_scale
from spike_zoo.media.output import progress_bar, with_progress
from spike_zoo.spikes.rate_scale import RateScale, rate_scale_of, stated_rate_scale
from spike_zoo.spikes.windows import centers_with_stride
from spike_zoo.tasks.protocols import Reconstructs, codec_from, require_ability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Unpack

    from torch import Tensor, nn

    from spike_zoo.cli.lazy_signature import DatOptions
    from spike_zoo.media.coded_pictures import CodedPictures
    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.tasks.protocols import Compresses

SUFFIX = ".sci"
METHOD, QUALITY, GOP = "sci", 2, 32
_LARGEST_CRF = {"x265": 51, "av1": 63}
PICTURE_METHOD, STRIDE, FPS = "tfi-aligned", 7, 25.0
_MEASURED = 9  # images of a video from which its rate scale is estimated


def compress(
    recording: str,
    *,
    out: str,
    lossless: bool = False,
    codec: Literal["sci", "spl", "x265", "av1"] | None = None,
    method: str | None = None,
    quality: int | None = None,
    gop: int | None = None,
    crf: int | None = None,
    stride: int | None = None,
    start: int = 0,
    stop: int | None = None,
    rate_scale: float | str = "auto",
    name: str | None = None,
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
    jobs: int = 0,
    cluster: str | None = None,
    **dat: Unpack[DatOptions],
) -> None:
    """Compress a recording to a bitstream, or to a video of reconstructed images.

    A bitstream of a method is decoded with the same weights. A lossless bitstream (--lossless)
    needs no weights and restores every spike. A video codec (x265 or av1) codes the images that a
    method reconstructs as an MP4 file; the spikes cannot be recovered from it. A folder, a pattern,
    or an archive with a pattern of names compresses several recordings, each to its own file;
    results of the same input and options are kept.

    Args:
        recording: A recording (.dat, .npz, .npy, .h5 or .spl), a folder of recordings, or a pattern
            such as 'clips/*.dat'.
        out: X.sci; with --lossless X.spl; with a video codec X.mp4. For several recordings a path
            with {name}, such as results/{name}.sci.
        lossless: Keep every spike. The options method, quality, gop, device and trust do not apply.
        codec: sci (default): features of a method; spl: same as --lossless; x265 and av1: video
            codecs for reconstructed images.
        method: A method that compresses: a shipped name, a checkpoint or an export folder. Default:
            sci. With a video codec, a method that reconstructs; default: tfi-aligned.
        quality: 0 (fewest bits) to 3. Default: 2. Not with a video codec.
        gop: Frames per group of pictures. Each group can be decoded without the others; longer
            groups need fewer bits. Default: 32. Not with a video codec.
        crf: Constant rate factor of a video codec; lower values give better images and larger
            files. Default: 28 for x265, 35 for av1.
        stride: Planes from one image to the next, for a video codec. Default: 7.
        start: First plane to compress. It is plane 0 of X.sci and X.spl; images of X.mp4 keep the
            planes of the recording.
        stop: Plane after the last one to compress. Default: the end of the recording.
        rate_scale: Spikes per plane at white; auto uses the value that the recording states, else
            an estimate from the brightest pixels, which is printed. With a video codec the estimate
            clips at most 0.01 % of the pixels. With --lossless, auto keeps the recording's value
            without an estimate.
        name: Name of the recording in an archive; a pattern such as 'test-*' or '*' selects
            several.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names even if another package defines it.
        overwrite: Replace an existing file.
        jobs: Number of processes for several recordings; 0: one per core. For one recording, 2 or
            more processes share its planes.
        cluster: Run on a Dask cluster: tcp://HOST:PORT, its scheduler file, or slurm:FILE.yaml.
    """
    if run_batch(compress, locals()):  # first, while locals() are only the arguments
        return
    if codec == "spl":
        lossless, codec = True, None
    elif codec == "sci" and not lossless:
        codec = None
    _check_numbers(quality=quality, gop=gop, crf=crf, stride=stride, codec=codec)
    stated = stated_rate_scale(rate_scale)
    target = _target(out, lossless=lossless, codec=codec, overwrite=overwrite)
    work = _Compression(
        RecordingSource(recording, name, dat, start, stop), target, overwrite, jobs, cluster
    )
    if lossless:
        reason = "--lossless keeps every spike and uses no method; leave one of the options out"
        of_method: dict[str, Any] = {"codec": codec, "method": method, "quality": quality}
        check_no_method(reason, device=device, trust=trust, gop=gop, **of_method)
        echo(_code_lossless(work, stated))
        return
    method = method or (METHOD if codec is None else PICTURE_METHOD)
    check_method(method)
    source = work.source.open(check_rows=True)
    warn_of_filters(source, method)
    prepare = partial(_loaded, method, device, trust=trust)
    module = prepare()
    if codec is not None:
        _check_grey(module, method, codec)
    scale = rate_scale_of(source, stated, own=getattr(module, "own_rate_scale", None))
    if codec is not None:
        stride = STRIDE if stride is None else stride
        scale = _unclipped(scale, module, method, source, stride)
        metadata = _metadata(module, method, source, start, scale.value, codec, crf, stride)
        images = _images(work, prepare, module, metadata)
        echo(_code_pictures(images, metadata, target, overwrite=overwrite))
        return
    report_rate_scale(scale)
    quality, gop = QUALITY if quality is None else quality, GOP if gop is None else gop
    options: dict[str, Any] = {"quality": quality, "gop": gop, "rate_scale": scale.value}
    echo(_code_features(work, prepare, codec_from(module, f"--method {method}"), options))


class _Compression(NamedTuple):
    """A recording to compress, its output and the processes to use."""

    source: RecordingSource
    target: Path
    overwrite: bool
    jobs: int
    cluster: str | None

    @property
    def origin(self) -> str:
        """Text that states the first plane of a part of a recording."""
        start = self.source.start
        return f" from plane {start} (plane 0 of the bitstream)" if start else ""

    @property
    def is_shared(self) -> bool:
        return self.jobs > 1 or self.cluster is not None

    def share(
        self,
        make: Callable[[Sequence[int]], Sequence[Item]],
        places: Sequence[int],
        size: int | None = None,
    ) -> Iterator[Item]:
        """Apply a function to blocks of places in parallel; yield its results in order."""
        return in_blocks(make, places, jobs=max(self.jobs, 1), cluster=self.cluster, size=size)


def _loaded(method: str, device: str, *, trust: bool) -> nn.Module:
    from spike_zoo.checkpoints.loading import load, pick_device  # loads torch: after cheap checks

    return load(method, device=pick_device(device), trust=trust)


def _segments(source: RecordingSource, numbers: Sequence[int]) -> list[bytes]:
    """Return the chunks of some segments of a lossless bitstream."""
    with quiet():
        recording = source.open()
        return [chunk for number in numbers for chunk in lossless_coding.segment(recording, number)]


def _groups(
    prepare: Callable[[], nn.Module],
    source: RecordingSource,
    options: dict[str, Any],
    numbers: Sequence[int],
) -> list[bytes]:
    """Return the payloads of consecutive groups of pictures."""
    with quiet():
        recording, coder = source.open(), codec_from(prepare(), "")
        header = coder.header(recording, **options)
        part = recording.between(*header.planes_of(numbers[0], numbers[-1] + 1))
        return list(coder.compress_stream(part, **options))


def _code_features(
    work: _Compression, prepare: Callable[[], nn.Module], coder: Compresses, options: dict[str, Any]
) -> str:
    """Write the bitstream of a recording; return a line with its path and size."""
    source, target, overwrite = work.source.open(), work.target, work.overwrite
    header = coder.header(source, **options)
    payloads = coder.compress_stream(source, **options)
    if work.is_shared:
        make = partial(_groups, prepare, work.source, options)
        payloads = work.share(make, range(header.groups), 1)
    with BitstreamWriter(target, header, overwrite=overwrite) as writer:
        for payload in with_progress(payloads, header.groups, "compressing"):
            writer.append(payload)
    size = writer.size
    per_frame = f"{8 * size / header.frames:.0f} bits per frame"
    cost = _cost(size, header.bits_per_pixel(size), per_frame)
    planes = f"{header.planes} planes{work.origin}"
    return f"bitstream: {target} (lossy, {header.frames} frames of {planes}, {cost})"


def _check_grey(module: nn.Module, method: str, codec: str) -> None:
    """Reject methods in colour: the video would contain only luminance."""
    if getattr(module, "channels", 1) != 1:
        raise UsageError(
            f"--method {method}: --codec {codec} codes grey images; for a video in colour run "
            f"reconstruct --method {method} --out X.mp4"
        )


def _metadata(
    module: nn.Module,
    method: str,
    source: SpikeRecording,
    start: int,
    rate_scale: float,
    codec: str,
    crf: int | None,
    stride: int,
) -> CodedPictures:
    """Return the metadata of the images of a recording, cut from its plane ``start``."""
    from spike_zoo.checkpoints.weight_files import state_digest
    from spike_zoo.media.coded_pictures import CodedPictures
    from spike_zoo.media.video import VIDEO_CODECS

    planes, height, width = source.shape
    return CodedPictures(
        method,
        state_digest(module.state_dict())[:24] if module.state_dict() else "",
        codec,
        VIDEO_CODECS[codec].crf if crf is None else crf,
        start,
        stride,
        len(centers_with_stride(planes, stride)),
        planes,
        height,
        width,
        rate_scale,
        source.fps or None,
    )


def _unclipped(
    scale: RateScale, module: nn.Module, method: str, source: SpikeRecording, stride: int
) -> RateScale:
    """Replace an estimated rate scale by one that clips at most 0.01 % of the pixels; print it."""
    if not scale.is_estimated:
        return scale
    centers = centers_with_stride(len(source), stride)
    measured = centers[:: -(-len(centers) // _MEASURED)]
    reconstructor = require_ability(module, Reconstructs, f"--method {method}")
    images = reconstructor.reconstruct_stream(source, measured, rate_scale=1.0)
    value = unclipped_rate_scale(images)
    echo(
        f"rate scale: {value:.3g} spikes per plane at white, estimated from {len(measured)} images "
        "so that at most 0.01 % of the pixels are clipped (the recording states none; --rate-scale "
        "sets it)",
        sys.stderr,
    )
    return RateScale(value)


def _images(
    work: _Compression,
    prepare: Callable[[], nn.Module],
    module: nn.Module,
    metadata: CodedPictures,
) -> Iterator[Tensor]:
    """Yield the images of a video."""
    reconstructor = require_ability(module, Reconstructs, f"--method {metadata.method}")
    centers = centers_with_stride(metadata.planes, metadata.stride)
    if work.is_shared:
        make = partial(images_of, prepare, work.source, metadata.rate_scale)
        return work.share(make, centers)
    source = work.source.open()
    return reconstructor.reconstruct_stream(source, centers, rate_scale=metadata.rate_scale)


def _code_pictures(
    images: Iterable[Tensor], metadata: CodedPictures, target: Path, *, overwrite: bool
) -> str:
    """Write images as a video; return a line with its path and bit rate."""
    from spike_zoo.media.video import VideoWriter

    with VideoWriter(
        target,
        FPS,
        overwrite=overwrite,
        codec=metadata.codec,
        crf=metadata.crf,
        comment=metadata.as_text(),
    ) as video:
        clipped = ClippedPixels(metadata.rate_scale)
        counted = clipped.counted(images)
        for image in with_progress(counted, metadata.images, "compressing"):
            video.write(image)
    report_clipping(clipped)
    size = target.stat().st_size
    cost = _cost(size, metadata.bits_per_pixel(size))
    return f"video: {target} (lossy, {metadata.images} images of {metadata.planes} planes, {cost})"


def _check_numbers(
    *,
    quality: int | None,
    gop: int | None,
    crf: int | None,
    stride: int | None,
    codec: str | None,
) -> None:
    for option, value in (("crf", crf), ("stride", stride)):
        if codec is None and value is not None:
            raise UsageError(f"--{option} {value}: only for --codec x265 or av1; add --codec")
    for option, value in (("quality", quality), ("gop", gop)):
        if codec is not None and value is not None:
            raise UsageError(f"--{option} {value}: not for --codec {codec}; use --crf and --stride")
    largest = _LARGEST_CRF.get(codec or "", 0)
    if crf is not None and not 0 <= crf <= largest:
        raise UsageError(f"--crf {crf}: must be 0 to {largest} for {codec}")
    if stride is not None and stride < 1:
        raise UsageError(f"--stride {stride}: must be at least 1 plane")
    if quality is not None and not 0 <= quality < QUALITIES:
        raise UsageError(f"--quality {quality}: must be 0 to {QUALITIES - 1}")
    if gop is not None and not 1 <= gop <= 0xFFFF:
        raise UsageError(f"--gop {gop}: a group of pictures has 1 to 65535 frames")


def _target(out: str, *, lossless: bool, codec: str | None, overwrite: bool) -> Path:
    """Return the path of the output; check its suffix and that it does not exist."""
    suffix = Path(out).suffix.lower()
    if codec is not None and not lossless:
        if suffix != ".mp4":
            raise UsageError(f"--out {out}: --codec {codec} writes X.mp4")
        check_absent(Path(out), overwrite=overwrite)
        return Path(out)
    if lossless and suffix != LOSSLESS_SUFFIX:
        raise UsageError(f"--out {out}: a lossless bitstream is named X{LOSSLESS_SUFFIX}")
    if not lossless and suffix != SUFFIX:
        hint = f"; --lossless writes X{LOSSLESS_SUFFIX}" if suffix == LOSSLESS_SUFFIX else ""
        hint = "; --codec x265 writes X.mp4" if suffix == ".mp4" else hint
        raise UsageError(f"--out {out}: a bitstream is named X{SUFFIX}{hint}")
    check_absent(Path(out), overwrite=overwrite)
    return Path(out)


def _code_lossless(work: _Compression, rate_scale: float | None) -> str:
    """Write a lossless bitstream; return a line with its path and bit rate."""
    recording, target = work.source.open(rate_scale=rate_scale, check_rows=True), work.target
    segments = range(lossless_coding.segments(recording))
    chunks = work.share(partial(_segments, work.source), segments, 1)
    with progress_bar("compressing") as progress:
        options: dict[str, Any] = {"overwrite": work.overwrite, "progress": progress}
        lossless_coding.write(recording, target, chunks=chunks, **options)
    planes, height, width = recording.shape
    size = target.stat().st_size
    cost = _cost(size, 8 * size / (planes * height * width))
    return f"bitstream: {target} ({planes} planes{work.origin}, {cost})"


def _cost(size: int, rate: float, *further: str) -> str:
    """Return size, bits per pixel and plane, and saving against raw bits as text."""
    saved = f"{1 - rate:.1%} saved" if rate <= 1 else f"{rate:.3g} x the raw bits"
    return ", ".join([f"{size} bytes: {rate:.4g} bits per pixel and plane", *further, saved])
