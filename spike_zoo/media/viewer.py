"""What the interactive parts of a page show, as data: pictures over time, and raw spikes."""

from __future__ import annotations

import base64
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from spike_zoo.errors import MissingFileError
from spike_zoo.media.pictures import to_pillow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spike_zoo.media.pictures import Picture

MIME_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".mp4": "video/mp4",
}


@dataclass(frozen=True)
class Layer:
    """One of the things a viewer puts beside each other: a method, a truth, a motion.

    Attributes:
        name: What it is called.
        pictures: Data URIs, one for each moment, or a single one that stays; empty where there is
            none at that moment.
        notes: What is said of each picture, as its PSNR; empty where nothing is.
    """

    name: str
    pictures: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, name: str, pictures: Sequence[Picture | str | Path | None], notes: Sequence[str] = ()
    ) -> Layer:
        """Return a layer of images or files, see :func:`picture_source`; None for missing ones."""
        sources = ("" if one is None else picture_source(one) for one in pictures)
        return cls(name, tuple(sources), tuple(notes))


@dataclass(frozen=True)
class Viewer:
    """Layers of the same scene: two of them under a slider, all of them in crops, over time.

    Attributes:
        label: What it shows, for those who cannot see it.
        layers: At least one; sizes may differ, they are shown as large as each other.
        moments: What each moment is called.
        sides: Which layers stand left and right of the slider at first.
        size: Width and height in which it is shown, in pixels.
        focus: Where the crops are at first, as fractions of width and height.
        caption: Text below it.
        has_differences: Whether brightness may be subtracted between layers.
        has_strip: Whether the moments of the right side are shown as small pictures.
        first: The moment that is shown first.

    Raises:
        ValueError: If there is no layer, or one has neither one picture nor one for each moment.
    """

    label: str
    layers: tuple[Layer, ...]
    moments: tuple[str, ...]
    size: tuple[int, int]
    sides: tuple[int, int] = (0, -1)
    focus: tuple[float, float] = (0.5, 0.5)
    caption: str = ""
    has_differences: bool = True
    has_strip: bool = False
    first: int = 0

    def __post_init__(self) -> None:
        if not self.layers or not self.moments:
            raise ValueError("a viewer needs at least one layer and one moment")
        for layer in self.layers:
            if len(layer.pictures) not in (1, len(self.moments)):
                raise ValueError(
                    f"{layer.name}: {len(layer.pictures)} pictures for {len(self.moments)} moments"
                )

    def as_data(self) -> dict[str, Any]:
        """Return it as what the page's script reads."""
        count = len(self.layers)
        return {
            "kind": "viewer",
            "label": self.label,
            "layers": [
                {"name": one.name, "pictures": one.pictures, "notes": one.notes}
                for one in self.layers
            ],
            "moments": self.moments,
            "sides": [side % count for side in self.sides],
            "size": self.size,
            "focus": self.focus,
            "differences": self.has_differences and count > 1,
            "strip": self.has_strip,
            "first": self.first,
        }


@dataclass(frozen=True)
class SpikePlanes:
    """Raw planes that a page plays, one by one or averaged over a window of any length.

    Attributes:
        packed: Base64 of zlib of the planes, eight planes of a pixel in a byte, the first lowest.
        shape: Planes, height and width.
        first: Number of the first plane in its recording.
        rate_scale: Spikes per plane at white.
        window: Planes that are averaged at first.
        label: What it shows, for those who cannot see it.
        caption: Text below it.
    """

    packed: str
    shape: tuple[int, int, int]
    first: int
    rate_scale: float
    window: int = 1
    label: str = "spikes"
    caption: str = ""

    @classmethod
    def of(cls, spikes: NDArray[np.bool_], **described: Any) -> SpikePlanes:
        """Return planes ``(T, H, W)`` with what is said of them, see the attributes."""
        # a pixel's planes beside each other: it fires regularly, which zlib sees
        packed = np.packbits(np.moveaxis(spikes, 0, -1), axis=-1, bitorder="little")
        text = base64.b64encode(zlib.compress(packed.tobytes(), 9)).decode()
        planes, height, width = spikes.shape
        return cls(text, (planes, height, width), **described)

    def as_data(self) -> dict[str, Any]:
        """Return it as what the page's script reads."""
        return {
            "kind": "spikes",
            "label": self.label,
            "packed": self.packed,
            "shape": self.shape,
            "first": self.first,
            "rateScale": self.rate_scale,
            "window": self.window,
        }


def picture_source(picture: Picture | str | Path) -> str:
    """Return an image (see ``to_bytes``) or a file as a data URI; one stays as it is.

    Raises:
        MissingFileError: If there is no such file.
        ValueError: If it is of a kind that no page shows.
    """
    if isinstance(picture, str) and picture.startswith("data:"):
        return picture
    if not isinstance(picture, str | Path):
        buffer = io.BytesIO()
        to_pillow(picture).save(buffer, format="PNG", optimize=True)
        return _encoded(buffer.getvalue(), "image/png")
    path = Path(picture)
    kind = MIME_TYPES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: a page shows {', '.join(MIME_TYPES)}")
    if not path.is_file():
        raise MissingFileError(f"{path}: there is no such file to show", path=str(path))
    return _encoded(path.read_bytes(), kind)


def _encoded(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture_size(source: str) -> tuple[int, int]:
    """Return width and height of a picture that is a data URI, from its header."""
    content = base64.b64decode(source.partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        return image.width, image.height
