"""Tests of the archive commands: build, info, verify, export."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.cli.archive import readable_bytes
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.media.image_files import read_image
from spike_zoo.spikes import SpikeRecording
from spike_zoo.utils.files import plain_name
from tests.helpers.archives import add_annotations, make_take, write_archive, write_takes
from tests.helpers.commands import Zoo
from tests.helpers.streams import random_spikes

BUILD = "archive build clips a.h5 --jobs 1"


def test_a_folder_is_built_verified_and_exported_byte_for_byte(shared: Path, zoo: Zoo) -> None:
    source = shared / "data" / "base"
    result = zoo(f"archive build {source} base.h5 --jobs 1")
    assert "203_part1_key_id151  test   301     400 x 250" in result.out
    assert zoo("archive verify base.h5").code == zoo("archive export base.h5 clips").code == 0
    for split, name in (("test", "203_part1_key_id151"), ("train", "203_part2_key_id151")):
        exported = Path("clips", f"{name}.dat")
        assert exported.read_bytes() == (source / split / "spike" / exported.name).read_bytes()
        assert read_recording(exported).rate_scale == 0.6


def test_lossless_recordings_are_built_and_exported_bit_for_bit(zoo: Zoo) -> None:
    recording = SpikeRecording.from_planes(random_spikes(30, 6, 21), rate_scale=0.6)
    lossless_file = write_recording(recording, "clips/train/a.spl")
    for options in ("", "--compression gzip --overwrite"):
        assert zoo(f"{BUILD} {options}").code == zoo("archive verify a.h5").code == 0
        with SpikeArchive("a.h5") as archive:
            assert archive.names("train") == ["a"]
            assert archive["a"].rate_scale == 0.6
            np.testing.assert_array_equal(archive["a"][:], recording[:])
    assert zoo("archive export a.h5 b.spl").code == 0
    assert Path("b.spl").read_bytes() == lossless_file.read_bytes()


def test_recordings_outside_all_splits_are_reported_once(zoo: Zoo) -> None:
    for place in ("train/a", "b", "other/c"):
        write_recording(random_spikes(5, 6, 16), f"clips/{place}.npz")
    (warning,) = zoo(f"{BUILD} --quiet").err.splitlines()
    assert warning.startswith("warning: ")
    assert "in no split: 2, b is the first" in warning
    for split in ("train", "train-2", "night", "valtest"):
        assert zoo(f"{BUILD} --split {split} --overwrite true").err == ""
        assert SpikeArchive("a.h5").splits() == [split]


def test_info_shows_recordings_and_splits(zoo: Zoo) -> None:
    write_archive(Path("a.h5"), takes=3)
    out = zoo("archive info a.h5").out
    assert "archive of 3 recordings" in out
    assert "split train: 2" in out
    assert "take2  test   37      21 x 12  20000  0.6         3       1       2      scene2" in out
    facts = json.loads(zoo("archive info a.h5 --json").out)
    assert facts["splits"] == {"train": ["take0", "take1"], "test": ["take2"]}
    assert facts["recordings"][1]["shape"] == [37, 12, 21]
    assert facts["data_sha256"] == SpikeArchive("a.h5").data_sha256()
    write_archive(Path("long.h5"), takes=30)
    out = zoo("archive info long.h5").out
    assert len(out.splitlines()) < 32
    assert "and 6 more" in out


def test_info_counts_the_takes_of_each_class(zoo: Zoo) -> None:
    write_archive(Path("a.h5"), takes=3, label_names=("car", "bus", "van", "bicycle"))
    lines = [line.split() for line in zoo("archive info a.h5").out.splitlines()]
    assert ["label", "class", "takes", "train", "test"] in lines
    assert ["2", "van", "1", "0", "1"] in lines
    assert ["3", "bicycle", "0", "0", "0"] in lines
    classes = json.loads(zoo("archive info a.h5 --json").out)["classes"]
    splits = {"train": 1, "test": 0}
    assert classes[1] == {"label": 1, "name": "bus", "takes": 1, "splits": splits}
    with h5py.File("a.h5", "r+") as file:
        file.attrs["label_names"] = "car"
    damaged = json.loads(zoo("archive info a.h5 --json").out)  # verify reports the fault
    assert damaged["classes"] == []


def test_an_archive_with_damaged_images_is_listed_without_a_digest(zoo: Zoo) -> None:
    path = write_archive(Path("a.h5"), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["recordings/take0/blur"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 255
    path.write_bytes(data)
    facts = json.loads(zoo("archive info a.h5 --json").out)
    assert (facts["data_sha256"], len(facts["recordings"])) == (None, 2)


def test_verify_prints_a_line_for_each_finding_and_exits_with_one(zoo: Zoo) -> None:
    path = write_archive(Path("a.h5"))
    assert zoo("archive verify a.h5") == (0, "a.h5: valid\n", "")
    with h5py.File(path, "r+") as file:
        file["recordings/take0/spikes"][3, 2, 1] ^= 4
        file["recordings/take1"].attrs["fps"] = 0.0
    result = zoo("archive verify a.h5")
    assert result.code == 1
    spikes, fps, summary = result.out.splitlines()
    assert spikes.split()[:2] == ["E06", "recordings/take0/spikes"]
    assert fps.split()[:2] == ["W02", "recordings/take1"]
    assert summary == "a.h5: not valid (1 error, 1 warning)"


@pytest.mark.parametrize(
    ("command", "out"),
    [
        *(("archive export a.h5 ", name) for name in ("out", "b.h5", "b.spl")),
        ("compress a.h5 --out ", "b.spl"),
    ],
)
def test_a_damaged_recording_is_neither_exported_nor_compressed(
    command: str, out: str, zoo: Zoo
) -> None:
    with h5py.File(write_archive(Path("a.h5"), takes=1), "r+") as file:
        file["recordings/take0/spikes"][3, 2, 1] ^= 4
    result = zoo(command + out)
    assert (result.code, result.err.count("\n"), Path(out).exists()) == (1, 1, False)
    assert "a.h5: recordings/take0/spikes: damaged" in result.err


def test_damaged_images_are_not_exported_but_the_intact_spikes_are(zoo: Zoo) -> None:
    with h5py.File(write_archive(Path("a.h5"), takes=1), "r+") as file:
        file["recordings/take0/images"][0] = 0
    assert "a.h5: recordings/take0/images: damaged" in zoo("archive export a.h5 out").err
    assert zoo("archive export a.h5 b.spl").code == 0


def test_exported_images_equal_those_of_the_archive(zoo: Zoo) -> None:
    path = write_archive(Path("a.h5"), takes=1)
    assert zoo("archive export a.h5 out").code == 0
    sharp = sorted(Path("out/take0").iterdir())
    assert [file.name for file in sharp] == ["000-000005.png", "001-000015.png", "002-000015.png"]
    for file, image in zip(sharp, SpikeArchive(path).images("take0"), strict=True):
        np.testing.assert_array_equal(read_image(file), image)
    blurry = read_image(Path("out/blur/take0.tif"))  # floats
    np.testing.assert_array_equal(blurry, SpikeArchive(path).blur("take0")[0])


@pytest.mark.parametrize("name", ["..", "...", "..\\..\\a", "C:a", "a b", ".a", "a."])
@pytest.mark.parametrize("format", ["dat", "h5"])
def test_files_of_names_outside_the_schema_are_in_the_folder(
    name: str, format: str, zoo: Zoo
) -> None:
    with h5py.File(write_archive(Path("a.h5"), takes=2), "r+") as file:
        file.move("recordings/take0", f"recordings/{name}")
    assert zoo(f"archive export a.h5 deep/out/ --format {format}").code == 0
    assert zoo("compress a.h5 --name * --out deep/res/{name}.spl --jobs 1").code == 0
    line = "reconstruct a.h5 --name * --method tfi --out deep/res/{name}/ --jobs 1"
    assert zoo(line).code == 0
    assert sorted(path.name for path in Path("deep").iterdir()) == ["out", "res"]
    own = plain_name(name)
    assert Path(f"deep/out/{own}.{format}").is_file()
    assert Path(f"deep/res/{own}.spl").is_file()
    assert {path.name for path in Path("deep/res").glob("*/")} >= {own, "take1"}


def test_recordings_whose_files_would_have_one_name_are_rejected(zoo: Zoo) -> None:
    with h5py.File(write_archive(Path("a.h5"), takes=2), "r+") as file:
        file.move("recordings/take0", "recordings/a b")
        file.move("recordings/take1", "recordings/a_b")
    for line in ("archive export a.h5 out/", "compress a.h5 --name * --out out/{name}.spl"):
        result = zoo(f"{line} --overwrite")
        assert result.code in (1, 2)
        assert "would both be written to" in result.err
        assert not Path("out").exists()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_an_exported_recording_with_images_builds_an_equal_archive(
    dtype: type[np.generic], channels: tuple[int, ...], zoo: Zoo
) -> None:
    white = 1 if dtype == np.float32 else 255
    images = (white * np.random.default_rng(0).random((2, 12, 21, *channels))).astype(dtype)
    take = make_take(0, images=images, image_index=np.array([5, 15]), blur=None, blur_span=None)
    write_takes(Path("b.h5"), {"take0": take})
    assert zoo("archive export b.h5 clips").code == zoo(f"{BUILD} --split test").code == 0
    with SpikeArchive("a.h5") as rebuilt:
        np.testing.assert_array_equal(rebuilt.images("take0"), images)
        assert rebuilt.image_index("take0").tolist() == [5, 15]


def test_exported_exposures_are_deblurred(exposures_archive: Path, zoo: Zoo) -> None:
    assert zoo(f"archive export {exposures_archive} out").code == 0
    assert zoo("deblur out/blur out --frames 2 --out sharp").code == 0
    with SpikeArchive(exposures_archive) as archive:
        expected = {
            f"{name}-{plane:06d}.png"
            for name in archive
            for first, past in archive.blur_span(name).tolist()
            for plane in (first, past - 1)
        }
    assert {file.name for file in Path("sharp").glob("*.png")} == expected != set()


def test_a_recording_exported_to_an_archive_keeps_its_images_and_labels(zoo: Zoo) -> None:
    add_annotations(write_archive(Path("a.h5")), "take1")
    assert zoo("archive export a.h5 out --name take1 --format h5").code == 0
    exported, take = SpikeArchive("out/take1.h5"), make_take(1)
    assert take.images is not None
    np.testing.assert_array_equal(exported.images("take1"), take.images)
    np.testing.assert_array_equal(exported.blur_span("take1"), [[4, 30]])
    exported.close()
    with h5py.File(exported.path) as file:
        np.testing.assert_array_equal(file["recordings/take1/labels/boxes_index"], [4, 9])


@pytest.mark.parametrize("kind", ["dat", "npz", "npy", "h5", "hdf5", "spl"])
def test_the_suffix_of_a_file_is_its_format(kind: str, zoo: Zoo) -> None:
    write_archive(Path("a.h5"))
    write_archive(Path("b.h5"), takes=1)
    for line, seed in (("a.h5 one --name take1", 1), ("b.h5 only", 0)):
        archive, name, *options = line.split()
        assert zoo(f"archive export {archive} {name}.{kind}", *options).code == 0
        assert (read_recording(f"{name}.{kind}")[:] == make_take(seed).recording[:]).all()


def test_several_recordings_are_not_written_to_one_file(zoo: Zoo) -> None:
    write_archive(Path("a.h5"), takes=3)
    error = zoo("archive export a.h5 x.npz").err
    assert "x.npz is one file" in error
    assert "3 recordings; choose one with --name" in error
    error = zoo("archive export a.h5 x.npz --name take1 --format dat").err
    assert "--format is dat" in error
    assert not Path("x.npz").exists()
    assert zoo("archive export a.h5 x.npz/").code == 0  # a trailing slash means a folder
    assert {file.stem for file in Path("x.npz").glob("*.dat")} == {"take0", "take1", "take2"}


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (3_762_500, "3.76 MB"), (10**13, "10 TB")],
)
def test_sizes_have_three_digits_and_a_unit(size: int, text: str) -> None:
    assert readable_bytes(size) == text
