"""The shipped photographs, and folders of photographs of users."""

import csv
import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spike_zoo.errors import MediaError, MissingFileError, SpikeZooError, UsageError
from spike_zoo.media.image_files import read_image
from spike_zoo.simulation import Scene, SceneSpec, default_scenes
from spike_zoo.simulation.scenes.photograph_copies import PhotographFeatures, copied_photograph
from spike_zoo.simulation.scenes.photograph_sets import photograph_set, shipped_photographs
from spike_zoo.simulation.scenes.photographs import (
    SHIPPED_FOLDER,
    image_levels,
    photograph,
    photograph_file,
)

LICENCES = {"CC0-1.0", "CC-BY-4.0", "public domain"}


def random_image(seed: int, height: int = 60, width: int = 72) -> Image.Image:
    """Return a smooth random image."""
    levels = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "my photos + more"
    path.mkdir()
    for seed in range(4):
        random_image(seed).save(path / f"{seed}+a.png")
    return path


def cut_out(path: Path) -> None:
    """Save a red upright rectangle on a transparent blue plane."""
    levels = np.zeros((40, 40, 4), dtype=np.uint8)
    levels[..., 2] = 255
    levels[5:35, 15:25] = 255, 0, 0, 255
    Image.fromarray(levels).save(path)


def test_the_table_lists_every_file_with_an_allowed_licence() -> None:
    with (SHIPPED_FOLDER / "table.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    files = [row["file"] for row in rows]
    assert sorted(files) == sorted(path.name for path in SHIPPED_FOLDER.glob("*.jpg"))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*\.jpg", file) for file in files)
    assert {row["licence"] for row in rows} <= LICENCES
    assert all(row["source"] for row in rows)
    assert all(row["author"] for row in rows if row["licence"].startswith("CC-BY"))
    assert Counter(row["split"] for row in rows) == {"train": 19, "val": 4, "test": 24}
    assert sum(path.stat().st_size for path in SHIPPED_FOLDER.iterdir()) <= 4_000_000


def test_shipped_photographs_are_in_colour_without_metadata() -> None:
    names = list(itertools.chain(*photograph_set("default").names.values()))
    assert len(names) == len(set(names)) == 47
    for name in names:
        image = photograph(name)
        assert 320 <= min(image.shape[1:]) <= max(image.shape[1:]) <= 640
        with Image.open(SHIPPED_FOLDER / f"{name.removeprefix('default/')}.jpg") as file:
            assert file.mode == "RGB"
            assert not {"exif", "icc_profile", "comment", "xmp"} & file.info.keys()


def test_a_folder_replaces_the_training_photographs(folder: Path, tmp_path: Path) -> None:
    chosen, shipped = photograph_set(str(folder), (40, 48)), photograph_set("default")
    assert chosen.name == "my photos + more"
    assert {**chosen.names, "train": ()} == {**shipped.names, "train": ()}
    scenes = default_scenes("train", 20, height=40, width=48, planes=9, photographs=chosen)
    leaves = next(spec for spec in scenes if spec.background.startswith("leaves:"))
    assert Scene(leaves).luminance(0, 1).std() > 0.01
    assert leaves.record()["background"].startswith("leaves:")
    assert str(tmp_path) not in str([spec.record() for spec in scenes])
    expected = read_image(folder / "2+a.png").transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_array_equal(photograph(chosen.names["train"][2]), expected)
    moved = folder.rename(tmp_path / "moved")
    assert photograph_set(str(moved)).sha256 == chosen.sha256
    random_image(9).save(moved / "3+a.png")
    assert photograph_set(str(moved)).sha256 != chosen.sha256


def test_photographs_of_any_type_are_read_and_reduced(folder: Path) -> None:
    grey = np.linspace(0, 65535, 900 * 450).reshape(900, 450).astype(np.uint16)
    Image.fromarray(grey).save(folder / "grey16.png")
    random_image(5).convert("LA").save(folder / "opaque.png")
    random_image(6).convert("P").save(folder / "palette.png")
    chosen = photograph_set(str(folder))
    assert not chosen.cutouts
    images = {name.rpartition("/")[2]: photograph(name) for name in chosen.names["train"]}
    assert images["grey16.png"].shape == (3, 640, 320)
    assert images["grey16.png"].max() == 1.0
    assert images["opaque.png"].shape == images["palette.png"].shape == (3, 60, 72)


@pytest.mark.parametrize("case", ["empty", "none", "small", "damaged", "cmyk", "hidden"])
def test_unusable_folders_are_rejected_by_name_with_a_remedy(folder: Path, case: str) -> None:
    error: type[SpikeZooError] = MediaError
    if case == "empty":
        for file in folder.iterdir():
            file.rename(file.with_suffix(".txt"))
        error, message = UsageError, r"--photographs .*: 0 photographs.*at least 4.*; add some"
    elif case == "none":
        folder, error, message = folder / "none", MissingFileError, "there is no such folder; give"
    elif case == "small":
        random_image(7, 39, 48).save(folder / "x.png")
        message = r"x\.png: 39 x 48 pixels, smaller than a scene of 40 x 48; remove it"
    elif case == "damaged":
        random_image(7).save(folder / "x.jpg")
        (folder / "x.jpg").write_bytes((folder / "x.jpg").read_bytes()[:400])
        message = r"x\.jpg: not an image that can be read.*; or remove the file"
    elif case == "cmyk":
        random_image(7).convert("CMYK").save(folder / "x.jpg")
        message = r"x\.jpg: its colours are CMYK, expected .*; save it as R,G,B; or remove"
    else:
        Image.new("RGBA", (60, 72)).save(folder / "x.png")
        message = r"x\.png: the image is transparent everywhere; remove it"
    with pytest.raises(error, match=message) as caught:
        photograph_set(str(folder), (40, 48))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "is_negative"), [("otters", False), ("otters", True), ("chelsea", False)]
)
def test_copies_of_test_photographs_are_rejected(
    folder: Path, name: str, is_negative: bool
) -> None:
    source = photograph(name if name == "chelsea" else f"default/{name}")
    source = 1 - source if is_negative else source
    levels = Image.fromarray((255 * source).astype(np.uint8).transpose(1, 2, 0))
    mirrored = levels.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.resize((300, 200)).save(folder / "holiday.jpg", quality=60)
    with pytest.raises(MediaError, match=rf"holiday\.jpg: .*test photograph {name}.*remove it"):
        photograph_set(str(folder))


@pytest.mark.parametrize("name", ["otters", "green-hills"])
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_turned_and_cropped_test_photographs_are_rejected(
    folder: Path, name: str, turns: int, is_mirrored: bool
) -> None:
    with Image.open(SHIPPED_FOLDER / f"{name}.jpg") as file:
        levels = np.rot90(np.asarray(file.convert("L")), turns)
    levels = levels[:, ::-1] if is_mirrored else levels
    height, width = levels.shape
    cropped = levels[height // 10 :, : -width // 10]
    for part in (levels, cropped):
        Image.fromarray(part).resize((part.shape[1] // 2, part.shape[0] // 2)).save(
            folder / "holiday.jpg", quality=50
        )
        with pytest.raises(MediaError, match=rf"holiday\.jpg: .*test photograph {name}"):
            photograph_set(str(folder))


def test_cut_outs_of_test_photographs_are_rejected(folder: Path) -> None:
    with Image.open(SHIPPED_FOLDER / "otters.jpg") as file:
        image = file.convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, image.width // 3, image.height))
    image.save(folder / "animals.png")
    with pytest.raises(MediaError, match=r"animals\.png: .*test photograph otters"):
        photograph_set(str(folder))


@pytest.mark.slow
def test_shipped_photographs_are_not_taken_for_each_other() -> None:
    names = [name for split in shipped_photographs().names.values() for name in split]
    features: dict[str, Any] = {}
    for name in names:
        levels = image_levels(photograph_file(name))
        assert copied_photograph(levels, features) is None
        features[name] = PhotographFeatures.of(levels)


def test_copies_of_validation_photographs_are_left_out(folder: Path) -> None:
    with Image.open(SHIPPED_FOLDER / "taipei-city.jpg") as file:
        file.resize((400, 270)).convert("L").save(folder / "city.png")
    with pytest.warns(UserWarning, match=r"left out of training: city\.png"):
        chosen = photograph_set(str(folder))
    assert len(chosen.names["train"]) == 4


def test_cut_outs_become_moving_objects_of_their_shape(folder: Path) -> None:
    cut_out(folder / "rectangle.png")
    chosen = photograph_set(str(folder))
    assert len(chosen.names["train"]) == 4
    (uri,) = chosen.cutouts
    scenes = default_scenes("train", 40, photographs=chosen)
    assert any(f"cutout:{uri}" in spec.objects for spec in scenes)
    spec = SceneSpec("s", 3, 128, 128, 9, "noise", (f"cutout:{uri}",), object_speed=0.1, speed=0.0)
    assert spec.record()["objects"] == ("cutout:rectangle.png",)
    red, green, blue = Scene(spec).colour(4, 5)[0]
    rows, columns = np.nonzero((red > 0.98) & (green < 0.02) & (blue < 0.02))
    assert len(rows) > 100
    spreads = np.sqrt(np.linalg.eigvalsh(np.cov(rows, columns)))
    assert spreads[1] / spreads[0] == pytest.approx(3.0, rel=0.15)
