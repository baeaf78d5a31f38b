"""Command ``decompress``: images, features or the recording of a bitstream."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import echo
from spike_zoo.cli.inputs import load_method
from spike_zoo.coding.container import BitstreamReader
from spike_zoo.coding.errors import BitstreamError
from spike_zoo.coding.header import is_bitstream
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.coding.spl.header import SUFFIX, is_lossless
from spike_zoo.errors import UsageError
from spike_zoo.formats.recording import RECORDING_SUFFIXES
from spike_zoo.formats.sidecar import sidecar_path
from spike_zoo.formats.writing import write_recording
from spike_zoo.media.arrays import ArraysWriter
from spike_zoo.media.output import Target, progress_bar, with_progress
from spike_zoo.tasks.protocols import codec_from
from spike_zoo.utils.files import check_absent

if TYPE_CHECKING:
    from spike_zoo.methods.sci.codec.codec import SCICodec

Item = TypeVar("Item")

METHOD = "sci"
_FILES = (".mp4", ".npz")  # outputs of an .sci bitstream that are no folder
RECORDINGS = tuple(suffix for suffix in RECORDING_SUFFIXES if suffix != SUFFIX)


def decompress(
    bitstream: str,
    *,
    out: str,
    method: str | None = None,
    salvage: bool = False,
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
) -> None:
    """Decode a bitstream to a video, a folder of images, its features, or its recording.

    A lossless bitstream (X.spl) is decoded to the original recording, bit for bit. The options
    method, device and trust do not apply to it, nor to a video of compress (X.mp4).

    Args:
        bitstream: The output of compress: X.sci, X.spl or X.mp4.
        out: For X.sci: X.mp4 for a video, X.npz for features and motion, else a folder for one PNG
            per frame, named after its plane. For X.spl: a recording X.npz, X.npy, X.h5, or X.dat
            with a sidecar that states its size. For X.mp4: a folder.
        method: The method that compressed the recording: a shipped name, a checkpoint or an export
            folder. Default: sci.
        salvage: Decode the intact parts of a damaged file and report the lost parts. For X.spl the
            recording is shorter: lost planes are left out. It does not apply to X.mp4.
    """
    of_method = {"method": method, "device": device, "trust": trust}
    is_video = Path(bitstream).suffix.lower() == ".mp4"
    if is_video and salvage:
        raise UsageError(f"--salvage: does not apply to a video ({bitstream})")
    if is_video or is_lossless(bitstream):
        for option, value in of_method.items():
            if value not in (None, "auto", False):
                raise UsageError(f"--{option} {value}: {bitstream} is decoded without a method")
        write = _write_coded_images if is_video else partial(_write_recording, salvage=salvage)
        echo(write(bitstream, out, overwrite=overwrite))
        return
    path = Path(bitstream)
    if path.suffix.lower() in RECORDINGS and path.is_file() and not is_bitstream(path):
        raise UsageError(
            f"{bitstream} is a recording, not a bitstream; give an output of compress: X.sci, "
            "X.spl or X.mp4"
        )
    target = _target(out, overwrite=overwrite)
    method = method or METHOD
    check_method(method)
    reader = _opened(bitstream, salvage=salvage)
    codec = codec_from(load_method(method, device, trust=trust), f"--method {method}")
    if isinstance(target, Path):
        echo(_write_arrays(codec, reader, target, overwrite=overwrite))
    else:
        echo(_write_images(codec, reader, target, Path(bitstream).stem))
    _warn_of_lost_parts(reader.errors)


def _warn_of_lost_parts(errors: Sequence[BitstreamError]) -> None:
    for error in errors:
        print(f"warning: left out: {error}", file=sys.stderr)


def _write_recording(bitstream: str, out: str, *, salvage: bool, overwrite: bool) -> str:
    """Write the recording of a lossless bitstream; return a line with its path."""
    target = Path(out)
    if target.suffix.lower() not in RECORDINGS:
        raise UsageError(
            f"--out {out}: {bitstream} is a lossless recording; give X.dat, X.npz, X.npy or X.h5 "
            "(for images and videos use reconstruct)"
        )
    check_absent(target, overwrite=overwrite)
    is_raw = target.suffix.lower() == ".dat"
    with progress_bar("decompressing") as progress:
        if salvage:
            recording, lost = lossless.salvage(bitstream, progress=progress)
        else:
            recording, lost = lossless.read(bitstream, progress=progress), []
        write_recording(recording, target, overwrite=overwrite, with_sidecar=is_raw)
    _warn_of_lost_parts(lost)
    planes, height, width = recording.shape
    facts = f"{planes} planes of {width} x {height} pixels, {target.stat().st_size} bytes"
    sidecar = f"; {sidecar_path(target).name} states its size" if is_raw else ""
    return f"recording: {target} ({facts}{sidecar})"


def _write_coded_images(bitstream: str, out: str, *, overwrite: bool) -> str:
    """Write the images of a coded video into a folder; return a line with its path."""
    if Path(out).suffix and not out.endswith("/"):
        raise UsageError(
            f"--out {out}: {bitstream} is a video already; give a folder for its images"
        )
    from spike_zoo.media.coded_images import CodedImages, read_images

    target = Target.of(out, overwrite=overwrite)
    description, stem = CodedImages.read(bitstream), Path(bitstream).stem
    named = ((f"{stem}-{plane:06d}", image) for plane, image in read_images(bitstream))
    detail = f"planes {description.first} to {description.plane(description.images - 1)}"
    return target.write(named, count=description.images, detail=detail, doing="decompressing")


def _target(out: str, *, overwrite: bool) -> Target | Path:
    """Return the output for images, or the path of an .npz file; check that they do not exist."""
    suffix = Path(out).suffix.lower()
    if suffix == ".npz":
        check_absent(Path(out), overwrite=overwrite)
        return Path(out)
    if suffix in RECORDINGS:
        raise UsageError(
            f"--out {out}: a .sci contains features, not spikes; give X.mp4, X.npz or a folder "
            "(only X.spl is decoded to a recording)"
        )
    if suffix == ".png":
        raise UsageError(f"--out {out}: give X.mp4, X.npz or a folder for all images")
    return Target.of(out, overwrite=overwrite, files=_FILES)


def _opened(bitstream: str, *, salvage: bool) -> BitstreamReader:
    """Open a bitstream and check all its groups, before a method is loaded."""
    reader = BitstreamReader(bitstream, strict=not salvage)
    intact = sum(1 for _ in reader)
    if not intact:
        raise reader.errors[0]
    return reader


def _write_arrays(
    codec: SCICodec, reader: BitstreamReader, target: Path, *, overwrite: bool
) -> str:
    """Write features and motion group by group; return a line with the path of the file."""
    groups = _non_empty(codec.decompress_stream(reader), reader)
    count = 0
    with ArraysWriter(target, overwrite=overwrite) as arrays:
        for group in with_progress(groups, reader.header.groups, "decompressing"):
            arrays.append(
                features=np.asarray(group.features),
                motion=np.asarray(group.motion),
                feature_index=np.asarray(group.feature_index, np.int64),
            )
            count += len(group.features)
    return f"features: {target} ({count} of {reader.header.frames} frames)"


def _write_images(codec: SCICodec, reader: BitstreamReader, target: Target, stem: str) -> str:
    """Write the image at every feature; return a line with the path of the output."""
    header = reader.header
    images = _non_empty(codec.reconstruct_stream(codec.decompress_stream(reader)), reader)
    named = ((f"{stem}-{header.plane(index):06d}", image) for index, image in images)
    detail = f"planes {header.plane(0)} to {header.plane(header.frames - 1)}"
    return target.write(named, count=header.frames, detail=detail, doing="decompressing")


def _non_empty(items: Iterable[Item], reader: BitstreamReader) -> Iterator[Item]:
    """Yield decoded items; raise the error of the bitstream if there are none."""
    is_empty = True
    for item in items:
        is_empty = False
        yield item
    if is_empty:
        raise reader.errors[0]
