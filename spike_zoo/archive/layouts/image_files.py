"""Reader and writer of the image files of data sets, with the types of archives."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from spike_zoo.errors import FormatError, GeometryError
from spike_zoo.files import new_file
from spike_zoo.media.pictures import save_picture
from spike_zoo.spikes.take import grey

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_GREY, _COLOUR = (1, 2), (3, 4)  # numbers of channels; the second of each includes opacity
_OTHER_COLOURS = ("CMYK", "LAB", "HSV", "YCbCr")  # colour spaces with 3 or 4 channels, not R,G,B


def read_picture(path: Path, size: tuple[int, int]) -> NDArray[Any]:
    """Read an image ``(H', W'[, 3])`` of a recording of size H, W, without opacity.

    Raises:
        GeometryError: If H' and W' are not one integer multiple of H and W.
    """
    image = read_image(path)
    ratio = image.shape[0] // size[0]
    if ratio < 1 or image.shape[:2] != (ratio * size[0], ratio * size[1]):
        raise GeometryError.at(
            path,
            f"{image.shape[0]}x{image.shape[1]} pixels are not a whole multiple of the "
            f"spikes' {size[0]}x{size[1]}; crop the image to the field of view of the spike "
            "camera, or pass the spikes' --height and --width",
        )
    return image


def write_picture(image: NDArray[Any], stem: Path, *, overwrite: bool = False) -> Path:
    """Write an image of an archive without loss: 8 bits as PNG, other values as TIFF.

    Args:
        image: ``(H, W)`` grey or ``(H, W, 3)`` R,G,B; uint8, uint16 or float32.
        stem: The file without its suffix; missing folders are created.
        overwrite: Replace an existing file.

    Returns:
        Path of the file.
    """
    path = stem.with_name(f"{stem.name}{'.png' if image.dtype == np.uint8 else '.tif'}")
    if image.dtype == np.uint8:
        save_picture(image, path, overwrite=overwrite)
    else:
        import tifffile

        with new_file(path, overwrite=overwrite) as temporary:
            photometric = "rgb" if image.ndim == 3 else "minisblack"
            tifffile.imwrite(temporary, image, photometric=photometric)
    return path


def read_grey(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Read an image of exactly the given height and width as grey in [0, 1]."""
    image = read_image(path)
    if image.shape[:2] != size:
        raise FormatError.at(
            path, f"{image.shape[0]}x{image.shape[1]} pixels, its spikes have {size[0]}x{size[1]}"
        )
    luma = grey(image)
    white = np.float32(255 if luma.dtype == np.uint8 else 1)
    return np.asarray(luma / white, dtype=np.float32)


def read_image(path: Path) -> NDArray[Any]:
    """Read an image file, ``(H, W)`` grey or ``(H, W, 3)`` R,G,B, without opacity.

    Returns:
        uint8 or uint16 as stored, or float32 in [0, 1]; binary images become 0 and 255.
    """
    image, mode = _load(path)
    if mode in _OTHER_COLOURS:
        raise FormatError.at(
            path, f"its colours are {mode}, expected grey or R,G,B; save it as R,G,B"
        )
    if image.ndim == 3 and image.shape[2] in _GREY:
        image = image[..., 0]
    elif image.ndim == 3 and image.shape[2] in _COLOUR:
        image = image[..., :3]
    elif image.ndim != 2:
        raise FormatError.at(path, f"{image.shape}, expected one picture, grey or R,G,B")
    return _convert(image, path)


def _load(path: Path) -> tuple[NDArray[Any], str | None]:
    """Return the stored values and Pillow's mode of the image, None if unknown."""
    from PIL import Image, UnidentifiedImageError
    from skimage.io import imread

    try:
        image = np.asarray(imread(path))
        with contextlib.suppress(UnidentifiedImageError), Image.open(path) as opened:
            return image, opened.mode
    except Image.DecompressionBombError as error:
        raise FormatError.at(
            path, f"too large for a picture; crop it or make it smaller ({error})"
        ) from error
    except (OSError, ValueError, SyntaxError) as error:  # raised by image plugins
        raise FormatError.at(path, "not an image that can be read") from error
    return image, None


def _convert(image: NDArray[Any], path: Path) -> NDArray[Any]:
    """Convert an image to a type of archives; raise FormatError if that is not possible."""
    if image.dtype == np.bool_:
        return 255 * image.astype(np.uint8)
    if image.dtype.kind == "f":
        low, high = float(image.min()), float(image.max())
        if not 0 <= low <= high <= 1:  # NaN too
            raise FormatError.at(
                path,
                f"floats from {low:g} to {high:g}, expected 0 (black) to 1 (white); divide "
                "them by the value of white, or save the picture with 8 or 16 bits",
            )
        return image.astype(np.float32)
    if image.dtype not in (np.uint8, np.uint16):
        raise FormatError.at(
            path,
            f"its values are {image.dtype}, expected uint8, uint16 or floats in [0, 1]; "
            "save it with 8 or 16 bits",
        )
    return image
