"""Tests of reading image files against the values that were written by other libraries."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from spike_zoo.errors import MediaError
from spike_zoo.media import load_image
from spike_zoo.media.image_files import read_image

GREY = np.linspace(0, 1, 15, dtype=np.float32).reshape(3, 5)
COLOUR = np.stack([GREY, GREY / 2, GREY / 4], axis=-1)
#: Orientation of EXIF -> the stored pixels of an image that is shown as ``x``.
STORED = {
    2: lambda x: np.fliplr(x),
    3: lambda x: np.rot90(x, 2),
    4: lambda x: np.flipud(x),
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}


def scaled(image: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    return np.rint(image * np.float32(np.iinfo(dtype).max)).astype(dtype)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("image", "options"),
    [
        (GREY, {}),
        (GREY.astype(np.float64), {}),
        (GREY.astype(np.float16), {}),
        (scaled(GREY, "u2"), {}),
        (scaled(GREY, "u1"), {}),
        (np.iinfo("u2").max - scaled(GREY, "u2"), {"photometric": "miniswhite"}),
        (np.iinfo("u1").max - scaled(GREY, "u1"), {"photometric": "miniswhite"}),
        (COLOUR, {"photometric": "rgb"}),
        (scaled(COLOUR, "u2"), {"photometric": "rgb", "compression": "zlib"}),
        (
            scaled(COLOUR, "u2").transpose(2, 0, 1),
            {"photometric": "rgb", "planarconfig": "separate"},
        ),
        (np.dstack([scaled(COLOUR, "u2"), scaled(GREY, "u2")]), {"photometric": "rgb"}),
        (
            np.dstack([scaled(GREY, "u2"), scaled(GREY, "u2")]),
            {"photometric": "minisblack", "extrasamples": ["unassalpha"]},
        ),
    ],
)
def test_tiffs_of_any_type_and_byte_order_show_the_same_image(
    tmp_path: Path, image: NDArray[Any], options: dict[str, Any], byteorder: Any
) -> None:
    path = tmp_path / "a.tif"
    options = {"photometric": "minisblack"} | options
    tifffile.imwrite(path, image, byteorder=byteorder, **options)
    expected = COLOUR.transpose(2, 0, 1) if options["photometric"] == "rgb" else GREY[None]
    tolerance = 1e-3 if image.dtype in (np.float16, np.uint8) else 1 / 65535
    tolerance = 1 / 255 if image.dtype == np.uint8 else tolerance
    np.testing.assert_allclose(load_image(path), expected, atol=tolerance)
    assert read_image(path).dtype == (np.float32 if image.dtype.kind == "f" else image.dtype)


@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_pngs_of_16_bits_keep_their_precision(tmp_path: Path, image: NDArray[Any]) -> None:
    levels = scaled(image, "u2")
    cv2.imwrite(str(tmp_path / "a.png"), levels[..., ::-1] if levels.ndim == 3 else levels)
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, levels)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["png", "webp", "tif", "lzw.tif", "u2.tif", "rgb.tif"])
def test_the_stated_orientation_is_applied(tmp_path: Path, kind: str, orientation: int) -> None:
    upright = scaled(COLOUR if kind == "rgb.tif" else GREY, "u2" if "." in kind else "u1")
    if kind in ("webp", "lzw.tif"):
        upright = scaled(GREY, "u1")
    stored = np.ascontiguousarray(STORED[orientation](upright))
    path = tmp_path / f"a.{kind}"
    if kind in ("u2.tif", "rgb.tif"):
        photometric = "rgb" if kind == "rgb.tif" else "minisblack"
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(path, stored, photometric=photometric, extratags=[tag])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        options: dict[str, Any] = {"compression": "tiff_lzw"} if kind == "lzw.tif" else {}
        options |= {"lossless": True} if kind == "webp" else {}
        Image.fromarray(stored).save(path, exif=exif, **options)
    read = read_image(path)
    np.testing.assert_array_equal(read[..., 0] if kind == "webp" else read, upright)


def test_transparent_and_grey_palettes_are_resolved(tmp_path: Path) -> None:
    image = Image.fromarray(scaled(COLOUR, "u1")).convert("P", palette=Image.Palette.ADAPTIVE)
    image.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (scaled(GREY, "u4"), "its values are uint32, expected uint8, uint16 or floats"),
        (scaled(GREY, "i1"), "its values are int8"),
        (GREY * 255, "floats from 0 to 255, expected 0 .* to 1 .*divide"),
        (GREY - 0.5, "floats from -0.5 to 0.5, expected 0 .* to 1 .*divide"),
        (
            np.where(GREY == 0.5, np.nan, GREY),
            "floats from nan to nan, expected 0 .* to 1 .*divide",
        ),
        (np.stack([scaled(GREY, "u1")] * 4), "has 4 images, expected one"),
        (np.stack([GREY] * 4), "has 4 images, expected one"),
    ],
)
def test_images_of_other_ranges_and_stacks_are_rejected_by_name(
    tmp_path: Path, image: NDArray[Any], message: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    with pytest.raises(MediaError, match=rf"a\.tif: {message}"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("mode", "suffix", "message"),
    [
        ("CMYK", ".jpg", "its colours are CMYK, expected grey or R,G,B"),
        ("CMYK", ".tif", "its colours are CMYK"),
        ("LAB", ".tif", "its colours are LAB"),
        ("I", ".tif", "its values are int32, expected uint8, uint16 or floats"),
    ],
)
def test_an_image_of_an_unsupported_type_is_rejected_by_name(
    tmp_path: Path, mode: str, suffix: str, message: str
) -> None:
    Image.new(mode, (5, 3)).save(tmp_path / f"a{suffix}")
    with pytest.raises(MediaError, match=rf"a\{suffix}: {message}.* save it"):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("length", range(8, 200, 24))
def test_a_truncated_tiff_is_rejected_by_name(tmp_path: Path, length: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="minisblack")
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:length])
    with pytest.raises(MediaError, match=r"a\.tif: "):
        read_image(tmp_path / "a.tif")
