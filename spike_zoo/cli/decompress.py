"""``decompress``: a bitstream as a video, a folder of pictures, its features, or its recording."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import check_no_method, echo
from spike_zoo.coding import BitstreamReader
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.coding.spl import salvage as lossless_salvage
from spike_zoo.coding.spl.header import SUFFIX, is_lossless
from spike_zoo.errors import UsageError
from spike_zoo.files import check_absent
from spike_zoo.formats import write_recording
from spike_zoo.formats.recording import RECORDING_SUFFIXES
from spike_zoo.media.arrays import ArraysWriter
from spike_zoo.media.output import Target, progress_bar, with_progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spike_zoo.coding import BitstreamError
    from spike_zoo.tasks.protocols import Compresses

Item = TypeVar("Item")

METHOD, FPS = "sci", 25.0
_FILES = (".mp4", ".npz")  # of an .sci, beside a folder
RECORDINGS = tuple(suffix for suffix in RECORDING_SUFFIXES if suffix != SUFFIX)


def decompress(
    bitstream: str,
    *,
    out: str,
    method: str | None = None,
    fps: float | None = None,
    salvage: bool = False,
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
) -> None:
    """Turn a bitstream into a video, a folder of pictures, its features, or its recording.

    A lossless one (X.spl) becomes the recording it was, bit for bit: method, fps, device and trust
    do not apply to it, nor to images that compress --codec wrote (X.mp4).

    Args:
        bitstream: What compress made: X.sci, X.spl or X.mp4.
        out: Of X.sci, X.mp4 for a video, X.npz for features and motion, else a folder that gets one
            PNG per frame, named after the plane it shows. Of X.spl, a recording: X.npz, X.npy, X.h5
            or X.dat, which gets a sidecar with its size. Of X.mp4, a folder.
        method: The method that compressed it: a shipped name, a checkpoint or an export folder;
            sci by default.
        fps: Images per second in a video, default 25.
        salvage: Decode the intact parts of a damaged file, and report those that are lost. Of
            X.spl, the planes after lost ones move up.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names even if another package defines it.
        overwrite: Replace files that are there.
    """
    if is_lossless(bitstream):
        reason = (
            f"{bitstream} is a lossless recording, which becomes what it was, without any method; "
            "leave the option out"
        )
        check_no_method(reason, method=method, fps=fps, device=device, trust=trust)
        echo(_write_recording(bitstream, out, salvage=salvage, overwrite=overwrite))
        return
    if Path(bitstream).suffix.lower() == ".mp4":
        echo(_write_coded_pictures(bitstream, out, overwrite=overwrite))
        return
    target = _target(out, fps=FPS if fps is None else fps, overwrite=overwrite)
    method = METHOD if method is None else method
    check_method(method)
    reader = _opened(bitstream, salvage=salvage)
    from spike_zoo.checkpoints.loading import load, pick_device  # loads torch: after cheap checks
    from spike_zoo.tasks.protocols import codec_from

    codec = codec_from(load(method, device=pick_device(device), trust=trust), f"--method {method}")
    if isinstance(target, Path):
        echo(_write_arrays(codec, reader, target, overwrite=overwrite))
    else:
        echo(_write_images(codec, reader, target, Path(bitstream).stem))
    _warn_of_lost_parts(reader.errors)


def _warn_of_lost_parts(errors: Sequence[BitstreamError]) -> None:
    for error in errors:
        print(f"warning: left out: {error}", file=sys.stderr)


def _write_recording(bitstream: str, out: str, *, salvage: bool, overwrite: bool) -> str:
    """Write the recording of a lossless bitstream, and return one line that says where it is."""
    target = Path(out)
    if target.suffix.lower() not in RECORDINGS:
        raise UsageError(
            f"--out {out}: {bitstream} is a lossless recording; give X.dat, X.npz, X.npy or X.h5 "
            "(reconstruct makes pictures and videos of it)"
        )
    check_absent(target, overwrite=overwrite)
    is_raw = target.suffix.lower() == ".dat"
    with progress_bar("decompressing") as progress:
        if salvage:
            recording, lost = lossless_salvage.salvage(bitstream, progress=progress)
        else:
            recording, lost = lossless.read(bitstream, progress=progress), []
        write_recording(recording, target, overwrite=overwrite, with_sidecar=is_raw)
    _warn_of_lost_parts(lost)
    planes, height, width = recording.shape
    size = f"{planes} planes of {width} x {height} pixels"
    return f"recording: {target} ({size}, {target.stat().st_size} bytes)"


def _write_coded_pictures(bitstream: str, out: str, *, overwrite: bool) -> str:
    """Write the images of a video into a folder, and return one line that says where they are."""
    if Path(out).suffix:
        raise UsageError(f"--out {out}: {bitstream} plays as it is; give a folder for its images")
    from spike_zoo.media.coded_pictures import CodedPictures, read_pictures

    target = Target.of(out, fps=FPS, overwrite=overwrite)
    described, stem = CodedPictures.read(bitstream), Path(bitstream).stem
    named = ((f"{stem}-{plane:06d}", image) for plane, image in read_pictures(bitstream))
    shown = f"planes {described.first} to {described.plane(described.images - 1)}"
    return target.write(named, count=described.images, detail=shown, doing="decompressing")


def _target(out: str, *, fps: float, overwrite: bool) -> Target | Path:
    """Return where images go, or the file for arrays, known to be free before any work is done."""
    suffix = Path(out).suffix.lower()
    if suffix == ".npz":
        check_absent(Path(out), overwrite=overwrite)
        return Path(out)
    if suffix == ".png":
        raise UsageError(f"--out {out}: give X.mp4, X.npz or a folder, which gets all pictures")
    return Target.of(out, fps=fps, overwrite=overwrite, files=_FILES)


def _opened(bitstream: str, *, salvage: bool) -> BitstreamReader:
    """Return a bitstream that was looked through before anything is loaded for it."""
    reader = BitstreamReader(bitstream, strict=not salvage)
    whole = sum(1 for _ in reader)
    if not whole:
        raise reader.errors[0]
    return reader


def _write_arrays(
    codec: Compresses, reader: BitstreamReader, target: Path, *, overwrite: bool
) -> str:
    """Write features and motion group by group, and return one line that says where they are."""
    groups = _some(codec.decompress_stream(reader), reader)
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


def _write_images(codec: Compresses, reader: BitstreamReader, target: Target, stem: str) -> str:
    """Write the image at every feature, and return one line that says where they are."""
    header = reader.header
    images = _some(codec.reconstruct_stream(codec.decompress_stream(reader)), reader)
    named = ((f"{stem}-{header.plane(index):06d}", image) for index, image in images)
    shown = f"planes {header.plane(0)} to {header.plane(header.frames - 1)}"
    return target.write(named, count=header.frames, detail=shown, doing="decompressing")


def _some(items: Iterable[Item], reader: BitstreamReader) -> Iterator[Item]:
    """Yield what was decoded, and reject a bitstream of which nothing was."""
    is_empty = True
    for item in items:
        is_empty = False
        yield item
    if is_empty:
        raise reader.errors[0]
