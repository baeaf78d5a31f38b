"""Images in [0, 1] to PNG files and back, alone or beside each other with captions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from spike_zoo.errors import MediaError, MissingFileError
from spike_zoo.files import new_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray
    from torch import Tensor

    Picture: TypeAlias = Tensor | NDArray[Any]

PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Of files that are taken for pictures, wherever folders are looked through."""
GAP = 6
BACKGROUND, INK = 24, 235
SMALLEST_TEXT, LARGEST_TEXT = 10, 26
HIGHEST_OF_16_BITS = 65535


def to_bytes(image: Picture) -> NDArray[np.uint8]:
    """Return an image as 8-bit numbers, rounded to the nearest, halves up.

    Args:
        image: ``(H, W)``, ``(1, H, W)``, ``(3, H, W)`` or ``(H, W, 3)``; float in [0, 1] (clipped
            to it), bool, or uint8 in 0..255. Colour is R,G,B.

    Returns:
        uint8 ``(H, W)`` or ``(H, W, 3)``.

    Raises:
        ValueError: If the shape or type is another, or a value is not a number.

    Example:
        >>> to_bytes(np.array([[0.0, 0.5, 1.0]])).tolist()
        [[0, 128, 255]]
    """
    array = _as_array(image)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        raise ValueError(
            f"a picture is (H, W), (1, H, W), (3, H, W) or (H, W, 3), got {tuple(array.shape)}"
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "f":
        raise ValueError(f"a picture is float in [0, 1], bool or uint8, got {array.dtype}")
    if np.isnan(array).any():
        raise ValueError("the picture holds values that are not numbers (NaN)")
    # halves go up: a rate of 1/2 is 212.5 at a rate scale of 0.6, and common
    return np.floor(array.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def to_pillow(image: Picture) -> Image.Image:
    """Return an image as Pillow's, which notebooks show; takes what :func:`to_bytes` takes."""
    return Image.fromarray(to_bytes(image))


def save_picture(image: Picture, path: str | Path, *, overwrite: bool = False) -> None:
    """Write an image as 8-bit PNG; the file appears whole or not at all.

    Args:
        image: What :func:`to_bytes` takes.
        path: The file; missing folders are made.
        overwrite: Replace a file that is there.

    Raises:
        ExistingFileError: If the file exists and ``overwrite`` is off.
        ValueError: If it is not an image.

    Example:
        >>> save_picture(np.full((4, 6), 0.5), "grey.png")
        >>> load_picture("grey.png").shape
        (1, 4, 6)
    """
    pillow = to_pillow(image)
    with new_file(Path(path), overwrite=overwrite) as temporary:
        pillow.save(temporary, format="PNG")


def load_picture(path: str | Path) -> NDArray[np.float32]:
    """Read an image file of any common format.

    Returns:
        float32 ``(1, H, W)`` or ``(3, H, W)`` in [0, 1]; transparency is left out.

    Raises:
        MissingFileError: If there is no such file.
        MediaError: If it holds no picture, a damaged one, or one of more pixels than Pillow reads.

    Example:
        >>> save_picture(np.full((4, 6), 0.5), "grey.png")
        >>> load_picture("grey.png").shape
        (1, 4, 6)
    """
    file = Path(path)
    if not file.is_file():
        raise MissingFileError(f"{file}: there is no such picture", path=str(file))
    try:
        with Image.open(file) as image:
            image.load()
            array = np.asarray(image if image.mode in ("L", "I;16", "I") else _plain(image))
    except Image.DecompressionBombError as error:
        raise MediaError(
            f"{file}: too large for a picture; cut it, or make it smaller ({error})", path=str(file)
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{file}: not a picture that can be read ({error})", path=str(file)) from (
            error
        )
    highest = 255 if array.dtype == np.uint8 else HIGHEST_OF_16_BITS
    scaled = array.astype(np.float32) / np.float32(highest)
    return scaled[None] if scaled.ndim == 2 else np.ascontiguousarray(np.moveaxis(scaled, -1, 0))


def load_grey(path: str | Path) -> NDArray[np.uint8]:
    """Read an image file as grey of 8 bits, ``(H, W)``; errors as for :func:`load_picture`."""
    return to_grey(to_bytes(load_picture(path)))


def to_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image of 8 bits as grey, ``(H, W)``: 0.299 R + 0.587 G + 0.114 B, rounded."""
    return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))


def side_by_side(
    images: Sequence[Picture], captions: Sequence[str] | None = None
) -> NDArray[np.float32]:
    """Put images beside each other, each below its caption.

    Args:
        images: What :func:`to_bytes` takes; sizes may differ.
        captions: One for each image.

    Returns:
        float32 ``(1, H, W)``, or ``(3, H, W)`` where an image has colour, in [0, 1].

    Raises:
        ValueError: If there is no image, or not one caption for each.

    Example:
        >>> dark, bright = np.zeros((20, 30)), np.ones((20, 30))
        >>> side_by_side([dark, bright]).shape  # 6 pixels around each
        (1, 32, 78)
    """
    return contact_sheet(images, captions, columns=max(len(images), 1))


def contact_sheet(
    images: Sequence[Picture], captions: Sequence[str] | None = None, columns: int = 4
) -> NDArray[np.float32]:
    """Put images into a grid, row by row, each below its caption.

    Args:
        images: What :func:`to_bytes` takes; the largest sets the size of a cell.
        captions: One for each image; cut short where the image is too narrow.
        columns: Images in one row.

    Returns:
        float32 ``(1, H, W)``, or ``(3, H, W)`` where an image has colour, in [0, 1].

    Raises:
        ValueError: If there is no image, not one caption for each, or no column.
    """
    if not images or columns < 1:
        raise ValueError("a contact sheet needs at least one image and one column")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(images)} images need as many captions, got {len(captions)}")
    tiles = [to_pillow(image) for image in images]
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    text_size = min(max(width // 16, SMALLEST_TEXT), LARGEST_TEXT)
    band = 0 if captions is None else round(1.7 * text_size)
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
        if captions is not None:
            _write_caption(sheet, captions[index], (left, top, width, band), text_size)
    array = np.asarray(sheet, np.float32) / np.float32(255)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(np.moveaxis(array, -1, 0))


def _as_array(image: Picture) -> NDArray[Any]:
    if isinstance(image, np.ndarray):
        return image
    tensor = image.detach().cpu()
    array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return array


def _plain(image: Image.Image) -> Image.Image:
    """Return grey or R,G,B without transparency or palette."""
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _write_caption(
    sheet: Image.Image, caption: str, box: tuple[int, int, int, int], size: int
) -> None:
    """Write one line centred into a box (left, top, width, height), cut short to fit."""
    left, top, width, height = box
    font = ImageFont.load_default(size)
    text = caption
    while font.getlength(text) > width and len(text) > 1:
        text = f"{text[:-2].rstrip()}…"
    ink = INK if sheet.mode == "L" else (INK,) * 3
    middle = (left + width / 2, top + height / 2)
    ImageDraw.Draw(sheet).text(middle, text, fill=ink, font=font, anchor="mm")
