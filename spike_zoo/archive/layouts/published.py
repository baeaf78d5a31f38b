"""Layouts of published data sets: Spike-Zoo's base set, real recordings, BSS and SREDS."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spike_zoo.archive.layouts.camera import Camera
from spike_zoo.archive.layouts.ground_truth import GroundTruthImages, check_lengths
from spike_zoo.archive.layouts.image_files import read_grey
from spike_zoo.errors import FormatError, GeometryError, MissingFileError
from spike_zoo.files import entries_below, listed, natural_order
from spike_zoo.formats.dat import DatLayout
from spike_zoo.formats.sidecar import own_sidecar
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import Take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

#: Name, split and reader of a take.
Found = tuple[str, str | None, "Callable[[], Take]"]

BASE = Camera(250, 400, rate_scale=0.6)
#: Layout -> camera of the real recordings without ground truth.
REAL = {
    "recvidar": Camera(250, 400),
    "momvidar": Camera(250, 400),
    "bss": Camera(1000, 1000, cfa="BGGR"),  # of upright images, as the authors' loaders read them
}
SREDS_PLANES = 20  # planes per file, from one image to the next
SREDS_FILES = 4  # fewest files with a window of 61 planes around an image
SREDS_RATE_SCALE = 0.4
SREDS_FPS = 120.0 * SREDS_PLANES  # frame rate of the video times planes per image


class SredsPart(NamedTuple):
    """One half of SREDS: split, folders of spikes and images, height and width."""

    split: str
    spikes: str
    images: str
    size: tuple[int, int]


SREDS_PARTS = (
    SredsPart(
        "train",
        "crop_mini/spike/train/interp_20_alpha_0.40",
        "crop_mini/image/train/train_orig",
        (96, 96),
    ),
    SredsPart("val", "spike/val/interp_20_alpha_0.40", "imgs/val/val_orig", (720, 1280)),
)


def find_base(root: Path, camera: Camera) -> Iterator[Found]:
    """Yield clips of ``<split>/spike`` with their images in ``<split>/gt``.

    An image shows the middle plane, unless the clip's sidecar states another.
    """
    truths: dict[Path, GroundTruthImages | None] = {}
    for clip in listed(root, "*/spike/*.dat"):
        home = clip.parent.parent
        truth = home / "gt" / f"{clip.stem}.png"
        if (home / "gt").is_dir() and not truth.is_file():
            raise MissingFileError(
                f"{clip}: its ground truth {truth} is missing; add it, or remove the folder gt",
                path=str(truth),
            )
        stated = own_sidecar(clip).planes
        truths[clip] = GroundTruthImages((truth,), stated) if truth.is_file() else None
    check_lengths(truths, lambda clip: camera.read(clip, BASE))
    for clip, images in truths.items():
        home = clip.parent.parent
        yield clip.stem, home.name, partial(_read_base_clip, clip, images, camera)


def _read_base_clip(clip: Path, truth: GroundTruthImages | None, camera: Camera) -> Take:
    recording = camera.read(clip, BASE)
    return Take(recording) if truth is None else Take(recording, *truth.read(recording, clip))


def find_real(root: Path, camera: Camera, layout: str) -> Iterator[Found]:
    """Yield the recordings of a data set in :data:`REAL`: ``.dat`` without ground truth."""
    files = [path for path in entries_below(root) if path.suffix == ".dat"]
    stems = Counter(path.stem for path in files)
    for path in files:
        parts = path.relative_to(root).with_suffix("").parts
        name = path.stem if stems[path.stem] == 1 else "-".join(parts)
        yield name, "test", partial(_read_real, path, camera, REAL[layout])


def _read_real(path: Path, camera: Camera, usual: Camera) -> Take:
    return Take(camera.read(path, usual))


def is_sreds(root: Path) -> bool:
    """Return whether a folder has the folders of SREDS's spikes."""
    return any((root / part.spikes).is_dir() for part in SREDS_PARTS)


def find_sreds(root: Path, camera: Camera) -> Iterator[Found]:
    """Yield the scenes of SREDS: first the training crops, then validation, if they exist.

    File n of a scene (from 0) contains planes ``20 n .. 20 n + 19``; image n belongs to plane
    ``20 n - 1``, the last plane of file n - 1. The first image is before the first plane and is
    left out.
    """
    if not is_sreds(root):
        folders = " nor ".join(str(root / part.spikes) for part in SREDS_PARTS)
        raise MissingFileError(f"{root}: this is not SREDS: neither {folders} exists")
    for part in SREDS_PARTS:
        if not (root / part.spikes).is_dir():
            continue
        size = camera.height or part.size[0], camera.width or part.size[1]
        scenes = {scene: _files(root, part, scene) for scene in _scenes(root, part)}
        _check_complete(scenes)
        for scene, pairs in scenes.items():
            for spikes, _ in pairs:
                _check_spikes(spikes, size)
            yield scene, part.split, partial(_read_sreds, pairs, size, camera)


def _scenes(root: Path, part: SredsPart) -> list[str]:
    """Return the union of the scenes in the folders of spikes and of images."""
    folders = [root / part.spikes, root / part.images]
    for folder in folders:
        if not folder.is_dir():
            raise MissingFileError.at(folder, "this folder is missing")
    names = {path.name for folder in folders for path in listed(folder) if path.is_dir()}
    return sorted(names, key=natural_order)


def _files(root: Path, part: SredsPart, scene: str) -> list[tuple[Path, Path]]:
    """Return the paths of spikes and image for every name that has either, in order."""
    spikes, images = root / part.spikes / scene, root / part.images / scene
    names = {path.stem for path in (*listed(spikes, "*.dat"), *listed(images, "*.png"))}
    ordered = sorted(names, key=natural_order)
    return [(spikes / f"{name}.dat", images / f"{name}.png") for name in ordered]


def _check_complete(scenes: dict[str, list[tuple[Path, Path]]]) -> None:
    missing = {
        scene: next(path for pair in pairs for path in pair if not path.is_file())
        for scene, pairs in scenes.items()
        if not all(path.is_file() for pair in pairs for path in pair)
    }
    if missing:
        scene, path = next(iter(missing.items()))
        others = f" ({len(missing) - 1} more scenes lack files)" if len(missing) > 1 else ""
        raise MissingFileError.at(
            path,
            f"missing from scene {scene}{others}; add it, or remove the scene's folders of "
            "spikes and images",
        )
    for scene, pairs in scenes.items():
        if len(pairs) < SREDS_FILES:
            raise FormatError(
                f"scene {scene} has {len(pairs)} files of spikes, but a window of 61 planes needs "
                f"at least {SREDS_FILES}; add the others or remove its folders",
                path=scene,
            )


def _check_spikes(path: Path, size: tuple[int, int]) -> None:
    expected = DatLayout(*size).bytes_for(SREDS_PLANES)
    if (actual := path.stat().st_size) != expected:
        raise GeometryError.at(
            path,
            f"{actual} bytes, expected {expected} ({SREDS_PLANES} planes of "
            f"{size[0]}x{size[1]}). The file is truncated or the size is wrong: copy it again, "
            "or pass --height and --width",
        )


def _read_sreds(pairs: Sequence[tuple[Path, Path]], size: tuple[int, int], camera: Camera) -> Take:
    parts = [camera.read(spikes, Camera(*size)) for spikes, _ in pairs]
    _, height, width = parts[0].shape
    recording = SpikeRecording(
        np.concatenate([part.packed for part in parts]),
        width,
        fps=camera.fps or SREDS_FPS,
        rate_scale=camera.rate_scale or SREDS_RATE_SCALE,
        meta=parts[0].meta | {"source": pairs[0][0].parent.name},
    )
    images = [read_grey(path, (height, width)) for _, path in pairs[1:]]
    index = SREDS_PLANES * np.arange(1, len(pairs)) - 1
    return Take(recording, images=np.stack(images), image_index=index)
