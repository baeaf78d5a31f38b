"""Reader of MNIST and data sets of its format: four idx files in a folder."""

from __future__ import annotations

import functools
import gzip
import math
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from spike_zoo.errors import FormatError, MissingFileError, UsageError
from spike_zoo.simulation.datasets.sampling import draw, part
from spike_zoo.simulation.kinds.labelled import FoundPictures, LabelledPicture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_NAMES: Final = tuple(str(digit) for digit in range(10))
_FOLDERS: Final = ("", "raw", "MNIST/raw")  # subfolders of torchvision
_PARTS: Final = {"train": "train", "test": "t10k"}
_VAL_SHARE: Final = 0.1
_UNSIGNED_BYTES: Final = 8  # code of the data type in the header of an idx file
_ADVICE: Final = "copy or download it again"


def find_mnist(folder: Path, seed: int, balanced: int | None = None) -> FoundPictures:
    """Return the images of MNIST by split.

    The validation split is a tenth of each digit of the training images, drawn by the seed.

    Args:
        folder: Folder of the four files, plain or ``.gz``, or of ``raw`` or ``MNIST/raw`` with
            these files.
        seed: Seed of the draws.
        balanced: Number of images of each digit that are drawn from the whole set for the test
            split; the other images are for training. None uses the split of the data set.

    Raises:
        UsageError: If a digit has no more than ``balanced`` images.
    """
    train, test = (_images(folder, name, digits) for name, digits in _PARTS.items())
    if balanced is not None:
        needed = balanced

        def count(label: str, size: int) -> int:
            if size <= needed:
                raise UsageError(
                    f"--balanced must be below {size}, the images of {label!r}; got {needed}"
                )
            return needed

        test, train = draw([*train, *test], count, seed, "test")
    val, train = draw(train, part(_VAL_SHARE), seed, "val")
    return FoundPictures({"train": train, "val": val, "test": test}, _NAMES)


def _images(folder: Path, split: str, digits: str) -> list[LabelledPicture]:
    images, labels = (
        _file(folder, digits, what) for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    classes, count = read_idx(labels, 1), len(_pictures(images))
    if len(classes) != count:
        raise FormatError.at(
            labels,
            f"{len(classes)} labels for the {count} images of {images.name}; they are "
            "of different sets",
        )
    if classes.size and classes.max() >= len(_NAMES):
        raise FormatError.at(labels, f"a label is {classes.max()}, expected 0..{len(_NAMES) - 1}")
    return [
        LabelledPicture(
            f"{split}-{number:05d}-digit-{label}",
            label,
            _NAMES[label],
            functools.partial(_picture, images, number),
            (images, labels),
        )
        for number, label in enumerate(classes.tolist())
    ]


def _file(folder: Path, digits: str, what: str) -> Path:
    """Return the path of a file of the data set, which has several usual names."""
    names = [f"{digits}-{what}", f"{digits}-{what.replace('-idx', '.idx')}"]
    for below in _FOLDERS:
        for name in (*names, *(f"{name}.gz" for name in names)):
            if (folder / below / name).is_file():
                return folder / below / name
    raise MissingFileError(
        f"{folder}: {names[0]} (or {names[0]}.gz) is missing; the folder must hold MNIST's four "
        "files, see docs/data.md",
        path=str(folder / names[0]),
    )


@functools.lru_cache(maxsize=2)
def _pictures(path: Path) -> NDArray[np.uint8]:
    """Return all images of a file; cached in each process."""
    return read_idx(path, 3)


def _picture(path: Path, number: int) -> NDArray[np.uint8]:
    return _pictures(path)[number]


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the bytes of an idx file as an array.

    Args:
        path: The file; a file with the suffix ``.gz`` is decompressed.
        dimensions: Required number of dimensions: 1 for labels, 3 for images.

    Raises:
        FormatError: If the file is damaged or has another type or number of dimensions.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content = file.read()  # the complete file: a damaged header may state any size
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError.at(path, f"damaged or cut short ({error}); {_ADVICE}") from error
    expected, start = bytes([0, 0, _UNSIGNED_BYTES, dimensions]), 4 + 4 * dimensions
    if content[:4] != expected or len(content) < start:
        raise FormatError.at(
            path,
            f"begins with {content[:4].hex(' ') or 'nothing'}, expected "
            f"{expected.hex(' ')}: no idx file of bytes with {dimensions} dimensions; {_ADVICE}",
        )
    shape = np.frombuffer(content, ">u4", dimensions, 4).tolist()
    if len(content) - start != math.prod(shape):
        raise FormatError.at(
            path,
            f"{len(content) - start} bytes after the header, expected {math.prod(shape)} "
            f"({'x'.join(map(str, shape))}); {_ADVICE}",
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
