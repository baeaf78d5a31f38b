"""Anyone's folder: recordings anywhere below it, pictures beside them."""

from __future__ import annotations

import warnings
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from spike_zoo.archive.schema import USUAL_SPLITS
from spike_zoo.archive.truth import PictureFiles, Truth, check_lengths
from spike_zoo.errors import FormatError
from spike_zoo.formats.recording import ARCHIVE_SUFFIXES, RECORDING_SUFFIXES
from spike_zoo.formats.sidecar import is_class
from spike_zoo.spikes.take import Take

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spike_zoo.archive.camera import Camera
    from spike_zoo.archive.published import Found

RECORDINGS = tuple(suffix for suffix in RECORDING_SUFFIXES if suffix not in ARCHIVE_SUFFIXES)
#: What a first folder is called, in small letters -> its split.
SPLIT_FOLDERS = {name: name for name in USUAL_SPLITS} | {"valid": "val", "validation": "val"}


def find_folder(root: Path, camera: Camera) -> Iterator[Found]:
    """Yield every recording below a folder, or the one file, with the pictures beside it.

    A first folder named train, val (valid, validation) or test, in any case, is the split.
    Warns of pictures that belong to no recording.
    """
    if root.is_file():
        folder = root.with_suffix("")
        near = [*root.parent.iterdir(), *(folder.iterdir() if folder.is_dir() else ())]
        yield root.stem, None, partial(_read, root, PictureFiles(near).of(root), camera)
        return
    everything = sorted(root.rglob("*"))
    files = [path for path in everything if path.suffix.lower() in RECORDINGS]
    pictures = PictureFiles(everything)
    truths = {path: pictures.of(path) for path in files}
    check_lengths(truths, camera.read)
    if files and (lone := pictures.lone()):
        warnings.warn(
            f"{root}: {len(lone)} pictures belong to no recording, {lone[0]} is the first; a "
            "recording clip.dat takes clip.png, or clip/000150.png for its plane 150",
            stacklevel=2,
        )
    stems = Counter(path.stem for path in files)
    for path, truth in truths.items():
        parts = path.relative_to(root).with_suffix("").parts
        split = SPLIT_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None
        name = path.stem if stems[path.stem] == 1 else "-".join(parts)
        yield name, split, partial(_read, path, truth, camera)


def _read(path: Path, truth: Truth | None, camera: Camera) -> Take:
    recording = camera.read(path)
    label = recording.meta.get("label")  # samples of recognition, in .npz or by their sidecar
    known = label if is_class(label) else None
    if known is None and isinstance(label, int | float) and not isinstance(label, bool):
        raise FormatError(
            f"{path}: label is {label}, expected the index of a class, counted from 0; leave it "
            "out where there is none",
            path=str(path),
        )
    if truth is None:
        return Take(recording, label=known)
    return Take(recording, *truth.read(recording, path), label=known)
