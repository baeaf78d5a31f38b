"""Layouts of published data sets, on small trees of files."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.io import imsave

from spike_zoo import SpikeArchive
from spike_zoo.archive import build_archive
from spike_zoo.archive.layouts.detection import DetectedTakes, find_takes
from spike_zoo.data.windows import ReconstructionWindows
from spike_zoo.errors import FormatError, GeometryError, MissingFileError
from spike_zoo.formats import write_recording
from tests.helpers.streams import random_spikes

TRAIN_SPIKES = "crop_mini/spike/train/interp_20_alpha_0.40"
TRAIN_IMAGES = "crop_mini/image/train/train_orig"
VAL_SPIKES, VAL_IMAGES = "spike/val/interp_20_alpha_0.40", "imgs/val/val_orig"
SIZE = (16, 24)


def write_scene(
    root: Path, spikes: str, images: str, scene: str, files: int = 6, size: tuple[int, int] = SIZE
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Write a scene in the published format; return its planes and images, top row first."""
    shape = (20 * files, size[0], size[1] // 8)
    packed = np.random.default_rng(len(scene)).integers(0, 256, shape, dtype=np.uint8)
    stripes = np.random.default_rng(files).integers(0, 256, (files, size[0], 8, 3), dtype=np.uint8)
    levels = np.tile(stripes, (1, 1, size[1] // 8, 1))  # quickly compressed
    for folder in (root / spikes / scene, root / images / scene):
        folder.mkdir(parents=True)
    for number in range(files):
        part = packed[20 * number : 20 * number + 20, ::-1]  # stored upside down
        (root / spikes / scene / f"{number:08d}.dat").write_bytes(part.tobytes())
        name = root / images / scene / f"{number:08d}.png"
        imsave(name, levels[number], check_contrast=False)
    return np.unpackbits(packed, axis=-1, bitorder="little").view(np.bool_), levels


def build(takes: DetectedTakes, path: Path) -> SpikeArchive:
    return SpikeArchive(build_archive(path, takes.jobs, splits=takes.splits))


def test_windows_of_sreds_are_the_published_planes_and_targets(tmp_path: Path) -> None:
    root = tmp_path / "sreds"
    planes, images = write_scene(root, TRAIN_SPIKES, TRAIN_IMAGES, "000", files=6)
    archive = build(find_takes(root, height=SIZE[0], width=SIZE[1]), tmp_path / "a.h5")
    windows = ReconstructionWindows(archive, "train", 61)
    assert len(windows) == 3  # files - 3
    luma = images.astype(np.float32) / 255 @ np.array([0.299, 0.587, 0.114], np.float32)
    for j in (1, 2, 3):  # planes [20 j - 11, 20 j + 50), image j + 1
        sample = windows[j - 1]
        assert sample["plane"] == 20 * j + 19
        bits = np.unpackbits(sample["packed"], axis=-1, bitorder="little")
        np.testing.assert_array_equal(bits, planes[20 * j - 11 : 20 * j + 50])
        np.testing.assert_allclose(sample["image"][0], luma[j + 1], atol=1e-6)
        assert sample["rate_scale"] == np.float32(0.4)
    assert archive["000"].fps == 2400
    assert archive.verify() == []


def test_both_halves_of_sreds_have_their_published_sizes(tmp_path: Path) -> None:
    write_scene(tmp_path, TRAIN_SPIKES, TRAIN_IMAGES, "000", files=4, size=(96, 96))
    write_scene(tmp_path, TRAIN_SPIKES, TRAIN_IMAGES, "001", files=5, size=(96, 96))
    write_scene(tmp_path, VAL_SPIKES, VAL_IMAGES, "000", files=4, size=(720, 1280))
    takes = find_takes(tmp_path)  # detected by its folders
    assert takes.splits == {"train": ["000", "001"], "val": ["val-000"]}
    assert takes.jobs["001"]().recording.shape == (100, 96, 96)
    assert takes.jobs["val-000"]().recording.shape == (80, 720, 1280)


def test_grey_images_of_sreds_keep_their_values(tmp_path: Path) -> None:
    write_scene(tmp_path, TRAIN_SPIKES, TRAIN_IMAGES, "000", files=4)
    levels = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE)
    for path in (tmp_path / TRAIN_IMAGES / "000").iterdir():
        imsave(path, levels, check_contrast=False)
    take: Any = find_takes(tmp_path, height=SIZE[0], width=SIZE[1]).jobs["000"]()
    np.testing.assert_array_equal(take.images, np.stack([levels / np.float32(255)] * 3))


def remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def cut(root: Path) -> None:
    path = root / TRAIN_SPIKES / "001" / "00000003.dat"
    path.write_bytes(path.read_bytes()[:-1])


def drop_images(root: Path) -> None:
    (root / TRAIN_IMAGES).rename(root / "elsewhere")


def leave_three_files(root: Path) -> None:
    for number in (3, 4, 5):
        for folder, suffix in ((TRAIN_SPIKES, "dat"), (TRAIN_IMAGES, "png")):
            (root / folder / "000" / f"{number:08d}.{suffix}").unlink()


def empty_scene(root: Path) -> None:
    (root / TRAIN_IMAGES / "0005").mkdir()


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (remove(f"{TRAIN_SPIKES}/001/00000002.dat"), MissingFileError, "001/00000002.dat: missing"),
        (remove(f"{TRAIN_IMAGES}/000/00000000.png"), MissingFileError, "000/00000000.png: missing"),
        (drop_images, MissingFileError, f"{TRAIN_IMAGES}: this folder is missing"),
        (cut, GeometryError, "001/00000003.dat: 959 bytes, expected 960 (20 planes of 16x24)"),
        (
            leave_three_files,
            FormatError,
            "scene 000 has 3 files of spikes, but a window of 61 planes needs at least 4",
        ),
        (empty_scene, FormatError, "scene 0005 has 0 files of spikes"),
    ],
)
def test_a_broken_tree_is_rejected_naming_the_first_file(
    tmp_path: Path, damage: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    for scene in ("000", "001"):
        write_scene(tmp_path, TRAIN_SPIKES, TRAIN_IMAGES, scene)
    damage(tmp_path)
    with pytest.raises(error, match=re.escape(message)):
        find_takes(tmp_path, height=SIZE[0], width=SIZE[1])


def test_all_scenes_with_gaps_are_counted(tmp_path: Path) -> None:
    for scene in ("000", "001", "002"):
        write_scene(tmp_path, TRAIN_SPIKES, TRAIN_IMAGES, scene)
        remove(f"{TRAIN_SPIKES}/{scene}/00000001.dat")(tmp_path)
    with pytest.raises(MissingFileError, match=r"000/00000001\.dat.*2 more scenes lack files"):
        find_takes(tmp_path, height=SIZE[0], width=SIZE[1])


def test_an_image_of_another_size_is_rejected_by_name(tmp_path: Path) -> None:
    write_scene(tmp_path, TRAIN_SPIKES, TRAIN_IMAGES, "000")
    path = tmp_path / TRAIN_IMAGES / "000" / "00000002.png"
    imsave(path, np.zeros((16, 25), np.uint8), check_contrast=False)
    job = find_takes(tmp_path, height=SIZE[0], width=SIZE[1]).jobs["000"]
    with pytest.raises(FormatError, match=r"00000002\.png: 16x25 pixels, .* 16x24"):
        job()


def test_a_folder_that_is_not_sreds_is_rejected_with_the_folders_of_sreds(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=rf"not SREDS: neither .*{TRAIN_SPIKES} nor .*val"):
        find_takes(tmp_path, layout="sreds")


@pytest.mark.parametrize("name", ["my_recvidar", "recvidar-own", "recVidarReal2019.old"])
def test_a_user_folder_is_not_detected_as_a_published_set_by_part_of_its_name(
    tmp_path: Path, name: str
) -> None:
    write_recording(random_spikes(5, 6, 16), tmp_path / name / "train" / "s.dat")
    imsave(tmp_path / name / "train" / "s.png", np.zeros((6, 16), np.uint8), check_contrast=False)
    takes = find_takes(tmp_path / name, height=6, width=16)
    assert takes.splits == {"train": ["s"]}
    assert takes.jobs["s"]().images is not None


@pytest.mark.parametrize(
    ("layout", "folder", "height", "width", "cfa"),
    [("momvidar", "momVidarReal2021", 250, 400, None), ("bss", "BSS", 1000, 1000, "BGGR")],
)
def test_further_real_sets_have_their_size_and_filters(
    tmp_path: Path, layout: str, folder: str, height: int, width: int, cfa: str | None
) -> None:
    planes = random_spikes(2, height, width)
    stored = np.packbits(planes[:, ::-1], axis=-1, bitorder="little").tobytes()
    clip = tmp_path / folder / "street" / "clip.dat"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(stored)
    for chosen in ("auto", layout):
        archive = build(find_takes(tmp_path / folder, layout=chosen), tmp_path / f"{chosen}.h5")
        assert archive.names("test") == ["clip"]
        np.testing.assert_array_equal(archive["clip"][:], planes)
        assert archive["clip"].cfa == cfa
    height_and_width = find_takes(tmp_path / folder, layout=layout, cfa="RGGB").jobs["clip"]()
    assert height_and_width.recording.cfa == "RGGB", "options override layout defaults"
    clip.write_bytes(stored[:-1])
    with pytest.raises(GeometryError, match="not a whole number of planes"):
        find_takes(tmp_path / folder, layout=layout).jobs["clip"]()


@pytest.mark.parametrize("layout", ["auto", "recvidar"])
def test_real_recordings_need_no_size_and_have_no_ground_truth(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "recVidarReal2019"
    planes = random_spikes(7, 250, 400)
    stored = np.packbits(planes[:, ::-1], axis=-1, bitorder="little").tobytes()
    for name in ("classA/car.dat", "classB/car.dat", "train.dat"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(stored)
    archive = build(find_takes(root, layout=layout), tmp_path / "real.h5")
    assert archive.names("test") == ["classA-car", "classB-car", "train"]
    np.testing.assert_array_equal(archive["classA-car"][:], planes)
    assert archive["train"].rate_scale is None
    assert archive.image_index("train").tolist() == []
