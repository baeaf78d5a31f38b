"""Layouts of recordings with ground-truth images beside them, or without any."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from spike_zoo.archive.layouts.ground_truth import (
    FoundTake,
    GroundTruthImages,
    ImageFiles,
    check_lengths,
    open_with_settings,
    planes_of_sidecar,
)
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.archive.schema import SPIKES, USUAL_SPLITS
from spike_zoo.archive.validate import check_data
from spike_zoo.errors import (
    FormatError,
    MissingFileError,
    MissingItemError,
    NotSpikesError,
    UsageError,
)
from spike_zoo.formats.arrays import read_npy, read_npz
from spike_zoo.formats.camera import attach_maps
from spike_zoo.formats.hdf5 import Hdf5File
from spike_zoo.formats.hdf5_recording import is_archive, read_plain
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES, RECORDING_SUFFIXES
from spike_zoo.formats.sidecar import RecordingSettings, is_class
from spike_zoo.media.images import IMAGE_SUFFIXES
from spike_zoo.spikes.take import Take
from spike_zoo.utils.files import entries_below, folder_entries

_MAX_NAMED = 3
_PLANES_CHECKED = 64
#: Name of a first folder in lower case -> split.
SPLIT_FOLDERS = {name: name for name in USUAL_SPLITS} | {"valid": "val", "validation": "val"}


def find_folder(root: Path, settings: RecordingSettings) -> Iterator[FoundTake]:
    """Yield every recording below a folder, or a single file, with its ground-truth images.

    A first folder named train, val (valid, validation) or test, in any case, is the split.
    Warns of images that belong to no recording, and of files that are neither.
    """
    if root.is_file():
        folder = root.with_suffix("")
        near = [*folder_entries(root.parent), *folder_entries(folder)]
        yield root.stem, None, partial(_read, root, ImageFiles(near).of(root), settings)
        return
    everything = [path for path in entries_below(root) if not path.is_dir()]
    files = _recordings(root, everything)
    images = ImageFiles(everything)
    truths = {path: images.of(path) for path in files}
    check_lengths(truths, settings)
    if files and (unassigned := images.unassigned()):
        warnings.warn(
            f"{root}: {len(unassigned)} images belong to no recording, {unassigned[0]} is the "
            "first; the image of a recording clip.dat is clip.png, or clip/000150.png for its "
            "plane 150",
            stacklevel=2,
        )
    for path, name in _names(root, files).items():
        parts = path.relative_to(root).parts
        split = SPLIT_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None
        yield name, split, partial(_read, path, truths[path], settings)


def find_real(root: Path, settings: RecordingSettings) -> Iterator[FoundTake]:
    """Yield the ``.dat`` below a folder, without ground truth, all in the split test."""
    files = [path for path in entries_below(root) if path.suffix == ".dat"]
    for path, name in _names(root, files).items():
        yield name, "test", partial(_read, path, None, settings)


def find_base(root: Path, settings: RecordingSettings) -> Iterator[FoundTake]:
    """Yield clips of ``<split>/spike`` with their images in ``<split>/gt``.

    An image shows the middle plane, unless the clip's sidecar states another.
    """
    truths: dict[Path, GroundTruthImages | None] = {}
    for clip in folder_entries(root, "*/spike/*.dat"):
        folder = clip.parents[1] / "gt"
        truth = folder / f"{clip.stem}.png"
        if folder.is_dir() and not truth.is_file():
            raise MissingFileError(
                f"{clip}: its ground truth {truth} is missing; add it, or remove the folder gt",
                path=str(truth),
            )
        truths[clip] = None
        if truth.is_file():
            truths[clip] = GroundTruthImages((truth,), planes_of_sidecar(clip, 1))
    check_lengths(truths, settings)
    for clip, images in truths.items():
        yield clip.stem, clip.parents[1].name, partial(_read, clip, images, settings)


def _names(root: Path, files: Sequence[Path]) -> dict[Path, str]:
    """Return the names of recordings, with their folders if several have one name."""
    paths: dict[Path, Path] = {}
    for path in files:
        if (other := paths.setdefault(path.with_suffix(""), path)) != path:
            raise FormatError(
                f"{other} and {path} would both be called {path.stem!r} in an archive; rename or "
                "remove one of them",
                path=str(path),
            )
    stems = Counter(path.stem for path in files)
    return {
        path: path.stem
        if stems[path.stem] == 1
        else "-".join(path.relative_to(root).with_suffix("").parts)
        for path in files
    }


def _recordings(root: Path, files: Sequence[Path]) -> list[Path]:
    """Return the files with one recording; warn of others, except images and sidecars."""
    recordings, others = [], []
    for path in files:
        suffix = path.suffix.lower()
        is_readable = suffix in RECORDING_SUFFIXES
        if suffix in (*IMAGE_SUFFIXES, ".yaml"):
            continue
        reason = _other_content(path) if is_readable else str(path)
        if reason is None:
            recordings.append(path)
        else:
            others.append(reason)
    if others:
        more = f"; and {len(others) - _MAX_NAMED} more" if len(others) > _MAX_NAMED else ""
        warnings.warn(
            f"{root}: left out {len(others)} files that are not recordings: "
            f"{'; '.join(others[:_MAX_NAMED])}{more}",
            stacklevel=4,
        )
    return recordings


def _other_content(path: Path) -> str | None:
    """Return a reason if a file is not one recording, from its header and first planes; else None.

    Damaged files count as recordings: reading them reports the damage.
    """
    suffix = path.suffix.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # repeated when all planes are read
            if suffix == ".npy":
                read_npy(path)
            elif suffix == ".npz":
                read_npz(path, most=_PLANES_CHECKED)
            elif suffix in ARCHIVE_SUFFIXES:
                return _other_hdf5(path)
    except (NotSpikesError, MissingItemError) as error:
        return error.message
    except FormatError:
        pass
    return None


def _other_hdf5(path: Path) -> str | None:
    if not is_archive(path):
        with Hdf5File(path) as file:
            is_plain = read_plain(file, None) is not None
        return None if is_plain else f"{path}: no data set has three axes"
    recordings = len(SpikeArchive(path))
    if recordings == 1:
        return None
    return f"{path}: an archive of {recordings} recordings"


def _read(path: Path, truth: GroundTruthImages | None, settings: RecordingSettings) -> Take:
    if path.suffix.lower() in ARCHIVE_SUFFIXES and is_archive(path):
        archive = SpikeArchive(path)
        if truth is None:
            return read_archived(archive, archive.names()[0], settings)
        check_data(path, archive.names()[0], (SPIKES,))
    recording = open_with_settings(path, settings)
    label = recording.meta.get("label")  # of samples of recognition, in .npz or in the sidecar
    class_index = label if is_class(label) else None
    if class_index is None and isinstance(label, int | float) and not isinstance(label, bool):
        raise FormatError.at(
            path,
            f"label is {label}, expected the index of a class, counted from 0; correct or "
            "remove the label",
        )
    if truth is None:
        return Take(recording, label=class_index)
    return Take(recording, *truth.read(recording, path), label=class_index)


def read_archived(archive: SpikeArchive, name: str, settings: RecordingSettings) -> Take:
    """Read a take of an archive; stated settings override the stored ones."""
    if settings.mirror or settings.rotate:
        raise UsageError(f"{archive.path}: --mirror and --rotate are for .dat, this is an archive")
    take = archive.take(name)
    take.recording.cfa = settings.cfa or take.recording.cfa
    take.recording.rate_scale = settings.rate_scale or take.recording.rate_scale
    take.recording.fps = settings.fps or take.recording.fps
    attach_maps(take.recording, settings.camera, archive.path)
    return take
