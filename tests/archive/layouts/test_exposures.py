"""Layouts of S-SDM and USP-Gaussian, on small trees of files."""

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
from spike_zoo.archive.layouts.exposures import ExposureRule
from spike_zoo.cli.main import main
from spike_zoo.data.deblur import Exposures
from spike_zoo.errors import GeometryError, MissingFileError, PlaneRangeError, UsageError
from tests.helpers.streams import random_spikes

SIZE = (10, 16)
SEED = {"000019": 1, "000032": 2}
SEQUENCES = {"train": "GOPR0372_07_00", "test": "GOPR0384_11_00"}


def random_image(seed: int, ratio: int = 4) -> NDArray[np.uint8]:
    shape = (ratio * SIZE[0], ratio * SIZE[1], 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, image, check_contrast=False)


def write_spikes(path: Path, planes: int, seed: int) -> NDArray[np.bool_]:
    """Write planes bottom row first, as the authors of the data set; return them top row first."""
    spikes = random_spikes(planes, *SIZE, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.packbits(spikes[:, ::-1], axis=-1, bitorder="little").tobytes())
    return spikes


def gopro(root: Path, *, sharp: bool = True) -> Path:
    """Write a tree like GOPRO: a sequence in each stage, its first exposure without spikes."""
    for stage, sequence in SEQUENCES.items():
        folder = root / stage
        write_image(folder / "blur_data" / sequence / "000006.png", random_image(9))
        for name, seed in SEED.items():
            write_spikes(folder / "spike_data" / sequence / f"{name}.dat", 137, seed)
            write_image(folder / "blur_data" / sequence / f"{name}.png", random_image(seed))
            if sharp:
                path = folder / "sharp_data" / sequence / f"{name}.png"
                write_image(path, random_image(10 + seed))
    return root


def find(root: Path, **options: Any) -> DetectedTakes:
    return find_takes(root, height=SIZE[0], width=SIZE[1], **options)


def build(takes: DetectedTakes, path: Path) -> SpikeArchive:
    return SpikeArchive(build_archive(path, takes.jobs, splits=takes.splits))


def test_gopro_is_detected_by_its_folders_and_listed_by_its_spike_files(tmp_path: Path) -> None:
    archive = build(find(gopro(tmp_path / "set")), tmp_path / "a.h5")
    assert archive.names("train") == ["GOPR0372_07_00-000019", "GOPR0372_07_00-000032"]
    assert archive.names("test") == ["GOPR0384_11_00-000019", "GOPR0384_11_00-000032"]
    for name, seed in zip(archive.names("train"), SEED.values(), strict=True):
        np.testing.assert_array_equal(archive[name][0:137], random_spikes(137, *SIZE, seed=seed))
        np.testing.assert_array_equal(archive.blur(name), random_image(seed)[None])
        np.testing.assert_array_equal(archive.images(name), random_image(10 + seed)[None])
        assert archive.blur_span(name).tolist() == [[20, 117]]
        assert archive.image_index(name).tolist() == [68]
        assert archive[name].rate_scale == pytest.approx(0.993, abs=5e-4)
        assert archive[name].fps == 1920  # 240 frames a second, eight planes each
    findings = archive.verify()
    assert {finding.code for finding in findings} == {"W01"}  # the tree repeats its spikes


def test_samples_of_gopro_equal_the_published_ones(tmp_path: Path) -> None:
    archive = build(find(gopro(tmp_path / "set")), tmp_path / "a.h5")
    sample = Exposures(archive, "test")[0]
    assert sample["packed"].shape == (137, 10, 2)
    assert sample["planes"].tolist() == [68]
    np.testing.assert_array_equal(sample["images"][0], random_image(11).transpose(2, 0, 1))


def test_neighbouring_frames_of_the_video_become_the_ground_truth_sequence(tmp_path: Path) -> None:
    root = gopro(tmp_path)
    for frame in (26, 28, 30, 34, 36, 38, 33, 40):  # 33 is between two times, 40 outside
        write_image(
            root / "test/sharp_data/GOPR0384_11_00" / f"{frame:06d}.png", random_image(frame)
        )
    take: Any = find(root).jobs["GOPR0384_11_00-000032"]()
    assert take.image_index.tolist() == [20, 36, 52, 68, 84, 100, 116]
    np.testing.assert_array_equal(take.images[4], random_image(34))


def test_a_data_set_without_sharp_images_gives_takes_without_images(tmp_path: Path) -> None:
    take = find(gopro(tmp_path, sharp=False)).jobs["GOPR0372_07_00-000019"]()
    assert take.images is None
    assert take.blur is not None


def rsb(root: Path, planes: int = 400) -> NDArray[np.bool_]:
    spikes = write_spikes(root / "spike_data" / "Board-L" / "1.dat", planes, 5)
    write_image(root / "blur_data" / "Board-L" / "1.jpg", random_image(5))
    return spikes


def test_rsb_has_an_even_exposure_between_its_margins_and_no_ground_truth(tmp_path: Path) -> None:
    spikes = rsb(tmp_path)
    take: Any = find(tmp_path).jobs["Board-L-1"]()
    assert find(tmp_path).splits == {"test": ["Board-L-1"]}
    np.testing.assert_array_equal(take.recording[0:400], spikes)
    assert take.blur_span.tolist() == [[20, 380]]
    assert take.images is None
    assert take.blur.shape == (1, 40, 64, 3)
    assert take.recording.rate_scale is None


@pytest.mark.parametrize(
    ("rule", "span"),
    [
        (ExposureRule(start=0), [0, 400]),
        (ExposureRule(start=30, length=200), [30, 230]),
        (ExposureRule(length=97), [20, 117]),
        (ExposureRule(start=100), [100, 300]),
    ],
)
def test_the_exposure_can_be_stated(tmp_path: Path, rule: ExposureRule, span: list[int]) -> None:
    rsb(tmp_path)
    take: Any = find(tmp_path, exposure=rule).jobs["Board-L-1"]()
    assert take.blur_span.tolist() == [span]


def test_the_command_takes_exposure_scale_and_split(tmp_path: Path) -> None:
    rsb(tmp_path / "rsb")
    out = tmp_path / "rsb.h5"
    words = f"--height 10 --width 16 --exposure-start 50 --rate-scale 0.7 --split train {out}"
    assert main(["archive", "build", str(tmp_path / "rsb"), *words.split()]) == 0
    with SpikeArchive(out) as archive:
        assert archive.names("train") == ["Board-L-1"]
        assert archive.blur_span("Board-L-1").tolist() == [[50, 350]]
        assert archive["Board-L-1"].rate_scale == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train/blur_data/GOPR0372_07_00/000032.png", "its blurry image"),
        ("test/sharp_data/GOPR0384_11_00/000019.png", "its sharp image"),
    ],
)
def test_a_missing_image_is_named(tmp_path: Path, name: str, message: str) -> None:
    (gopro(tmp_path) / name).unlink()
    with pytest.raises(MissingFileError, match=f"{message} .*{re.escape(name)}"):
        find(tmp_path)


def test_an_image_whose_size_is_not_a_multiple_of_the_spikes_is_rejected(tmp_path: Path) -> None:
    path = gopro(tmp_path) / "train/blur_data/GOPR0372_07_00/000019.png"
    write_image(path, random_image(1)[:, :-4])
    with pytest.raises(GeometryError, match=r"000019\.png: 40x60 pixels .* spikes' 10x16"):
        find(tmp_path).jobs["GOPR0372_07_00-000019"]()


def test_exposure_options_are_rejected_for_other_layouts(tmp_path: Path) -> None:
    rsb(tmp_path)
    with pytest.raises(UsageError, match="gopro, rsb and usp, not for folder"):
        find(tmp_path, layout="folder", exposure=ExposureRule(start=3))


@pytest.mark.parametrize(
    ("option", "value"),
    [("--exposure-start", "-1"), ("--exposure-length", "0"), ("--rate-scale", "0")],
)
def test_impossible_exposures_are_rejected(
    tmp_path: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rsb(tmp_path)
    words = ["archive", "build", str(tmp_path), str(tmp_path / "a.h5"), f"{option}={value}"]
    assert main(words) == 2
    assert option in capsys.readouterr().err


def usp(scene: Path, planes: int = 177) -> Path:
    """Write two views of a scene of USP-Gaussian, with images of the size of the spikes."""
    for name, seed in SEED.items():
        write_spikes(scene / "spike_data" / f"{name}.dat", planes, seed)
        write_image(scene / "blur_data" / f"{name}.png", random_image(seed, ratio=1))
        write_image(scene / "sharp_data" / f"{name}.png", random_image(10 + seed, ratio=1))
    return scene


def test_a_scene_of_usp_gaussian_has_an_exposure_for_each_view(tmp_path: Path) -> None:
    archive = build(find(usp(tmp_path / "wine")), tmp_path / "a.h5")
    assert archive.names("test") == ["000019", "000032"]
    for name, seed in SEED.items():
        np.testing.assert_array_equal(archive[name][:], random_spikes(177, *SIZE, seed=seed))
        np.testing.assert_array_equal(archive.blur(name), random_image(seed, ratio=1)[None])
        np.testing.assert_array_equal(archive.images(name), random_image(10 + seed, ratio=1)[None])
        assert archive.blur_span(name).tolist() == [[40, 137]]
        assert archive.image_index(name).tolist() == [88]


def test_several_scenes_of_usp_gaussian_are_read_as_one_data_set(tmp_path: Path) -> None:
    for scene in ("wine", "train"):
        usp(tmp_path / scene, planes=137)
    takes = find(tmp_path)
    assert takes.splits == {
        "train": ["train-000019", "train-000032"], "test": ["wine-000019", "wine-000032"],
    }  # fmt: skip
    take: Any = find(tmp_path, exposure=ExposureRule(start=30)).jobs["wine-000019"]()
    assert take.blur_span.tolist() == [[30, 107]]


@pytest.mark.parametrize(("make", "name"), [(rsb, "Board-L-1"), (usp, "000019")])
def test_an_exposure_outside_its_recording_is_rejected(
    tmp_path: Path, make: Callable[..., object], name: str
) -> None:
    make(tmp_path, planes=40)
    with pytest.raises(PlaneRangeError, match=r"\.dat: .*the 40 planes.*--exposure-start"):
        find(tmp_path).jobs[name]()
