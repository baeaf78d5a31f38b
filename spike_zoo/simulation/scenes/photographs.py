"""The photographs that ship inside scikit-image, shared out so that no two splits see the same."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from spike_zoo.errors import MissingFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")

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
"""Photographs by split. The astronaut is for tests only; the two motorcycles are one scene."""


@functools.lru_cache(maxsize=8)
def photograph(name: str) -> NDArray[np.float32]:
    """Return a photograph, R,G,B ``(3, H, W)`` in [0, 1]; read-only, as it is shared.

    Values are those of the file: 8-bit levels are taken as luminance, as the papers' sets do.

    Raises:
        ValueError: If no split has a photograph of that name.
        MissingFileError: If the installed scikit-image does not bring the file.
    """
    if not any(name in names for names in PHOTOGRAPHS.values()):
        raise ValueError(f"no photograph is called {name!r}; there are {dict(PHOTOGRAPHS)}")
    from skimage import io

    levels = np.asarray(io.imread(_path(name)))
    if levels.ndim == 2:
        levels = np.repeat(levels[..., None], 3, axis=2)
    image = np.ascontiguousarray(levels[..., :3].transpose(2, 0, 1), dtype=np.float32)
    image /= np.float32(255)
    image.setflags(write=False)
    return image


def _path(name: str) -> Path:
    """Return the file of a photograph, looking only where scikit-image is installed."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise MissingFileError("the scenes need scikit-image: pip install scikit-image")
    folder = Path(package.origin).parent / "data"
    for suffix in (".png", ".jpg"):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    raise MissingFileError(
        f"scikit-image's photograph {name!r} is not in {folder}: install scikit-image from its "
        "wheel, which brings the photographs"
    )
