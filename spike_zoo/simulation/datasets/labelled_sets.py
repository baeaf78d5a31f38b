"""Readers of labelled images: MNIST, CIFAR-10, Caltech-101, and one folder per class.

The readers check every file and never unpickle, unlike those of torchvision.
"""

import functools
import gzip
import itertools
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.media.frames import images_in
from spike_zoo.media.images import IMAGE_SUFFIXES, load_grey, to_grey
from spike_zoo.simulation.kinds.labelled import LabelledImage, LabelledSet
from spike_zoo.simulation.scenes.photographs import Split
from spike_zoo.utils.files import folder_entries, natural_order

_DIGITS: Final = tuple(str(digit) for digit in range(10))
_UNSIGNED_BYTES: Final = 8  # code of the data type in the header of an idx file
_ADVICE: Final = "copy or download it again"
_CIFAR_FILES: Final = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_CIFAR_PICKLES: Final = ("data_batch_1", "cifar-10-batches-py")
_CIFAR_SIDE: Final = 32
_CIFAR_BYTES: Final = 1 + 3 * _CIFAR_SIDE**2  # label, red channel, green channel, blue channel
_SPLIT_FOLDERS: Final[dict[str, Split]] = {
    **{"train": "train", "val": "val", "test": "test"},
    **{"valid": "val", "validation": "val"},
}


def find_mnist(folder: Path, seed: int) -> LabelledSet:
    """Return the images of MNIST by split.

    The validation split is a tenth of each digit of the training images, drawn by the seed. The
    folder has the four files, plain or ``.gz``, or ``raw`` or ``MNIST/raw`` with these files.
    """
    train, test = (_mnist_images(folder, *names) for names in (("train",) * 2, ("test", "t10k")))
    val, train = draw(train, part(1 / 10), seed, "val")
    return LabelledSet({"train": train, "val": val, "test": test}, _DIGITS)


def find_cifar(folder: Path, seed: int) -> LabelledSet:
    """Return the images of CIFAR-10's binary version by split, from its folder or the parent.

    The validation split is a tenth of each class of the training images, drawn by the seed.
    """
    files = (*_CIFAR_FILES, "test_batch.bin")
    homes = (folder, folder / "cifar-10-batches-bin")
    home = next((home for home in homes if any((home / file).is_file() for file in files)), None)
    if home is None:
        raise _missing_cifar(folder)
    names = _cifar_names(home / "batches.meta.txt")
    train = [image for file in _CIFAR_FILES for image in _cifar_images(home / file, names)]
    val, train = draw(train, part(1 / 10), seed, "val")
    test = _cifar_images(home / "test_batch.bin", names)
    return LabelledSet({"train": train, "val": val, "test": test}, names)


def find_class_folders(folder: Path, seed: int) -> LabelledSet:
    """Return the images of ``<class>/*.png`` or ``{train,val,test}/<class>/*.png`` by split.

    Without folders of splits, a tenth of each class is drawn by the seed for the test split and a
    tenth for the validation split, at least one image of a class with two or more.
    """
    homes = _folders(folder)
    if not homes or not all(home.name in _SPLIT_FOLDERS and _folders(home) for home in homes):
        return _drawn_splits(folder, [home.name for home in homes], seed, test=1 / 10, val=1 / 9)
    classes = {child.name for home in homes for child in _folders(home)}
    names = tuple(sorted(classes, key=natural_order))
    splits: dict[Split, list[LabelledImage]] = {}
    for home in homes:
        images = _class_images(home, names, f"{home.name}-")
        splits.setdefault(_SPLIT_FOLDERS[home.name], []).extend(images)
    return LabelledSet(splits, names)


def find_caltech(folder: Path, seed: int) -> LabelledSet:
    """Return the images of Caltech-101 by split, without its background class.

    The test split is a fifth of each class, drawn by the seed; the validation split is a tenth of
    the remaining images. The folder is ``101_ObjectCategories`` or its parent.
    """
    below = folder / "101_ObjectCategories"
    home = below if below.is_dir() else folder
    names = [child.name for child in _folders(home) if child.name != "BACKGROUND_Google"]
    return _drawn_splits(home, names, seed, test=1 / 5, val=1 / 10)


def _mnist_images(folder: Path, split: str, digits: str) -> list[LabelledImage]:
    images, labels = (
        _mnist_file(folder, digits, what) for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    classes, count = read_idx(labels, 1), len(_idx_images(images))
    if len(classes) != count:
        raise FormatError.at(
            labels,
            f"{len(classes)} labels for the {count} images of {images.name}; they are "
            "of different sets",
        )
    files = images, labels
    return _numbered(labels, classes, _DIGITS, f"{split}-{{:05d}}-digit-{{}}", _idx_image, files)


def _mnist_file(folder: Path, digits: str, what: str) -> Path:
    """Return the path of a file of the data set, which has several usual names."""
    names = [f"{digits}-{what}", f"{digits}-{what.replace('-idx', '.idx')}"]
    for below in ("", "raw", "MNIST/raw"):  # subfolders of torchvision
        for name in (*names, *(f"{name}.gz" for name in names)):
            if (folder / below / name).is_file():
                return folder / below / name
    raise MissingFileError(
        f"{folder}: {names[0]} (or {names[0]}.gz) is missing; the folder must hold MNIST's four "
        "files, see docs/data.md",
        path=str(folder / names[0]),
    )


@functools.lru_cache(maxsize=2)
def _idx_images(path: Path) -> NDArray[np.uint8]:
    """Return all images of a file; cached in each process."""
    return read_idx(path, 3)


def _idx_image(path: Path, number: int) -> NDArray[np.uint8]:
    return _idx_images(path)[number]


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the bytes of an idx file, which ``.gz`` may compress, as an array.

    It must have 1 dimension for labels, and 3 for images.
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
            f"not an idx{dimensions}-ubyte file: begins with {content[:4].hex(' ') or 'nothing'}, "
            f"expected {expected.hex(' ')}; {_ADVICE}",
        )
    shape = np.frombuffer(content, ">u4", dimensions, 4).tolist()
    if len(content) - start != math.prod(shape):
        raise FormatError.at(
            path,
            f"{len(content) - start} bytes after the header, expected {math.prod(shape)} "
            f"({'x'.join(map(str, shape))}); {_ADVICE}",
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _missing_cifar(folder: Path) -> FormatError | MissingFileError:
    """Return the error for a folder without CIFAR-10's binary version."""
    if any((folder / pickled).exists() for pickled in _CIFAR_PICKLES):
        return FormatError.at(
            folder,
            "this is CIFAR-10's Python version, pickles, which can run code and are not "
            "read; download the 'binary version (suitable for C programs)', "
            "cifar-10-binary.tar.gz, and unpack it",
        )
    return MissingFileError(
        f"{folder}: {_CIFAR_FILES[0]} is missing; the folder must hold CIFAR-10's binary "
        "version, cifar-10-batches-bin, see docs/data.md",
        path=str(folder / _CIFAR_FILES[0]),
    )


def _cifar_names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise MissingFileError.at(path, "the names of classes are missing")
    text = path.read_text(encoding="ascii", errors="backslashreplace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != 10 or len(set(names)) != 10:
        raise FormatError.at(
            path, f"{len(set(names))} different names of classes, expected 10, a line each"
        )
    return names


def _cifar_images(path: Path, names: Sequence[str]) -> list[LabelledImage]:
    if not path.is_file():
        raise MissingFileError.at(path, "this file of CIFAR-10 is missing")
    size = path.stat().st_size
    if size == 0 or size % _CIFAR_BYTES:
        raise FormatError.at(
            path,
            f"{size} bytes is not a whole number of images ({_CIFAR_BYTES} bytes each: "
            f"{size // _CIFAR_BYTES} images and {size % _CIFAR_BYTES} bytes over); {_ADVICE}",
        )
    labels = np.fromfile(path, np.uint8)[::_CIFAR_BYTES]
    return _numbered(path, labels, names, f"{path.stem}-{{:05d}}-{{}}", _cifar_image, (path,))


def _cifar_image(path: Path, number: int) -> NDArray[np.uint8]:
    channels = np.fromfile(path, np.uint8, _CIFAR_BYTES - 1, offset=number * _CIFAR_BYTES + 1)
    return to_grey(channels.reshape(3, _CIFAR_SIDE, _CIFAR_SIDE).transpose(1, 2, 0))


def _numbered(
    path: Path,
    labels: NDArray[np.uint8],
    names: Sequence[str],
    name: str,
    read: Callable[[Path, int], NDArray[np.uint8]],
    files: tuple[Path, ...],
) -> list[LabelledImage]:
    """Return the images of the first of the files; ``path`` is the file of the labels."""
    if labels.size and labels.max() >= len(names):
        raise FormatError.at(
            path,
            f"a label is {labels.max()}, expected 0..{len(names) - 1}; the file is damaged, or of "
            "another set",
        )
    return [
        LabelledImage(
            name.format(number, names[label]),
            label,
            names[label],
            functools.partial(read, files[0], number),
            files,
        )
        for number, label in enumerate(labels.tolist())
    ]


def _drawn_splits(
    home: Path, names: Sequence[str], seed: int, *, test: float, val: float
) -> LabelledSet:
    """Draw a share of each class for the test split, then one of the rest for validation."""
    tested, rest = draw(_class_images(home, names), part(test), seed, "test")
    validated, train = draw(rest, part(val), seed, "val")
    return LabelledSet({"train": train, "val": validated, "test": tested}, tuple(names))


def _class_images(home: Path, names: Sequence[str], prefix: str = "") -> list[LabelledImage]:
    """Return the images of all classes, sorted by folder and file name."""
    stray = images_in(home)
    if stray:
        raise FormatError.at(
            stray[0], f"is not in the folder of a class; move it into one, or out of {home}"
        )
    images = []
    for child in (child for child in _folders(home) if child.name in names):
        files = images_in(child)
        if not files:
            raise FormatError.at(
                child,
                f"no image of this class ({', '.join(IMAGE_SUFFIXES)}); remove the "
                "folder, or add images",
            )
        label = names.index(child.name)
        images += [
            LabelledImage(
                f"{prefix}{child.name}-{file.stem}",
                label,
                child.name,
                functools.partial(load_grey, file),
                (file,),
            )
            for file in files
        ]
    if not images:
        raise FormatError.at(
            home,
            "no folder of a class; expected images <class>/*.png or {train,val,test}/<class>/*.png",
        )
    return images


def _folders(home: Path) -> list[Path]:
    return [path for path in folder_entries(home) if path.is_dir()]


class GroupedItem(Protocol):
    """An item of a group: an image of a class, or a clip of a video."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def group(self) -> str:
        """Name of the group."""


Item = TypeVar("Item", bound=GroupedItem)


def draw(
    items: Sequence[Item], count: Callable[[str, int], int], seed: int, what: str
) -> tuple[list[Item], list[Item]]:
    """Draw items of each group; return the drawn and the remaining items in their original order.

    ``count`` returns the number of drawn items from name and size of a group. Draws of groups, and
    those with different names (``what``), are independent.
    """
    drawn: set[str] = set()
    for group, members in _groups(items).items():
        entropy = [seed, zlib.crc32(what.encode()), zlib.crc32(group.encode())]
        order = np.random.default_rng(np.random.SeedSequence(entropy)).permutation(len(members))
        drawn |= {members[number].name for number in order[: count(group, len(members))].tolist()}
    return (
        [item for item in items if item.name in drawn],
        [item for item in items if item.name not in drawn],
    )


def part(share: float) -> Callable[[str, int], int]:
    """Return a ``count`` for :func:`draw`: a share of each group, at least one item of two."""
    return lambda group, size: max(1, round(share * size)) if size > 1 else 0


def even_part(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most ``most`` items: the first items of each group, balanced over groups."""
    groups = [[item.name for item in members] for members in _groups(items).values()]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    selection = set(itertools.islice((name for name in turns if name is not None), most))
    return [item for item in items if item.name in selection]


def _groups(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return groups
