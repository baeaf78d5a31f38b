"""Reading and writing of images, and contact sheets with captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from spike_zoo.media.image_files import SOFTWARE, read_image
from spike_zoo.utils.files import new_file

if TYPE_CHECKING:
    from torch import Tensor

ImageArray: TypeAlias = "Tensor | NDArray[Any]"

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Suffixes of files that are read as images in folders."""
GAP = 6
BACKGROUND, INK = 24, 235
MIN_TEXT, MAX_TEXT = 10, 26


def to_bytes(image: ImageArray) -> NDArray[np.uint8]:
    """Convert an image to 8 bits, rounded to nearest, halves up.

    Args:
        image: ``(H, W)``, ``(1, H, W)``, ``(3, H, W)`` or ``(H, W, 3)``; float in [0, 1] (clipped
            to it), bool, or uint8 in 0..255. Colour is R,G,B.

    Returns:
        uint8 ``(H, W)`` or ``(H, W, 3)``.

    Raises:
        ValueError: If shape or type are not supported, or a value is NaN.

    Example:
        >>> to_bytes(np.array([[0.0, 0.5, 1.0]])).tolist()
        [[0, 128, 255]]
    """
    array = _as_array(image)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        raise ValueError(
            f"an image is (H, W), (1, H, W), (3, H, W) or (H, W, 3), got {tuple(array.shape)}"
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "f":
        raise ValueError(f"an image is float in [0, 1], bool or uint8, got {array.dtype}")
    if np.isnan(array).any():
        raise ValueError("the image holds values that are not numbers (NaN)")
    # round halves up: a common rate of 1/2 is 212.5 at a rate scale of 0.6
    return np.floor(array.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def to_pillow(image: ImageArray) -> Image.Image:
    """Convert an image, as for :func:`to_bytes`, to a Pillow image, which notebooks display."""
    return Image.fromarray(to_bytes(image))


def save_image(
    image: ImageArray, path: str | Path, *, overwrite: bool = False, is_result: bool = False
) -> None:
    """Write an image as 8-bit PNG, atomically.

    Args:
        image: An image as for :func:`to_bytes`.
        path: The file; missing folders are created.
        overwrite: Replace an existing file.
        is_result: Mark the file as a reconstruction, which archives do not take as ground truth.

    Raises:
        ExistingFileError: If the file exists and ``overwrite`` is off.
        ValueError: If the shape or type of the image is not supported.

    Example:
        >>> save_image(np.full((4, 6), 0.5), "grey.png")
        >>> load_image("grey.png").shape
        (1, 4, 6)
    """
    pillow, info = to_pillow(image), PngInfo()
    if is_result:
        info.add_text("Software", SOFTWARE)
    with new_file(Path(path), overwrite=overwrite) as temporary:
        pillow.save(temporary, format="PNG", pnginfo=info)


def load_image(path: str | Path) -> NDArray[np.float32]:
    """Read an image file of any common format.

    Returns:
        float32 ``(1, H, W)`` or ``(3, H, W)`` in [0, 1], without transparency.

    Raises:
        MissingFileError: If there is no such file.
        MediaError: If the file cannot be read, see
            :func:`~spike_zoo.media.image_files.read_image`.

    Example:
        >>> save_image(np.full((4, 6), 0.5), "grey.png")
        >>> load_image("grey.png").shape
        (1, 4, 6)
    """
    return as_floats(read_image(path))


def as_floats(levels: NDArray[Any]) -> NDArray[np.float32]:
    """Convert ``(H, W)`` or ``(H, W, 3)`` to float32 ``(C, H, W)`` in [0, 1]."""
    white = np.iinfo(levels.dtype).max if levels.dtype.kind in "ui" else 1
    scaled = levels.astype(np.float32) / np.float32(white)
    return scaled[None] if scaled.ndim == 2 else np.ascontiguousarray(np.moveaxis(scaled, -1, 0))


def load_grey(path: str | Path) -> NDArray[np.uint8]:
    """Read an image file as 8-bit grey, ``(H, W)``; errors as for :func:`load_image`."""
    return to_grey(to_bytes(load_image(path)))


def to_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert an 8-bit image to grey, ``(H, W)``: 0.299 R + 0.587 G + 0.114 B, rounded."""
    return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))


def side_by_side(
    images: Sequence[ImageArray], captions: Sequence[str] | None = None
) -> NDArray[np.float32]:
    """Arrange images in a row, with captions above them; see :func:`contact_sheet`.

    Example:
        >>> dark, bright = np.zeros((20, 30)), np.ones((20, 30))
        >>> side_by_side([dark, bright]).shape  # 6 pixels around each
        (1, 32, 78)
    """
    return contact_sheet(images, captions, columns=max(len(images), 1))


def contact_sheet(
    images: Sequence[ImageArray], captions: Sequence[str] | None = None, columns: int = 4
) -> NDArray[np.float32]:
    """Arrange images in a grid, row by row, with captions above them.

    Args:
        images: Images as for :func:`to_bytes`; the largest height and width set the cell size.
        captions: One caption per image; its lines are shortened to the width of a cell.
        columns: Images per row.

    Returns:
        float32 ``(1, H, W)``, or ``(3, H, W)`` if an image is in colour, in [0, 1].
    """
    if not images or columns < 1:
        raise ValueError("a contact sheet needs at least one image and one column")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(images)} images need as many captions, got {len(captions)}")
    tiles = [to_pillow(image) for image in images]
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    text_size = min(max(width // 16, MIN_TEXT), MAX_TEXT)
    lines = [caption.splitlines() for caption in captions or ()]
    line = round(1.7 * text_size)
    band = line * max((max(len(text), 1) for text in lines), default=0)
    columns, rows = min(columns, len(tiles)), math.ceil(len(tiles) / columns)
    has_colour = any(tile.mode == "RGB" for tile in tiles)
    sheet = Image.new(
        "RGB" if has_colour else "L",
        (columns * (width + GAP) + GAP, rows * (height + band + GAP) + GAP),
        (BACKGROUND,) * 3 if has_colour else BACKGROUND,
    )
    for index, tile in enumerate(tiles):
        left = GAP + (index % columns) * (width + GAP)
        top = GAP + (index // columns) * (height + band + GAP)
        sheet.paste(tile, (left + (width - tile.width) // 2, top + band))
        for number, text in enumerate(lines[index] if lines else ()):
            _write_line(sheet, text, (left, top + number * line, width, line), text_size)
    return as_floats(np.asarray(sheet))


def _as_array(image: ImageArray) -> NDArray[Any]:
    if isinstance(image, np.ndarray):
        return image
    tensor = image.detach().cpu()
    array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return array


def _write_line(sheet: Image.Image, text: str, box: tuple[int, int, int, int], size: int) -> None:
    """Write a line centred in a box (left, top, width, height), shortened to fit."""
    left, top, width, height = box
    font = ImageFont.load_default(size)
    while font.getlength(text) > width and len(text) > 1:
        text = f"{text[:-2].rstrip()}…"
    ink = INK if sheet.mode == "L" else (INK,) * 3
    middle = (left + width / 2, top + height / 2)
    ImageDraw.Draw(sheet).text(middle, text, fill=ink, font=font, anchor="mm")
