"""Data of the interactive viewers of a page: images over time, and raw planes."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spike_zoo.errors import MissingFileError
from spike_zoo.media.images import ImageArray, to_pillow

MIME_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".mp4": "video/mp4",
}


@dataclass(frozen=True)
class Layer:
    """Images of a method, the ground truth or a flow field in a viewer."""

    name: str
    #: data URIs, one per moment, or one for all moments; empty for a missing image
    images: tuple[str, ...]
    notes: tuple[str, ...] = ()  #: a note per image, such as its PSNR; may be empty

    @classmethod
    def of(
        cls, name: str, images: Sequence[ImageArray | str | Path | None], notes: Sequence[str] = ()
    ) -> Layer:
        """Return a layer of images or files; None is a missing image."""
        sources = ("" if image is None else image_source(image) for image in images)
        return cls(name, tuple(sources), tuple(notes))


@dataclass(frozen=True)
class Viewer:
    """Layers of the same scene over time: two with a slider between them, all as crops."""

    label: str  #: description for screen readers
    layers: tuple[Layer, ...]  #: one or more layers; all are displayed in the same size
    moments: tuple[str, ...]  #: names of the moments
    size: tuple[int, int]  #: displayed width and height in pixels
    sides: tuple[int, int] = (0, -1)  #: indices of the initial layers left and right of the slider
    #: initial position of the crops, as fractions of width and height
    focus: tuple[float, float] = (0.5, 0.5)
    caption: str = ""  #: text below the viewer
    has_differences: bool = True  #: whether the viewer offers difference images between layers
    has_strip: bool = False  #: whether all moments of the right layer are shown as small images
    first: int = 0  #: index of the initial moment

    def __post_init__(self) -> None:
        if not self.layers or not self.moments:
            raise ValueError("a viewer needs at least one layer and one moment")
        for layer in self.layers:
            if len(layer.images) not in (1, len(self.moments)):
                raise ValueError(
                    f"{layer.name}: {len(layer.images)} images for {len(self.moments)} moments"
                )

    def as_data(self) -> dict[str, Any]:
        """Return the data for the script of the page."""
        count = len(self.layers)
        return {
            "kind": "viewer",
            "label": self.label,
            "layers": [
                {"name": layer.name, "images": layer.images, "notes": layer.notes}
                for layer in self.layers
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
    """Raw planes for playback, plane by plane or averaged over a window of any length."""

    #: base64 of the zlib-compressed planes; a byte has eight planes of a pixel, the first in the
    #: lowest bit
    packed: str
    shape: tuple[int, int, int]  #: planes, height and width
    first: int  #: number of the first plane in its recording
    rate_scale: float  #: spikes per plane at white
    label: str = "spikes"  #: description for screen readers
    caption: str = ""  #: text below the viewer

    @classmethod
    def of(cls, spikes: NDArray[np.bool_], **attributes: Any) -> SpikePlanes:
        """Return the viewer of planes ``(T, H, W)`` with the given attributes."""
        # the planes of a pixel are adjacent: its regular spikes compress better with zlib
        packed = np.packbits(np.moveaxis(spikes, 0, -1), axis=-1, bitorder="little")
        text = base64.b64encode(zlib.compress(packed.tobytes(), 9)).decode()
        planes, height, width = spikes.shape
        return cls(text, (planes, height, width), **attributes)

    def as_data(self) -> dict[str, Any]:
        """Return the data for the script of the page."""
        return {
            "kind": "spikes",
            "label": self.label,
            "packed": self.packed,
            "shape": self.shape,
            "first": self.first,
            "rateScale": self.rate_scale,
        }


def image_source(image: ImageArray | str | Path) -> str:
    """Return an image (as for ``to_bytes``) or a file as a data URI; keep a data URI unchanged."""
    if isinstance(image, str) and image.startswith("data:"):
        return image
    if not isinstance(image, str | Path):
        buffer = io.BytesIO()
        to_pillow(image).save(buffer, format="PNG", optimize=True)
        return _encoded(buffer.getvalue(), "image/png")
    path = Path(image)
    kind = MIME_TYPES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: a page shows {', '.join(MIME_TYPES)}")
    if not path.is_file():
        raise MissingFileError.at(path, "there is no such file to show")
    return _encoded(path.read_bytes(), kind)


def _encoded(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def image_size(source: str) -> tuple[int, int]:
    """Return width and height of an image that is a data URI, from its header."""
    content = base64.b64decode(source.partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        return image.width, image.height
