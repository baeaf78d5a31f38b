"""Reader of image files of any common format, byte order, type and orientation."""

import math
import struct
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from spike_zoo.errors import MediaError, MissingFileError

_GREY: Final = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_COLOUR: Final = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA")
_BITS, _WHITE_IS, _ORIENTATION, _SAMPLES = 258, 262, 274, 339  # tags of TIFF; 274 also of EXIF
_UNSIGNED: Final = 1
_BLACK_IS_ZERO: Final = 1
SOFTWARE: Final = "spike-zoo"  # text in the PNGs of reconstructions
_ROWS_AS_COLUMNS: Final = 5  # first of the orientations that exchange rows and columns
#: Errors of the libraries for damaged files.
_DAMAGED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    struct.error,
)


def is_result(path: Path) -> bool:
    """Return whether a PNG is marked as a reconstruction of this package."""
    if path.suffix.lower() != ".png":
        return False
    try:
        with Image.open(path) as image:
            return image.info.get("Software") == SOFTWARE
    except (*_DAMAGED, Image.DecompressionBombError):  # reported when the image is read
        return False


def read_image(path: str | Path) -> NDArray[Any]:
    """Read an image file as viewers show it, ``(H, W)`` grey or ``(H, W, 3)`` R,G,B.

    Palettes are resolved, opacity is left out, and the orientation that the file states is applied.

    Returns:
        uint8 or uint16 as stored, or float32 in [0, 1]; binary images become 0 and 255.

    Raises:
        MissingFileError: If there is no such file.
        MediaError: If the file is no image, is damaged, has several images, other colours or other
            types of values, or more pixels than Pillow reads.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingFileError.at(file, "there is no such image")
    try:
        with warnings.catch_warnings():  # Pillow warns of metadata that are damaged or left out
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            return _converted(_values(file), file)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError.at(
            file, f"too large for an image; crop it, or make it smaller ({error})"
        ) from error
    except _DAMAGED as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise MediaError.at(file, f"not an image that can be read ({reason})") from error


def _values(file: Path) -> NDArray[Any]:
    """Return the stored values of an upright image, without opacity."""
    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        if file.suffix.lower() not in (".tif", ".tiff"):
            raise
        return _tiff_values(file)
    with image:
        count = getattr(image, "n_frames", 1)
        if count > 1 and image.format != "MPO":  # MPO: JPEG with previews
            raise MediaError.at(file, f"has {count} images, expected one")
        if image.mode not in (*_GREY, *_COLOUR):
            raise MediaError.at(
                file, f"its colours are {image.mode}, expected grey or R,G,B; save it as R,G,B"
            )
        if image.format == "TIFF" and not _is_exact(image):
            return _tiff_values(file)
        if image.format == "PNG" and _is_colour_of_16_bits(image):
            return _png_values(file, image.getexif().get(_ORIENTATION, 1))
        image.load()  # makes TIFFs upright
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in ("L", "F") and not upright.mode.startswith("I"):
            upright = upright.convert("L" if upright.mode in _GREY else "RGB")
        values = np.asarray(upright)
        has_16_bits = upright.mode == "I" and image.format in ("PNG", "PPM")
        return values.astype(np.uint16) if has_16_bits else values


def _is_exact(image: Image.Image) -> bool:
    """Return whether Pillow reads a TIFF correctly: up to 8 bits, or grey of 16 bits.

    Pillow 12 distorts uncompressed TIFFs whose rows are shown as columns.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if {*tags.get(_SAMPLES, (_UNSIGNED,))} != {_UNSIGNED}:
        return False
    if tags.get(_ORIENTATION, 1) >= _ROWS_AS_COLUMNS and image.info.get("compression") == "raw":
        return False
    is_16_bits = image.mode.startswith("I;16") and tags.get(_WHITE_IS) == _BLACK_IS_ZERO
    return is_16_bits or max(tags.get(_BITS, (1,))) <= 8


def _is_colour_of_16_bits(image: Image.Image) -> bool:
    """Return whether Pillow would drop the lower 8 bits of a PNG in colour."""
    tiles = getattr(image, "tile", ())  # with the form of the stored values, as "RGB;16B"
    return image.mode in ("RGB", "RGBA") and any("16" in str(tile[3]) for tile in tiles)


def _png_values(file: Path, orientation: int) -> NDArray[Any]:
    import cv2

    values = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise MediaError.at(file, "not an image that can be read (damaged PNG)")
    return _upright(values[..., 2::-1], orientation)


def _tiff_values(file: Path) -> NDArray[Any]:
    """Return the values of a TIFF with a type that Pillow does not read or would convert."""
    import tifffile

    known = tifffile.PHOTOMETRIC
    with tifffile.TiffFile(file) as tiff:
        if len(tiff.pages) != 1:
            raise MediaError.at(file, f"has {len(tiff.pages)} images, expected one")
        page = tiff.pages.first
        if page.imagelength * page.imagewidth > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError(f"{page.imagelength * page.imagewidth} pixels")
        values, kind = page.asarray(), page.photometric
        orientation = page.tags.valueof(_ORIENTATION, 1)
    if kind == known.MINISWHITE and values.dtype.kind == "u":
        values, kind = np.iinfo(values.dtype).max - values, known.MINISBLACK
    if kind not in (known.MINISBLACK, known.RGB):
        name = getattr(kind, "name", kind)
        raise MediaError.at(
            file, f"its colours are {name}, expected grey or R,G,B; save it as R,G,B"
        )
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    elif page.axes not in ("YX", "YXS"):
        raise MediaError.at(file, f"{values.shape}, expected one image, grey or R,G,B")
    if values.ndim == 3:
        values = values[..., :3] if kind == known.RGB else values[..., 0]
    return _upright(values, orientation)


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an orientation of EXIF, 1 to 8: the sides at which row 0 and column 0 are shown."""
    if orientation >= _ROWS_AS_COLUMNS:
        values = values.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(values[rows, columns])


def _converted(values: NDArray[Any], file: Path) -> NDArray[Any]:
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not 0 <= low <= high <= 1:  # NaN too
            raise MediaError.at(
                file,
                f"floats from {low:g} to {high:g}, expected 0 (black) to 1 (white); divide "
                "them by the value of white, or save the image with 8 or 16 bits",
            )
        return values.astype(np.float32)
    if values.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise MediaError.at(
            file,
            f"its values are {values.dtype}, expected uint8, uint16 or floats in [0, 1]; "
            "save it with 8 or 16 bits",
        )
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))
