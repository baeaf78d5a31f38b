"""Contact sheets of headerless recordings."""

from pathlib import Path

import numpy as np

from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.dat_sizes import StoredSize
from spike_zoo.media import load_image
from spike_zoo.methods.classical import TFI
from spike_zoo.pages.size_sheet import STORED, tiles_of_orientations, tiles_of_sizes, write_sheet
from spike_zoo.spikes.rate_scale import estimate_rate_scale
from tests.helpers.streams import smooth_scene

HEIGHT, WIDTH = 48, 64
SIZES = [StoredSize(HEIGHT, WIDTH, None, 16, 40, 0), StoredSize(32, 96, None, 0, 40, 16)]


def _path(folder: Path) -> Path:
    path = write_recording(smooth_scene(40, HEIGHT, WIDTH), folder / "a.dat")
    path.write_bytes(bytes(16) + path.read_bytes())
    return path


def test_a_tile_is_the_image_that_its_options_give(tmp_path: Path) -> None:
    path = _path(tmp_path)
    recording = read_recording(path, height=HEIGHT, width=WIDTH, offset=16, **STORED)
    tiles = tiles_of_orientations(recording)
    assert len({tile.options for tile in tiles}) == 8
    for tile in tiles:
        words = " ".join(tile.options).split()
        stated = dict(zip(words[::2], words[1::2], strict=True))
        oriented = read_recording(
            path,
            height=HEIGHT,
            width=WIDTH,
            offset=16,
            flip=stated["--flip"] == "true",
            mirror=stated["--mirror"] == "true",
            rotate=int(stated.get("--rotate", 0)),
        )
        scale = estimate_rate_scale(oriented)
        image = TFI(9).reconstruct(oriented, [20], rate_scale=scale)[0, 0].numpy()
        np.testing.assert_array_equal(tile.image, image)


def test_the_first_size_has_four_orientations_and_all_needed_settings(tmp_path: Path) -> None:
    tiles = tiles_of_sizes(_path(tmp_path), SIZES)
    assert [tile.image.shape for tile in tiles] == [(48, 64)] * 4 + [(32, 96)]
    assert str(tiles[1]) == "--height 48 --width 64 --offset 16 --flip false --mirror false"
    assert str(tiles[4]) == "--height 32 --width 96 --allow-partial"


def test_images_of_all_sizes_fill_cells_of_one_size_below_their_labels(tmp_path: Path) -> None:
    write_sheet(tiles_of_sizes(_path(tmp_path), SIZES), tmp_path / "a.png", overwrite=False)
    sheet = load_image(tmp_path / "a.png")[0]
    labels = 3 * round(1.7 * 25)  # size, orientation, offset
    assert sheet.shape == (2 * (300 + labels + 6) + 6, 4 * (400 + 6) + 6)
    bright = sheet[6 : 6 + labels] > 0.8
    assert [bool(part.any()) for part in np.array_split(bright, 3)] == [True] * 3
