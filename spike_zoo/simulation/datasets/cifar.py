"""Reader of CIFAR-10's binary version; pickles are rejected, because reading them can run code."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import numpy as np

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.media.pictures import to_grey
from spike_zoo.simulation.datasets.sampling import draw, part
from spike_zoo.simulation.kinds.labelled import FoundPictures, LabelledPicture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SIDE: Final = 32
_BYTES: Final = 1 + 3 * _SIDE**2  # label, red channel, green channel, blue channel
_FOLDERS: Final = ("", "cifar-10-batches-bin")
_PICKLES: Final = ("data_batch_1", "cifar-10-batches-py", "cifar-10-batches-py/data_batch_1")
_META: Final = "batches.meta.txt"
_FILES: Final = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
_VAL_SHARE: Final = 0.1


def find_cifar(folder: Path, seed: int) -> FoundPictures:
    """Return the images of CIFAR-10 by split.

    The validation split is a tenth of each class of the training images, drawn by the seed.

    Args:
        folder: Folder of the binary files, or its parent.
        seed: Seed of the draw.
    """
    home = _home(folder)
    names = _label_names(home / _META)
    pictures = {
        split: [picture for file in files for picture in _images(home / file, names)]
        for split, files in _FILES.items()
    }
    val, train = draw(pictures["train"], part(_VAL_SHARE), seed, "val")
    return FoundPictures({"train": train, "val": val, "test": pictures["test"]}, names)


def _home(folder: Path) -> Path:
    """Return the folder of the binary files."""
    for home in (folder / below for below in _FOLDERS):
        if any((home / file).is_file() for files in _FILES.values() for file in files):
            return home
    if any((folder / pickled).exists() for pickled in _PICKLES):
        raise FormatError.at(
            folder,
            "this is CIFAR-10's Python version, pickles, which can run code and are not "
            "read; download the 'binary version (suitable for C programs)', "
            "cifar-10-binary.tar.gz, and unpack it",
        )
    raise MissingFileError(
        f"{folder}: {_FILES['train'][0]} is missing; the folder must hold CIFAR-10's binary "
        "version, cifar-10-batches-bin, see docs/data.md",
        path=str(folder / _FILES["train"][0]),
    )


def _label_names(path: Path) -> tuple[str, ...]:
    """Read the names of the classes, one per line."""
    if not path.is_file():
        raise MissingFileError.at(path, "the names of classes are missing")
    text = path.read_text(encoding="ascii", errors="backslashreplace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != 10 or len(set(names)) != 10:
        raise FormatError.at(
            path, f"{len(set(names))} different names of classes, expected 10, a line each"
        )
    return names


def _images(path: Path, names: Sequence[str]) -> list[LabelledPicture]:
    if not path.is_file():
        raise MissingFileError.at(path, "this file of CIFAR-10 is missing")
    size = path.stat().st_size
    if size == 0 or size % _BYTES:
        raise FormatError.at(
            path,
            f"{size} bytes is not a whole number of images ({_BYTES} bytes each: "
            f"{size // _BYTES} images and {size % _BYTES} bytes over); copy or download it again",
        )
    labels = np.fromfile(path, np.uint8).reshape(-1, _BYTES)[:, 0].tolist()
    if max(labels) >= len(names):
        raise FormatError.at(
            path,
            f"a label is {max(labels)}, expected 0..{len(names) - 1}; the file is damaged, "
            "or of another set",
        )
    return [
        LabelledPicture(
            f"{path.stem}-{number:05d}-{names[label]}",
            label,
            names[label],
            functools.partial(_picture, path, number),
            (path,),
        )
        for number, label in enumerate(labels)
    ]


def _picture(path: Path, number: int) -> NDArray[np.uint8]:
    """Read one image and convert it to grey."""
    with path.open("rb") as file:
        file.seek(number * _BYTES + 1)
        channels = np.frombuffer(file.read(_BYTES - 1), np.uint8)
    return to_grey(channels.reshape(3, _SIDE, _SIDE).transpose(1, 2, 0))
