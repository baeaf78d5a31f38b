"""Photographs from scikit-image and scikit-learn, divided into disjoint splits."""

from __future__ import annotations

import functools
import importlib.util
import itertools
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from spike_zoo.errors import MissingFileError
from spike_zoo.media.image_files import read_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")

_SKLEARN: Final = ("china", "flower")

PHOTOGRAPHS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "train": (
            "coffee",
            "motorcycle_left",
            "rocket",
            "grass",
            "retina",
            "brick",
            "ihc",
            "page",
            "motorcycle_right",
            "moon",
            "text",
            "hubble_deep_field",
        ),
        "val": ("camera", "gravel"),
        "test": ("astronaut", "chelsea", "coins"),
    }
)
"""Photographs by split. The astronaut is used in tests only; the motorcycles are one scene."""


TEST_PICTURES: Final[Mapping[str, tuple[str, slice, slice]]] = MappingProxyType(
    {
        "coins-upper": ("coins", slice(0, 151), slice(None)),
        "astronaut-upper": ("astronaut", slice(0, 256), slice(None)),
        "chelsea": ("chelsea", slice(None), slice(None)),
        "china-left": ("china", slice(None), slice(0, 320)),
        "flower": ("flower", slice(None), slice(None)),
        "astronaut-lower": ("astronaut", slice(256, None), slice(None)),
        "coins-lower": ("coins", slice(151, None), slice(None)),
        "china-right": ("china", slice(None), slice(320, None)),
    }
)
"""Eight test pictures from five photographs, three of which are divided into two halves.

Name -> file, rows and columns.
"""


@functools.lru_cache(maxsize=8)
def photograph(name: str) -> NDArray[np.float32]:
    """Return a photograph, R,G,B ``(3, H, W)`` in [0, 1]; a read-only cached array.

    The 8-bit levels of the file are used as luminance, as in the data sets of the papers.

    Raises:
        ValueError: If there is no photograph of that name.
        MissingFileError: If the installed package does not contain the file.
    """
    file, *part = TEST_PICTURES.get(name, (name, slice(None), slice(None)))
    known = {*itertools.chain(*PHOTOGRAPHS.values()), *TEST_PICTURES}
    if name not in known:
        raise ValueError(f"no photograph is called {name!r}; known are {', '.join(sorted(known))}")
    levels = read_image(_path(file))[tuple(part)]
    if levels.ndim == 2:
        levels = np.repeat(levels[..., None], 3, axis=2)
    image = np.ascontiguousarray(levels.transpose(2, 0, 1), dtype=np.float32)
    image /= np.float32(255)
    image.setflags(write=False)
    return image


def _path(name: str) -> Path:
    """Return the file of a photograph in its package."""
    package, inside = ("sklearn", "datasets/images") if name in _SKLEARN else ("skimage", "data")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingFileError(f"the scenes need the photographs of {package}; install it")
    folder = Path(spec.origin).parent / inside
    for suffix in (".png", ".jpg"):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    raise MissingFileError(
        f"the photograph {name!r} is not in {folder}: install {package} from its wheel, which "
        "brings the photographs"
    )
