"""``decompress``: a bitstream as a video, a folder of pictures, or its features."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from spike_zoo.coding import BitstreamReader
from spike_zoo.errors import UsageError
from spike_zoo.files import refuse_existing
from spike_zoo.media.arrays import ArraysWriter
from spike_zoo.media.output import Target, with_progress
from spike_zoo.methods.loading import load, pick_device
from spike_zoo.tasks.abilities import codec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spike_zoo.tasks.abilities import Compresses

Item = TypeVar("Item")


def decompress(
    bitstream: str,
    *,
    out: str,
    method: str = "sci-small",
    fps: float = 25.0,
    salvage: bool = False,
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
) -> None:
    """Turn a bitstream into a video, a folder of pictures, or its features as arrays.

    Args:
        bitstream: What compress made: X.sci.
        out: X.mp4 for a video, X.npz for features and motion, else a folder that gets one PNG per
            frame, named after the plane it shows.
        method: The method that compressed it: a shipped name, a checkpoint or an export folder.
        fps: Images per second in a video.
        salvage: Decode what is whole of a damaged file, and say what is not.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names though it is not of this package.
        overwrite: Replace files that are there.
    """
    target = _target(out, fps=fps, overwrite=overwrite)
    reader = _opened(bitstream, salvage=salvage)
    codec = codec_of(load(method, device=pick_device(device), trust=trust), f"--method {method}")
    if isinstance(target, Path):
        print(_write_arrays(codec, reader, target, overwrite=overwrite))
    else:
        print(_write_images(codec, reader, target, Path(bitstream).stem))
    for error in reader.errors:
        print(f"warning: left out: {error}", file=sys.stderr)


def _target(out: str, *, fps: float, overwrite: bool) -> Target | Path:
    """Return where images go, or the file for arrays, known to be free before any work is done."""
    suffix = Path(out).suffix.lower()
    if suffix == ".npz":
        refuse_existing(Path(out), overwrite=overwrite)
        return Path(out)
    if suffix == ".png":
        raise UsageError(f"--out {out}: give X.mp4, X.npz or a folder, which gets all pictures")
    return Target.of(out, fps=fps, overwrite=overwrite)


def _opened(bitstream: str, *, salvage: bool) -> BitstreamReader:
    """Return a bitstream that was looked through before anything is loaded for it.

    Raises:
        BitstreamError: If it is damaged, and nothing is to be salvaged or there is nothing left.
    """
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
    """Yield what was decoded, and refuse a bitstream of which nothing was."""
    is_empty = True
    for item in items:
        is_empty = False
        yield item
    if is_empty:
        raise reader.errors[0]
