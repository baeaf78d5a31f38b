"""Readers of pictures in one folder per class, including Caltech-101."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.files import listed, natural_order
from spike_zoo.media.frames import images_in
from spike_zoo.media.pictures import PICTURE_SUFFIXES, load_grey
from spike_zoo.simulation.datasets.sampling import draw, part
from spike_zoo.simulation.kinds.labelled import FoundPictures, LabelledPicture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spike_zoo.simulation.scenes.photographs import Split

_SPLIT_FOLDERS: Final[dict[str, Split]] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_CALTECH: Final = "101_ObjectCategories"
_CLUTTER: Final = "BACKGROUND_Google"  # the background class, not one of the 101 objects


def find_class_folders(folder: Path, seed: int) -> FoundPictures:
    """Return the pictures of ``<class>/*.png`` or ``{train,val,test}/<class>/*.png`` by split.

    Without folders of splits, a tenth of each class is drawn for the test split and a tenth for the
    validation split, at least one picture of a class with two or more.

    Args:
        folder: Folder of the classes or of the splits.
        seed: Seed of the draws.
    """
    _check_folder(folder)
    homes = _folders(folder)
    if homes and all(home.name in _SPLIT_FOLDERS and _folders(home) for home in homes):
        classes = {place.name for home in homes for place in _folders(home)}
        names = tuple(sorted(classes, key=natural_order))
        splits: dict[Split, list[LabelledPicture]] = {}
        for home in homes:
            split = _SPLIT_FOLDERS[home.name]
            splits.setdefault(split, []).extend(_pictures(home, names, f"{home.name}-"))
        return FoundPictures(splits, names)
    names = tuple(home.name for home in homes)
    test, rest = draw(_pictures(folder, names), part(1 / 10), seed, "test")
    val, train = draw(rest, part(1 / 9), seed, "val")
    return FoundPictures({"train": train, "val": val, "test": test}, names)


def find_caltech(folder: Path, seed: int) -> FoundPictures:
    """Return the pictures of Caltech-101 by split, without its background class.

    The test split is a fifth of each class, drawn by the seed; the validation split is a tenth of
    the remaining pictures.

    Args:
        folder: ``101_ObjectCategories`` or its parent.
        seed: Seed of the draws.
    """
    _check_folder(folder)
    home = folder / _CALTECH if (folder / _CALTECH).is_dir() else folder
    names = tuple(place.name for place in _folders(home) if place.name != _CLUTTER)
    test, rest = draw(_pictures(home, names), part(1 / 5), seed, "test")
    val, train = draw(rest, part(1 / 10), seed, "val")
    return FoundPictures({"train": train, "val": val, "test": test}, names)


def _pictures(home: Path, names: Sequence[str], prefix: str = "") -> list[LabelledPicture]:
    """Return the pictures of all classes, sorted by folder and file name."""
    stray = images_in(home)
    if stray:
        raise FormatError.at(
            stray[0], f"is not in the folder of a class; move it into one, or out of {home}"
        )
    pictures = []
    for place in _folders(home):
        if place.name not in names:
            continue
        files = images_in(place)
        if not files:
            raise FormatError.at(
                place,
                f"no picture of this class ({', '.join(PICTURE_SUFFIXES)}); remove the "
                "folder, or add pictures",
            )
        label = names.index(place.name)
        pictures += [
            LabelledPicture(
                f"{prefix}{place.name}-{file.stem}",
                label,
                place.name,
                functools.partial(load_grey, file),
                (file,),
            )
            for file in files
        ]
    if not pictures:
        raise FormatError.at(
            home,
            "no folder of a class; expected pictures <class>/*.png or "
            "{train,val,test}/<class>/*.png",
        )
    return pictures


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise MissingFileError.at(folder, "there is no such folder")


def _folders(home: Path) -> list[Path]:
    return [path for path in listed(home) if path.is_dir()]
