"""Sets of photographs for scenes: the shipped set, and folders of users."""

import csv
import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spike_zoo.errors import MediaError, MissingFileError, UsageError
from spike_zoo.media.frames import images_in
from spike_zoo.media.images import IMAGE_SUFFIXES
from spike_zoo.simulation.scenes.photograph_copies import PhotographFeatures, copied_photograph
from spike_zoo.simulation.scenes.photographs import (
    PHOTOGRAPHS,
    SHIPPED_FOLDER,
    SPLITS,
    TEST_IMAGES,
    Split,
    bundled_file,
    image_levels,
    photograph_file,
)
from spike_zoo.utils.files import content_sha256

_MIN_COUNT: Final = 4  # photographs of a folder; a texture of leaves contains three
_HIDDEN: Final = 0.05  # smallest share of transparent pixels of a cut-out


@dataclass(frozen=True)
class PhotographSet:
    """Photographs of scenes."""

    #: names of :func:`photograph` by split; no photograph is in two splits
    names: Mapping[Split, tuple[str, ...]]
    #: images with opacity that become moving objects of training scenes, as URIs
    cutouts: tuple[str, ...] = ()
    name: str = ""  #: name of the set; empty for the photographs of scikit-image and scikit-learn
    sha256: str = ""  #: checksum of the files


BUNDLED: Final = PhotographSet(PHOTOGRAPHS)
"""The photographs of scikit-image and scikit-learn."""


@functools.cache
def shipped_photographs() -> PhotographSet:
    """Return the photographs that ship with this package, listed in their table."""
    with (SHIPPED_FOLDER / "table.tsv").open(encoding="utf-8", newline="") as stream:
        files = [(row["split"], row["file"]) for row in csv.DictReader(stream, delimiter="\t")]
    names = {
        split: tuple(f"default/{Path(file).stem}" for place, file in files if place == split)
        for split in SPLITS
    }
    return PhotographSet(
        names, name="default", sha256=content_sha256(SHIPPED_FOLDER / file for _, file in files)
    )


def photograph_set(source: str, size: tuple[int, int] = (1, 1)) -> PhotographSet:
    """Return the shipped set, or the set with the photographs of a folder for training.

    Validation and test photographs are always those of the shipped set. Photographs of the folder
    that are also validation photographs are left out, with a warning.

    Args:
        source: ``default`` for the shipped set, or a folder.
        size: Height and width of a training scene, which a photograph must cover.

    Raises:
        MissingFileError: If there is no such folder.
        MediaError: If a file cannot be read, is smaller than a scene or shows a test photograph.
        UsageError: If the folder has fewer than four photographs.
    """
    shipped = shipped_photographs()
    if source == shipped.name:
        return shipped
    folder = Path(source).absolute()
    if not folder.is_dir():
        raise MissingFileError(
            f"--photographs {source}: there is no such folder; give a folder of photographs, or "
            "default for the shipped ones",
            path=source,
        )
    files = images_in(folder)
    sizes = {file: (1, 1) if _is_cutout(file) else size for file in files}
    remaining = _for_training(sizes)
    cutouts = [file for file in remaining if _is_cutout(file)]
    photographs = [file for file in remaining if file not in cutouts]
    if len(photographs) < _MIN_COUNT:
        raise UsageError(
            f"--photographs {source}: {len(photographs)} photographs in this folder, expected at "
            f"least {_MIN_COUNT} ({', '.join(IMAGE_SUFFIXES)}); add some, or give default"
        )
    return PhotographSet(
        {**shipped.names, "train": tuple(file.as_uri() for file in photographs)},
        cutouts=tuple(file.as_uri() for file in cutouts),
        name=folder.resolve().name,
        sha256=content_sha256(
            [*photographs, *cutouts, *_shipped_files("val"), *_shipped_files("test")]
        ),
    )


def _shipped_files(split: Split) -> list[Path]:
    return [photograph_file(name) for name in shipped_photographs().names[split]]


def _is_cutout(file: Path) -> bool:
    """Return whether an image has transparent parts; raise MediaError if all are."""
    try:
        with Image.open(file) as image:
            if not image.has_transparency_data:
                return False
            opacity = image.convert("RGBA").getchannel("A")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False  # the error is reported when the file is read as a photograph
    if opacity.getbbox() is None:
        raise MediaError.at(file, "the image is transparent everywhere; remove it")
    return float((np.asarray(opacity) < 128).mean()) >= _HIDDEN


def _for_training(sizes: Mapping[Path, tuple[int, int]]) -> list[Path]:
    """Check images of these least sizes, and leave out those of the validation split."""
    test, val = _known_features("test"), _known_features("val")
    remaining: list[Path] = []
    left_out: list[Path] = []
    for file, size in sizes.items():
        levels = _checked_levels(file, size)
        if name := copied_photograph(levels, test):
            raise MediaError.at(
                file,
                f"this shows the test photograph {name}, which training must not show; remove it",
            )
        (left_out if copied_photograph(levels, val) else remaining).append(file)
    if left_out:
        names = ", ".join(file.name for file in left_out)
        warnings.warn(f"validation photographs are left out of training: {names}", stacklevel=3)
    return remaining


def _checked_levels(file: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a photograph that is at least as large as a scene."""
    try:
        levels = image_levels(file)
    except MediaError as error:
        raise MediaError(f"{error.message}; or remove the file", path=str(file)) from error
    if levels.shape[0] < size[0] or levels.shape[1] < size[1]:
        raise MediaError.at(
            file,
            f"{levels.shape[0]} x {levels.shape[1]} pixels, smaller than a scene of {size[0]} x "
            f"{size[1]}; remove it, or give smaller --height and --width",
        )
    return levels


@functools.cache
def _known_features(split: Split) -> dict[str, PhotographFeatures]:
    """Return features of a split's photographs that training must not show, by name."""
    bundled = {bundled_file(name) for name, *_ in TEST_IMAGES.values()} if split == "test" else ()
    files = [*_shipped_files(split), *bundled]
    return {file.stem: PhotographFeatures.of(image_levels(file)) for file in files}
