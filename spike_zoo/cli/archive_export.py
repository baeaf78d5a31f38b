"""Command ``archive export``: recordings of an archive and their images as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from spike_zoo.archive import ArchiveWriter, SpikeArchive
from spike_zoo.archive.layouts.image_files import write_picture
from spike_zoo.cli.console import echo
from spike_zoo.errors import UsageError
from spike_zoo.files import check_suffix
from spike_zoo.formats import write_recording
from spike_zoo.formats.hdf5_writing import recording_name
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES, RECORDING_SUFFIXES


def archive_export(
    path: str,
    out: str,
    *,
    name: str | None = None,
    format: Literal["dat", "npz", "npy", "h5", "spl"] | None = None,
    overwrite: bool = False,
) -> None:
    """Write recordings of an archive, with their images, as separate files.

    A .dat file is written with a sidecar that states its size. An .h5 file contains the images and
    labels of its recording. In a folder, the images of other formats are written as pictures: the
    sharp image at plane 20 is NAME/000020.png and the blurry image blur/NAME.png, so that
    'spike-zoo deblur OUT/blur OUT' reads them. Images of more than 8 bits are written as .tif.

    Args:
        path: The archive.
        out: A folder; or, for one recording, a file ending in .dat, .npz, .npy, .h5, .hdf5 or .spl.
            Only .h5 and .hdf5 files contain the images.
        name: Name of one recording to write. Default: all.
        format: Format of the files in a folder. Default: dat.
    """
    suffix = Path(out).suffix.lower()
    if suffix not in RECORDING_SUFFIXES:
        check_suffix(out, RECORDING_SUFFIXES)
    is_named = suffix in RECORDING_SUFFIXES and not out.endswith(("/", os.sep))
    is_file = is_named and not Path(out).is_dir()
    file_kind = "h5" if suffix in ARCHIVE_SUFFIXES else suffix[1:]
    if is_file and format not in (None, file_kind):
        raise UsageError(f"{out} ends in {suffix}, and --format is {format}; leave one of them out")
    kind = file_kind if is_file else format or "dat"
    with SpikeArchive(path) as archive:
        names = archive.names() if name is None else [name]
        if is_file and len(names) != 1:
            raise UsageError(
                f"{out} is one file, and {path} has {len(names)} recordings; choose one with "
                f"--name, or give a folder (one whose name ends in {suffix} with a slash: {out}/)"
            )
        for recording in names:
            target = Path(out) if is_file else Path(out) / f"{recording}.{kind}"
            _export(archive, recording, target, overwrite)
            echo(str(target))
            if not is_file and kind != "h5":
                _export_images(archive, recording, Path(out), overwrite)


def _export(archive: SpikeArchive, name: str, target: Path, overwrite: bool) -> None:
    """Write one recording; an .h5 file contains its images and labels too."""
    if target.suffix.lower() in ARCHIVE_SUFFIXES:
        names = archive.label_names
        with ArchiveWriter(target, overwrite=overwrite, label_names=names) as writer:
            writer.add(recording_name(name), archive.take(name))
        return
    is_raw = target.suffix.lower() == ".dat"
    write_recording(archive[name], target, overwrite=overwrite, with_sidecar=is_raw)


def _export_images(archive: SpikeArchive, name: str, folder: Path, overwrite: bool) -> None:
    """Write the sharp and blurry images of one recording as pictures."""
    take = archive.take(name)
    if take.images is not None and take.image_index is not None:
        is_unique = len(np.unique(take.image_index)) == len(take.image_index)
        for number, plane in enumerate(take.image_index.tolist()):
            stem = f"{plane:06d}" if is_unique else f"{number:03d}-{plane:06d}"
            write_picture(take.images[number], folder / name / stem, overwrite=overwrite)
        echo(f"{folder / name}{os.sep} ({len(take.images)} sharp images, named by their planes)")
    if take.blur is not None and take.blur_span is not None:
        for image, (first, past) in zip(take.blur, take.blur_span.tolist(), strict=True):
            stem = name if len(take.blur) == 1 else f"{name}-{first:06d}"
            picture = write_picture(image, folder / "blur" / stem, overwrite=overwrite)
            echo(f"{picture} (blurry, --exposure-start {first} --exposure-length {past - first})")
