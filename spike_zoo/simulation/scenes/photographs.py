"""Photographs by name: of scikit-image and scikit-learn, of the shipped set, and of files."""

import functools
import importlib.util
import itertools
import math
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spike_zoo.errors import MissingFileError
from spike_zoo.media.image_files import read_image

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")

SHIPPED_FOLDER: Final = Path(__file__).resolve().parents[1] / "photographs"
"""Folder of the photographs that ship with this package."""
MAX_SIDE: Final = 640
"""Longest side of the shipped photographs; photographs of users are reduced to it."""

_SKLEARN: Final = ("china", "flower")

PHOTOGRAPHS: Final[Mapping[Split, tuple[str, ...]]] = MappingProxyType(
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


TEST_IMAGES: Final[Mapping[str, tuple[str, slice, slice]]] = MappingProxyType(
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
"""Eight test images from five photographs, three of which are divided into two halves.

Name -> file, rows and columns.
"""


@functools.lru_cache(maxsize=8)
def photograph(name: str) -> NDArray[np.float32]:
    """Return a photograph, R,G,B ``(3, H, W)`` in [0, 1]; a read-only cached array.

    The 8-bit levels of the file are used as luminance, as in the data sets of the papers.

    Args:
        name: A name of :data:`PHOTOGRAPHS` or :data:`TEST_IMAGES`, ``default/NAME`` for a
            photograph that ships with this package, or the URI (``file://``) of a user's file.

    Raises:
        ValueError: If there is no photograph of that name.
        MissingFileError: If the file does not exist.
        MediaError: If the file is no image that can be read.
    """
    levels = _bundled(name) if "/" not in name else _reduced(image_levels(photograph_file(name)))
    image = np.ascontiguousarray(levels.transpose(2, 0, 1), dtype=np.float32)
    image /= np.float32(255)
    image.setflags(write=False)
    return image


def cutout(name: str, side: int) -> NDArray[np.float32]:
    """Return the image at a ``file://`` URI with opacity, R,G,B and opacity ``(4, side, side)``.

    Values are in [0, 1]. The visible part is centred, and as large as fits into the inscribed
    circle at any rotation.
    """
    with Image.open(photograph_file(name)) as file:
        image = file.convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox())
    scale = (side - 4) / math.hypot(*image.size)
    size = [max(1, math.floor(scale * length)) for length in image.size]
    # premultiplied, so that hidden colours do not reach the edges
    image = image.convert("RGBa").resize((size[0], size[1]), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (side, side))
    canvas.paste(image.convert("RGBA"), ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(canvas, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)


def image_levels(file: Path) -> NDArray[np.uint8]:
    """Read an image of any type as R,G,B in 8 bits, ``(H, W, 3)``."""
    values = read_image(file)
    if values.dtype != np.uint8:
        white = 1.0 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        values = np.rint(values * (255.0 / white)).astype(np.uint8)
    return np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values


def _reduced(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce a photograph to the longest side of the shipped set, so that scenes look alike."""
    scale = MAX_SIDE / max(levels.shape[:2])
    if scale >= 1:
        return levels
    rows, columns = (max(1, round(side * scale)) for side in levels.shape[:2])
    image = Image.fromarray(levels).resize((columns, rows), Image.Resampling.LANCZOS)
    return np.asarray(image)


def photograph_file(name: str) -> Path:
    """Return the file of a shipped photograph, or of a URI."""
    if name.startswith("file:"):
        return Path(urllib.request.url2pathname(urllib.parse.urlsplit(name).path))
    return SHIPPED_FOLDER / f"{name.removeprefix('default/')}.jpg"


def _bundled(name: str) -> NDArray[np.uint8]:
    """Return the levels of a photograph or test image of scikit-image or scikit-learn."""
    file, *part = TEST_IMAGES.get(name, (name, slice(None), slice(None)))
    known = {*itertools.chain(*PHOTOGRAPHS.values()), *TEST_IMAGES}
    if name not in known:
        raise ValueError(f"no photograph is called {name!r}; known are {', '.join(sorted(known))}")
    return image_levels(bundled_file(file))[tuple(part)]


def bundled_file(name: str) -> Path:
    """Return the file of a photograph of scikit-image or scikit-learn."""
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
