"""Command ``deblur``: sharp images from a blurry image and the spikes of its exposure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import NDArray

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import echo, warn_of_filters
from spike_zoo.cli.inputs import load_method, named_errors
from spike_zoo.cli.options import DatSize, NonNegativeInt, PositiveInt
from spike_zoo.errors import GeometryError, MissingFileError, MissingGeometryError, UsageError
from spike_zoo.formats.recording import RECORDING_SUFFIXES, read_recording
from spike_zoo.media.images import IMAGE_SUFFIXES, load_image
from spike_zoo.media.output import Kind, Target, kind_of
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import planes_inside, spread_planes
from spike_zoo.tasks.exposures import check_pair
from spike_zoo.tasks.protocols import Deblurs, require_ability
from spike_zoo.utils.files import folder_entries, shipped_weights

if TYPE_CHECKING:
    from torch import Tensor

FRAMES = 7  # sharp images per exposure by default
SHIPPED_RATIO = 4  # height of the image / height of the spikes, for weights of the package
Pair: TypeAlias = tuple[Path, Path]  # a blurry image and the recording of its exposure


def deblur(
    image: str,
    spikes: str,
    *,
    out: str,
    method: str = "ssdm-student",
    frames: PositiveInt | None = None,
    exposure_start: NonNegativeInt | None = None,
    exposure_length: PositiveInt | None = None,
    name: str | None = None,
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
    **dat: Unpack[DatSize],
) -> None:
    """Reconstruct sharp images from a blurry image and the spikes of its exposure.

    The image is four times as high and wide as the spikes. If a .dat file states no size, a quarter
    of the image's size is assumed and printed. With two folders, each image is paired with the
    recording of the same name, in the order of the names.

    Args:
        image: The blurry image, or a folder of images.
        spikes: The recording (.dat, .npz, .npy, .h5 or .spl), or a folder of recordings.
        out: X.mp4 for a video, X.png for one image at the middle of the exposure, else a folder for
            PNG files.
        method: A shipped name, a checkpoint, an export folder, or the published weights (.pth).
        frames: Number of sharp images, evenly spaced from the first to the last plane of the
            exposure. Default: 7, or 1 with X.png.
        exposure_start: First plane of the exposure. Default: 20.
        exposure_length: Planes of the exposure. Default: as many planes are left at the end as at
            the start, so that 137 planes are an exposure of 97 planes.
    """
    kind = kind_of(out)
    frames = _frame_count(kind, frames)
    target = Target.of(out, overwrite=overwrite)
    pairs = find_pairs(Path(image), Path(spikes))
    if kind == "image" and Path(image).is_dir():
        raise UsageError(f"--out {out}: a folder of images does not fit into one image")
    check_method(method)
    opened = partial(_opened, name, dat, (exposure_start, exposure_length))
    if method in shipped_weights():  # other weights state their ratio only when loaded
        opened(pairs[0], SHIPPED_RATIO)
    loaded = load_method(method, device, trust=trust)
    module = require_ability(loaded, Deblurs, f"--method {method}")
    echo(_write(pairs, partial(_sequence, module, opened, frames), target, frames))


def find_pairs(images: Path, spikes: Path) -> list[Pair]:
    """Return the blurry images with their recordings, in the order of their names."""
    for path, what in ((images, "blurry image"), (spikes, "spike recording")):
        if not path.exists():
            raise MissingFileError.at(path, f"there is no such {what}")
    if images.is_dir() != spikes.is_dir():
        raise UsageError(
            f"{images} and {spikes}: give one image with one recording, or a folder with a folder"
        )
    if not images.is_dir():
        return [(images, spikes)]
    named, recorded = _by_stem(images, IMAGE_SUFFIXES), _by_stem(spikes, RECORDING_SUFFIXES)
    unmatched = [path for stem, path in named.items() if stem not in recorded]
    if unmatched:
        raise MissingFileError.at(
            unmatched[0],
            f"there is no recording {unmatched[0].stem}.* in {spikes} "
            f"({len(unmatched)} of {len(named)} images have none); add it, or move such images "
            "elsewhere",
        )
    if not named:
        raise MissingFileError.at(
            images,
            f"no image ({' '.join(IMAGE_SUFFIXES)}) with a recording of its name in {spikes}",
        )
    return [(path, recorded[stem]) for stem, path in named.items()]


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in folder_entries(folder):
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in files:
            raise UsageError(
                f"{files[path.stem]} and {path.name}: two files with the same name; remove one"
            )
        files[path.stem] = path
    return files


def _frame_count(kind: Kind, frames: int | None) -> int:
    """Return the number of sharp images: 1 for an image, else 7 by default."""
    if kind == "image" and frames not in (None, 1):
        raise UsageError(
            f"--frames {frames} are several images: give --out X.mp4 or a folder, or leave "
            "--frames out for the middle of the exposure"
        )
    return frames or (1 if kind == "image" else FRAMES)


def _opened(
    name: str | None, dat: DatSize, exposure: tuple[int | None, int | None], pair: Pair, ratio: int
) -> tuple[NDArray[np.float32], SpikeRecording, tuple[int, int]]:
    """Return the image ``(3, H, W)``, the recording and the planes of its exposure."""
    image = load_image(pair[0])
    blurry = image if len(image) == 3 else image.repeat(3, axis=0)  # grey to RGB
    height, width = (side // ratio for side in blurry.shape[1:])
    recording = _recording(pair[1], name, dat, height, width)
    with named_errors(f"{pair[0]} with {pair[1]}"):
        check_pair(blurry, recording, ratio)
        return blurry, recording, planes_inside(len(recording), *exposure)


def _recording(
    path: Path, name: str | None, dat: DatSize, height: int, width: int
) -> SpikeRecording:
    """Read a recording; assume and print the size of a .dat file that states no size."""
    read = partial(read_recording, path, name, check_rows=True)
    try:
        return read(**dat)
    except MissingGeometryError as error:
        if (dat.get("height"), dat.get("width")) != (None, None):
            raise
        missing = error
    quarter = f"{width} x {height} (W x H), a quarter of the image's"
    try:
        recording = read(**(dat | DatSize(height=height, width=width)))
    except GeometryError as error:
        reason = "does not give a whole number of planes of whole bytes."
        message = f"{missing.message} {quarter}, {reason}"
        raise MissingGeometryError(message, path=str(path)) from error
    _report_assumed(path, quarter, len(recording))
    return recording


@cache  # printed once per file
def _report_assumed(path: Path, size: str, planes: int) -> None:
    echo(
        f"{path}: states no size; {size}, is assumed, which gives {planes} planes "
        "(--height and --width set it)",
        sys.stderr,
    )


def _sequence(
    module: Deblurs, opened: Callable[..., Any], frames: int, pair: Pair
) -> tuple[list[int], Iterator[Tensor]]:
    """Return the planes of a sequence and an iterator that computes its images."""
    blurry, recording, span = opened(pair, module.ratio)
    warn_of_filters(recording, "deblurring")
    with named_errors(f"{pair[0]} with {pair[1]}"):
        centers = spread_planes(span[0], span[1], frames)
        images = module.deblur_stream(blurry, recording, centers, exposure=span)
    return centers, images


def _write(
    pairs: list[Pair],
    sequence_of: Callable[[Pair], tuple[list[int], Iterator[Tensor]]],
    target: Target,
    frames: int,
) -> str:
    """Write all sequences; return a line with the path of the output."""
    first = sequence_of(pairs[0])  # raises errors before any output is created

    def results() -> Iterator[tuple[str, Tensor]]:
        for number, pair in enumerate(pairs):
            centers, images = first if number == 0 else sequence_of(pair)
            for plane, image in zip(centers, images, strict=True):
                yield f"{pair[0].stem}-{plane:06d}", image

    planes = first[0]
    is_single = target.kind == "image"
    detail = f"plane {planes[0]}" if is_single else f"planes {planes[0]} to {planes[-1]}"
    return target.write(results(), count=frames * len(pairs), detail=detail, doing="deblurring")
