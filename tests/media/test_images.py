"""Tests of PNG files against Pillow, and of contact sheets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from spike_zoo.errors import MediaError, MissingFileError
from spike_zoo.media import contact_sheet, load_image, save_image, side_by_side, to_pillow
from spike_zoo.media.images import load_grey, to_bytes, to_grey


@given(
    image=arrays(
        np.float32, (3, 4, 5), elements=st.floats(-0.5, 1.5, width=32, allow_subnormal=False)
    )
)
@settings(max_examples=40, deadline=None)
def test_floats_are_clipped_and_rounded_to_the_nearest_of_256_levels(
    image: NDArray[np.float32],
) -> None:
    expected = np.clip(image.astype(np.float64), 0, 1).transpose(1, 2, 0)
    assert np.abs(to_bytes(image) / 255 - expected).max() <= 0.5 / 255 + 1e-7


def test_halves_are_rounded_up() -> None:
    image = np.array([[0.5, 1.5, 211.5, 212.5]], np.float32) / np.float32(255)
    assert to_bytes(image).tolist() == [[1, 2, 212, 213]]


@pytest.mark.parametrize("shape", [(6, 7), (1, 6, 7), (3, 6, 7)])
def test_a_saved_image_is_read_equally_by_pillow(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape)
    path = tmp_path / "new" / "image.png"
    save_image(image, path)
    stored = np.asarray(Image.open(path))
    assert stored.dtype == np.uint8
    assert stored.shape == ((6, 7, 3) if shape[0] == 3 else (6, 7))
    channels_first = (stored.transpose(2, 0, 1) if stored.ndim == 3 else stored).reshape(-1, 6, 7)
    levels = (image * 255).round().numpy().reshape(-1, 6, 7)
    np.testing.assert_array_equal(channels_first, levels)
    np.testing.assert_array_equal(load_image(path) * 255, channels_first)


def test_bools_and_bytes_keep_their_values() -> None:
    plane = np.array([[True, False, True]])
    np.testing.assert_array_equal(to_bytes(plane), [[255, 0, 255]])
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(to_bytes(levels), levels)
    np.testing.assert_array_equal(np.asarray(to_pillow(torch.from_numpy(levels))), levels)
    colour = np.zeros((4, 5, 3), np.uint8)
    assert to_bytes(colour).shape == (4, 5, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_type_can_be_converted(dtype: torch.dtype) -> None:
    assert to_bytes(torch.full((1, 2, 2), 0.5, dtype=dtype)).tolist() == [[128, 128]] * 2


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 4, 5), np.float32), r"got \(2, 4, 5\)"),
        (np.zeros(5, np.float32), r"got \(5,\)"),
        (np.zeros((0, 5), np.float32), r"got \(0, 5\)"),
        (np.full((4, 5), np.nan, np.float32), "NaN"),
        (np.zeros((4, 5), np.int64), "got int64"),
    ],
)
def test_arrays_that_are_not_images_are_rejected(image: NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_bytes(image)


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)]
)
def test_images_of_any_kind_become_grey_or_colour(tmp_path: Path, mode: str, channels: int) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode).save(path)
    image = load_image(path)
    assert image.shape == (channels, 4, 5)
    assert (image == 1).all()


def test_grey_is_the_luma_for_any_channels_and_bit_depth(tmp_path: Path) -> None:
    colour = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50]]], np.uint8)
    expected = [76, 150, 29, 124]  # 0.299 R + 0.587 G + 0.114 B
    assert to_grey(colour).tolist() == [expected]
    clear = np.concatenate([colour, np.zeros((1, 4, 1), np.uint8)], axis=2)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert load_grey(tmp_path / "clear.png").tolist() == [expected]
    deep = np.array([[0, 32768, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert load_grey(tmp_path / "deep.png").tolist() == [[0, 128, 255]]


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.png"):
        load_image(tmp_path / "none.png")
    path = tmp_path / "text.png"
    path.write_text("hello")
    with pytest.raises(MediaError, match=r"text\.png: not an image"):
        load_image(path)
    save_image(np.random.default_rng(0).random((40, 40)), tmp_path / "cut.png")
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError, match=r"cut\.png: not an image"):
        load_image(tmp_path / "cut.png")


def test_an_image_above_the_size_limit_of_pillow_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_image(np.zeros((8, 8)), tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)  # Pillow rejects twice as many pixels
    with pytest.raises(MediaError, match=r"huge\.png: too large .*crop it.*64 pixels"):
        load_image(tmp_path / "huge.png")


def test_a_strip_holds_every_image_unchanged_in_its_order() -> None:
    images = [np.random.default_rng(seed).random((20, 30)) for seed in range(3)]
    strip = to_bytes(side_by_side(images, ["one", "two", "three"]))
    positions = []
    for image in images:
        windows = np.lib.stride_tricks.sliding_window_view(strip, (20, 30))
        matches = np.argwhere((windows == to_bytes(image)).all(axis=(2, 3)))
        assert len(matches) == 1
        positions.append(tuple(matches[0]))
    assert len({row for row, _ in positions}) == 1
    assert positions == sorted(positions)


def test_a_contact_sheet_has_rows_and_is_grey_only_if_all_images_are() -> None:
    grey, colour = np.zeros((10, 10)), np.zeros((3, 10, 10))
    assert contact_sheet([grey] * 5, columns=2).shape[0] == 1
    mixed = contact_sheet([grey, colour], columns=2)
    assert mixed.shape[0] == 3
    tall, wide = contact_sheet([grey] * 4, columns=1), contact_sheet([grey] * 4, columns=4)
    assert tall.shape[1] == wide.shape[2]


def test_captions_are_drawn_within_their_image() -> None:
    bare = side_by_side([np.zeros((20, 40))] * 2, ["", ""])
    written = side_by_side([np.zeros((20, 40))] * 2, ["", "a caption far too long for it"])
    changed = np.argwhere(bare[0] != written[0])
    assert len(changed) > 20
    assert changed[:, 1].min() >= 40  # nothing on the first image


def test_sheets_without_images_or_with_too_few_captions_are_rejected() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        side_by_side([])
    with pytest.raises(ValueError, match="2 images need as many captions, got 1"):
        side_by_side([np.zeros((2, 2))] * 2, ["a"])
