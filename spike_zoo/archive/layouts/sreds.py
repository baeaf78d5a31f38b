"""Layout of SREDS: scenes of files of 20 planes, each with an image."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.archive.layouts.ground_truth import FoundTake, open_with_settings
from spike_zoo.errors import FormatError, GeometryError, MissingFileError
from spike_zoo.formats.dat import DatLayout
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.media.image_files import read_image
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import Take, grey
from spike_zoo.utils.files import folder_entries, natural_order

_PLANES = 20  # planes per file, from one image to the next
_MIN_FILES = 4  # with a window of 61 planes around an image
_SPEED = 120.0 * _PLANES  # frame rate of the video times planes per image


class SredsPart(NamedTuple):
    """One half of SREDS: split, folders of spikes and images, height and width."""

    split: str
    spikes: str
    images: str
    size: tuple[int, int]


_FOLDER = "interp_20_alpha_0.40"
SREDS_PARTS = (
    SredsPart(
        *("train", f"crop_mini/spike/train/{_FOLDER}", "crop_mini/image/train/train_orig"), (96, 96)
    ),
    SredsPart("val", f"spike/val/{_FOLDER}", "imgs/val/val_orig", (720, 1280)),
)


def is_sreds(root: Path) -> bool:
    """Return whether a folder has the folders of SREDS's spikes."""
    return any((root / part.spikes).is_dir() for part in SREDS_PARTS)


def find_sreds(root: Path, settings: RecordingSettings) -> Iterator[FoundTake]:
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
        size = settings.height or part.size[0], settings.width or part.size[1]
        scenes = {scene: _files(root, part, scene) for scene in _scenes(root, part)}
        _check_complete(scenes)
        for scene, pairs in scenes.items():
            for spikes, _ in pairs:
                _check_spikes(spikes, size)
            usual = RecordingSettings(*size, rate_scale=0.4, fps=_SPEED)
            yield scene, part.split, partial(_read_sreds, pairs, replace(settings, usual=usual))


def _scenes(root: Path, part: SredsPart) -> list[str]:
    """Return the union of the scenes in the folders of spikes and of images."""
    folders = [root / part.spikes, root / part.images]
    for folder in folders:
        if not folder.is_dir():
            raise MissingFileError.at(folder, "this folder is missing")
    names = {path.name for folder in folders for path in folder_entries(folder) if path.is_dir()}
    return sorted(names, key=natural_order)


def _files(root: Path, part: SredsPart, scene: str) -> list[tuple[Path, Path]]:
    """Return the paths of spikes and image for every name that has either, in order."""
    spikes, images = root / part.spikes / scene, root / part.images / scene
    names = {
        path.stem for path in (*folder_entries(spikes, "*.dat"), *folder_entries(images, "*.png"))
    }
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
        if len(pairs) < _MIN_FILES:
            raise FormatError(
                f"scene {scene} has {len(pairs)} files of spikes, but a window of 61 planes needs "
                f"at least {_MIN_FILES}; add the others or remove its folders",
                path=scene,
            )


def _check_spikes(path: Path, size: tuple[int, int]) -> None:
    expected = DatLayout(*size).bytes_for(_PLANES)
    if (actual := path.stat().st_size) != expected:
        raise GeometryError.at(
            path,
            f"{actual} bytes, expected {expected} ({_PLANES} planes of "
            f"{size[0]}x{size[1]}). The file is truncated or the size is wrong: copy it again, "
            "or pass --height and --width",
        )


def _read_sreds(pairs: Sequence[tuple[Path, Path]], settings: RecordingSettings) -> Take:
    parts = [open_with_settings(spikes, settings) for spikes, _ in pairs]
    _, height, width = parts[0].shape
    recording = SpikeRecording(
        np.concatenate([part.packed for part in parts]),
        width,
        fps=parts[0].fps,
        rate_scale=parts[0].rate_scale,
        threshold=parts[0].threshold,
        meta=parts[0].meta | {"source": pairs[0][0].parent.name},
        maps=parts[0].maps,
    )
    images = [_read_grey(path, (height, width)) for _, path in pairs[1:]]
    index = _PLANES * np.arange(1, len(pairs)) - 1
    return Take(recording, images=np.stack(images), image_index=index)


def _read_grey(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Read an image of exactly the given height and width as grey in [0, 1]."""
    image = read_image(path)
    if image.shape[:2] != size:
        raise FormatError.at(
            path, f"{image.shape[0]}x{image.shape[1]} pixels, its spikes have {size[0]}x{size[1]}"
        )
    luma = grey(image)
    white = np.float32(255 if luma.dtype == np.uint8 else 1)
    return np.asarray(luma / white, dtype=np.float32)
