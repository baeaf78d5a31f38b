"""``compress``: a recording as a bitstream, a fraction of its raw bits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.batch import Item, RecordingSource, images_of, in_blocks, run_batch
from spike_zoo.cli.console import check_no_method, echo, quiet, report_rate_scale, warn_of_filters
from spike_zoo.coding import BitstreamWriter
from spike_zoo.coding.sci.header import QUALITIES
from spike_zoo.coding.spl import codec as lossless_coding
from spike_zoo.coding.spl.header import SUFFIX as LOSSLESS_SUFFIX
from spike_zoo.errors import UsageError
from spike_zoo.files import check_absent
from spike_zoo.media.output import progress_bar, with_progress
from spike_zoo.spikes.rate_scale import rate_scale_of, stated_rate_scale
from spike_zoo.spikes.windows import centers_with_stride
from spike_zoo.tasks.protocols import Reconstructs, codec_from, require_ability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Unpack

    from torch import Tensor, nn

    from spike_zoo.cli.lazy_signature import DatOptions
    from spike_zoo.coding import Header
    from spike_zoo.media.coded_pictures import CodedPictures
    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.tasks.protocols import Compresses

SUFFIX = ".sci"
METHOD, QUALITY, GOP = "sci", 2, 32
_LARGEST_CRF = {"x265": 51, "av1": 63}
PICTURE_METHOD, STRIDE, FPS = "tfi-aligned", 7, 25.0


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
    """Turn a recording into a bitstream, or into a small video of reconstructed images.

    What was compressed by a method is decompressed by the same weights. What was compressed with
    --lossless comes back bit for bit, without any. A video codec codes the images of a method as an
    MP4 that plays everywhere; the spikes cannot be recovered. A folder, a pattern or an archive
    with a pattern of names means many recordings, which are compressed independently; results of
    the same input and options are kept.

    Args:
        recording: The recording: .dat, .npz, .npy, .h5 or .spl; or a folder of them, or a
            pattern as 'clips/*.dat'.
        out: X.sci, with --lossless X.spl, with a video codec X.mp4. Of many recordings with {name}
            in it, as results/{name}.sci.
        lossless: Keep every spike. No method is needed: method, quality, gop, device and trust are
            not for it.
        codec: sci, the default, codes features; spl is --lossless; x265 and av1 are video codecs of
            reconstructed images.
        method: A shipped name, a checkpoint or an export folder of a method that compresses;
            sci by default. With a video codec, of one that reconstructs; tfi-aligned by default.
        quality: 0 to 3, default 2; 0 takes the fewest bits. Not with a video codec.
        gop: Frames of a group of pictures, default 32. Each is read without the others; long ones
            take fewer bits. Not with a video codec.
        crf: Of a video codec, the constant rate factor: lower is better and larger; by default 28
            of x265 and 35 of av1.
        stride: Of a video codec, planes from one image to the next; default 7.
        start: First plane that is compressed.
        stop: Plane before which compression ends; by default the end of the recording.
        rate_scale: Spikes per plane at white; auto is what the recording states, else an estimate
            from the brightest pixels, which is printed. With --lossless the recording's own is
            kept.
        name: Which recording of an archive; a pattern as 'test-*' or '*' means several.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names even if another package defines it.
        overwrite: Replace a file that is there.
        jobs: Processes for many recordings, 0 takes one per core; 2 or more share the planes of
            one recording.
        cluster: Dask cluster instead: tcp://HOST:PORT, its scheduler file, or slurm:FILE.yaml.
    """
    if run_batch(compress, locals()):  # first: nothing but the arguments
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
        reason = "--lossless keeps every spike and uses no method; leave one of the two out"
        of_method: dict[str, Any] = {"codec": codec, "method": method, "quality": quality}
        check_no_method(reason, device=device, trust=trust, gop=gop, **of_method)
        echo(_keep_all(work, stated))
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
    report_rate_scale(scale)
    if codec is not None:
        stride = STRIDE if stride is None else stride
        described = _described(module, method, source, scale.value, codec, crf, stride)
        images = _images(work, prepare, module, described)
        echo(_code_pictures(images, described, target, overwrite=overwrite))
        return
    quality, gop = QUALITY if quality is None else quality, GOP if gop is None else gop
    options: dict[str, Any] = {"quality": quality, "gop": gop, "rate_scale": scale.value}
    echo(_code_features(work, prepare, codec_from(module, f"--method {method}"), options))


class _Compression(NamedTuple):
    """What is compressed, where it goes, and which processes do it."""

    source: RecordingSource
    target: Path
    overwrite: bool
    jobs: int
    cluster: str | None

    @property
    def is_shared(self) -> bool:
        return self.jobs > 1 or self.cluster is not None

    def share(
        self,
        make: Callable[[Sequence[int]], Sequence[Item]],
        places: Sequence[int],
        size: int | None = None,
    ) -> Iterator[Item]:
        """Yield what a function makes of blocks of places, in order."""
        return in_blocks(make, places, jobs=max(self.jobs, 1), cluster=self.cluster, size=size)


def _loaded(method: str, device: str, *, trust: bool) -> nn.Module:
    from spike_zoo.checkpoints.loading import load, pick_device  # loads torch: after cheap checks

    return load(method, device=pick_device(device), trust=trust)


def _segments(opened: RecordingSource, numbers: Sequence[int]) -> list[bytes]:
    """Return the chunks of parts of a lossless bitstream."""
    with quiet():
        recording = opened.open()
        return [chunk for one in numbers for chunk in lossless_coding.segment(recording, one)]


def _groups(
    prepare: Callable[[], nn.Module],
    opened: RecordingSource,
    options: dict[str, Any],
    numbers: Sequence[int],
) -> list[bytes]:
    """Return the payloads of consecutive groups of pictures."""
    with quiet():
        recording, coder = opened.open(), codec_from(prepare(), "")
        header = coder.header(recording, **options)
        part = recording.between(*header.planes_of(numbers[0], numbers[-1] + 1))
        return list(coder.compress_stream(part, **options))


def _code_features(
    work: _Compression, prepare: Callable[[], nn.Module], coder: Compresses, options: dict[str, Any]
) -> str:
    """Write the bitstream of a recording, and return one line with its size."""
    source, target, overwrite = work.source.open(), work.target, work.overwrite
    header = coder.header(source, **options)
    payloads = coder.compress_stream(source, **options)
    if work.is_shared:
        make = partial(_groups, prepare, work.source, options)
        payloads = work.share(make, range(header.groups), 1)
    with BitstreamWriter(target, header, overwrite=overwrite) as writer:
        for payload in with_progress(payloads, header.groups, "compressing"):
            writer.append(payload)
    return f"bitstream: {target} ({_measured(header, writer.size)})"


def _check_grey(module: nn.Module, method: str, codec: str) -> None:
    """Reject methods in colour, of which a video codec would keep the luminance alone."""
    if getattr(module, "channels", 1) != 1:
        raise UsageError(
            f"--method {method}: --codec {codec} codes grey images; reconstruct --method {method} "
            "--out X.mp4 makes a video in colour"
        )


def _described(
    module: nn.Module,
    method: str,
    source: SpikeRecording,
    rate_scale: float,
    codec: str,
    crf: int | None,
    stride: int,
) -> CodedPictures:
    """Return the description of the images of a recording."""
    from spike_zoo.checkpoints.weight_files import state_digest
    from spike_zoo.media.coded_pictures import CodedPictures
    from spike_zoo.media.video import VIDEO_CODECS

    planes, height, width = source.shape
    centers = centers_with_stride(planes, stride)
    return CodedPictures(
        method,
        state_digest(module.state_dict())[:24],
        codec,
        VIDEO_CODECS[codec].crf if crf is None else crf,
        centers[0],
        stride,
        len(centers),
        planes,
        height,
        width,
        rate_scale,
        source.fps or None,
    )


def _images(
    work: _Compression,
    prepare: Callable[[], nn.Module],
    module: nn.Module,
    described: CodedPictures,
) -> Iterator[Tensor]:
    """Yield the images of a video."""
    reconstructor = require_ability(module, Reconstructs, f"--method {described.method}")
    centers = [described.plane(number) for number in range(described.images)]
    if work.is_shared:
        make = partial(images_of, prepare, work.source, described.rate_scale)
        return work.share(make, centers)
    source = work.source.open()
    return reconstructor.reconstruct_stream(source, centers, rate_scale=described.rate_scale)


def _code_pictures(
    images: Iterable[Tensor], described: CodedPictures, target: Path, *, overwrite: bool
) -> str:
    """Write images as a video, and return one line that says what it costs."""
    from spike_zoo.media.video import VideoWriter

    with VideoWriter(
        target,
        FPS,
        overwrite=overwrite,
        codec=described.codec,
        crf=described.crf,
        comment=described.as_text(),
    ) as video:
        for image in with_progress(images, described.images, "compressing"):
            video.write(image)
    size = target.stat().st_size
    cost = _cost(size, described.bits_per_pixel(size))
    return f"video: {target} ({described.images} images of {described.planes} planes, {cost})"


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
            raise UsageError(f"--{option} {value} is for --codec x265 or av1; add it")
    for option, value in (("quality", quality), ("gop", gop)):
        if codec is not None and value is not None:
            raise UsageError(f"--{option} {value} is not for --codec; use --crf and --stride")
    largest = _LARGEST_CRF.get(codec or "", 0)
    if crf is not None and not 0 <= crf <= largest:
        raise UsageError(f"--crf {crf}: it is 0 to {largest} for {codec}")
    if stride is not None and stride < 1:
        raise UsageError(f"--stride {stride}: from one image to the next is at least 1 plane")
    if quality is not None and not 0 <= quality < QUALITIES:
        raise UsageError(f"--quality {quality}: it is 0 to {QUALITIES - 1}")
    if gop is not None and not 1 <= gop <= 0xFFFF:
        raise UsageError(f"--gop {gop}: a group of pictures has 1 to 65535 frames")


def _target(out: str, *, lossless: bool, codec: str | None, overwrite: bool) -> Path:
    """Return where the bitstream goes, known to be free before any work is done."""
    suffix = Path(out).suffix.lower()
    if codec is not None and not lossless:
        if suffix != ".mp4":
            raise UsageError(f"--out {out}: --codec {codec} makes X.mp4")
        check_absent(Path(out), overwrite=overwrite)
        return Path(out)
    if lossless and suffix != LOSSLESS_SUFFIX:
        raise UsageError(f"--out {out}: a lossless bitstream is named X{LOSSLESS_SUFFIX}")
    if not lossless and suffix != SUFFIX:
        hint = f"; --lossless makes X{LOSSLESS_SUFFIX}" if suffix == LOSSLESS_SUFFIX else ""
        hint = "; --codec x265 makes X.mp4" if suffix == ".mp4" else hint
        raise UsageError(f"--out {out}: a bitstream is named X{SUFFIX}{hint}")
    check_absent(Path(out), overwrite=overwrite)
    return Path(out)


def _keep_all(work: _Compression, rate_scale: float | None) -> str:
    """Write a lossless bitstream, and return one line that says where it is and what it costs."""
    recording, target = work.source.open(rate_scale=rate_scale, check_rows=True), work.target
    segments = range(lossless_coding.segments(recording))
    chunks = work.share(partial(_segments, work.source), segments, 1)
    with progress_bar("compressing") as progress:
        options: dict[str, Any] = {"overwrite": work.overwrite, "progress": progress}
        lossless_coding.write(recording, target, chunks=chunks, **options)
    planes, height, width = recording.shape
    size = target.stat().st_size
    cost = _cost(size, 8 * size / (planes * height * width))
    return f"bitstream: {target} ({planes} planes, {cost})"


def _measured(header: Header, size: int) -> str:
    """Return what a bitstream of so many bytes costs, in words."""
    per_frame = f"{8 * size / header.frames:.0f} bits per frame"
    cost = _cost(size, header.bits_per_pixel(size), per_frame)
    return f"{header.frames} frames of {header.planes} planes, {cost}"


def _cost(size: int, rate: float, *further: str) -> str:
    """Return bytes, bits per pixel and plane, and what they save of raw bits, in words."""
    saved = f"{1 - rate:.1%} saved" if rate <= 1 else f"{rate:.3g} x the raw bits"
    return ", ".join([f"{size} bytes: {rate:.4g} bits per pixel and plane", *further, saved])
