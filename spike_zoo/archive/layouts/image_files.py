"""Images of data sets: readers that check their size, and the writer of exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spike_zoo.errors import FormatError, GeometryError
from spike_zoo.files import new_file
from spike_zoo.media.image_files import read_image
from spike_zoo.media.pictures import save_picture
from spike_zoo.spikes.take import grey

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


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
