"""Tests of the archive commands: build, info, verify, export."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter
from spike_zoo.cli.archive import readable_bytes
from spike_zoo.cli.main import main
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.media.image_files import read_image
from spike_zoo.spikes import SpikeRecording
from tests.helpers.archives import add_annotations, make_take, write_archive
from tests.helpers.limits import largest_file
from tests.helpers.streams import random_spikes


def test_a_folder_is_built_verified_and_exported_byte_for_byte(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = shared / "data" / "base", str(tmp_path / "base.h5")
    assert main(["archive", "build", str(source), out, "--jobs", "1"]) == 0
    assert "203_part1_key_id151  test   301     400 x 250" in capsys.readouterr().out
    assert main(["archive", "verify", out]) == 0
    assert main(["archive", "export", out, str(tmp_path / "clips")]) == 0
    for split, name in (("test", "203_part1_key_id151"), ("train", "203_part2_key_id151")):
        exported = tmp_path / "clips" / f"{name}.dat"
        assert exported.read_bytes() == (source / split / "spike" / exported.name).read_bytes()
        assert read_recording(exported).rate_scale == 0.6


def test_lossless_recordings_are_built_and_exported_bit_for_bit(tmp_path: Path) -> None:
    recording = SpikeRecording.from_planes(random_spikes(30, 6, 21), rate_scale=0.6)
    lossless_file = write_recording(recording, tmp_path / "clips" / "train" / "a.spl")
    out = str(tmp_path / "a.h5")
    for options in ((), ("--along_time", "true", "--compression", "gzip", "--overwrite")):
        assert (
            main(["archive", "build", str(tmp_path / "clips"), out, "--jobs", "1", *options]) == 0
        )
        assert main(["archive", "verify", out]) == 0
        with SpikeArchive(out) as archive:
            assert archive.names("train") == ["a"]
            assert archive["a"].rate_scale == 0.6
            np.testing.assert_array_equal(archive["a"][:], recording[:])
    assert main(["archive", "export", out, str(tmp_path / "b.spl")]) == 0
    assert (tmp_path / "b.spl").read_bytes() == lossless_file.read_bytes()


@pytest.mark.parametrize("command", ["build", "export", "simulate"])
def test_a_full_disk_is_reported_on_one_line_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    archive = str(write_archive(tmp_path / "a.h5"))
    out = tmp_path / "out" / "b.h5"
    line = {
        "build": ["archive", "build", archive, str(out), "--jobs", "1"],
        "export": ["archive", "export", archive, str(out), "--name", "take0"],
        "simulate": ["simulate", "--size", "small", "--out", str(out), "--jobs", "1"],
    }[command]
    with largest_file(9000):
        assert main(line) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {out}: cannot be written (File too large)")
    assert error.count("\n") == 1
    assert not out.exists()
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_an_existing_archive_is_replaced_only_with_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording(random_spikes(5, 6, 16), tmp_path / "clips" / "a.npz")
    arguments = ["archive", "build", str(tmp_path / "clips"), str(tmp_path / "a.h5")]
    assert main([*arguments, "--jobs", "1"]) == 0
    assert main([*arguments, "--jobs", "1"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments, "--jobs", "1", "--overwrite", "true"]) == 0
    assert main([*arguments, "--jobs", "-2"]) == 2
    assert main([*arguments, "--layout", "reds"]) == 2


def test_recordings_outside_all_splits_are_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("train/a", "b", "other/c"):
        write_recording(random_spikes(5, 6, 16), tmp_path / "clips" / f"{place}.npz")
    arguments = ["archive", "build", str(tmp_path / "clips"), str(tmp_path / "a.h5")]
    assert main([*arguments, "--jobs", "1", "--quiet"]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: ")
    assert "in no split: 2, b is the first" in warning
    assert main([*arguments, "--jobs", "1", "--split", "train", "--overwrite", "true"]) == 0
    assert capsys.readouterr().err == ""


def test_info_shows_recordings_and_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_archive(tmp_path / "a.h5", takes=3))
    assert main(["archive", "info", path]) == 0
    out = capsys.readouterr().out
    assert "archive of 3 recordings" in out
    assert "split train: 2" in out
    assert "take2  test   37      21 x 12  20000  0.6         3       1       2      scene2" in out
    assert main(["archive", "info", path, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["splits"] == {"train": ["take0", "take1"], "test": ["take2"]}
    assert facts["recordings"][1]["shape"] == [37, 12, 21]
    assert facts["data_sha256"] == SpikeArchive(path).data_sha256()


def test_info_counts_the_takes_of_each_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_archive(tmp_path / "a.h5", takes=3, label_names=("car", "bus", "van", "bicycle"))
    assert main(["archive", "info", str(path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["label", "class", "takes", "train", "test"] in lines
    assert ["2", "van", "1", "0", "1"] in lines
    assert ["3", "bicycle", "0", "0", "0"] in lines
    assert main(["archive", "info", str(path), "--json"]) == 0
    classes = json.loads(capsys.readouterr().out)["classes"]
    assert classes[1] == {
        "label": 1, "name": "bus", "takes": 1, "splits": {"train": 1, "test": 0},
    }  # fmt: skip
    with h5py.File(path, "r+") as file:
        file.attrs["label_names"] = "car"
    assert main(["archive", "info", str(path), "--json"]) == 0  # verify reports the fault
    assert json.loads(capsys.readouterr().out)["classes"] == []


def test_an_archive_with_damaged_pictures_is_listed_without_a_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_archive(tmp_path / "a.h5", compression="gzip")
    with h5py.File(path) as file:
        chunk = file["recordings/take0/blur"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 255
    path.write_bytes(data)
    assert main(["archive", "info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["data_sha256"] is None
    assert len(facts["recordings"]) == 2


def test_info_of_many_recordings_stays_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["archive", "info", str(write_archive(tmp_path / "a.h5", takes=30))]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 32
    assert "and 6 more" in out


def test_verify_prints_a_line_for_each_finding_and_exits_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_archive(tmp_path / "a.h5")
    assert main(["archive", "verify", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: valid\n"
    with h5py.File(path, "r+") as file:
        file["recordings/take0/spikes"][3, 2, 1] ^= 4
        file["recordings/take1"].attrs["fps"] = 0.0
    assert main(["archive", "verify", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["E06", "recordings/take0/spikes"],
        ["W02", "recordings/take1"],
        [f"{path}:", "not"],
    ]
    assert lines[-1] == f"{path}: not valid (1 error, 1 warning)"
    assert main(["archive", "verify", str(path), "--deep", "false"]) == 0  # a warning is left
    assert capsys.readouterr().out.splitlines()[1:] == [f"{path}: valid (1 warning)"]
    assert main(["archive", "verify", str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["valid"] is False
    assert report["findings"][0]["code"] == "E06"


def test_exported_images_equal_those_of_the_archive(tmp_path: Path) -> None:
    path, out = write_archive(tmp_path / "a.h5", takes=1), tmp_path / "out"
    assert main(["archive", "export", str(path), str(out)]) == 0
    sharp = sorted((out / "take0").iterdir())
    assert [file.name for file in sharp] == ["000-000005.png", "001-000015.png", "002-000015.png"]
    for file, image in zip(sharp, SpikeArchive(path).images("take0"), strict=True):
        np.testing.assert_array_equal(read_image(file), image)
    blurry = read_image(out / "blur" / "take0.tif")  # floats
    np.testing.assert_array_equal(blurry, SpikeArchive(path).blur("take0")[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_an_exported_recording_with_images_builds_an_equal_archive(
    tmp_path: Path, dtype: type[np.generic], channels: tuple[int, ...]
) -> None:
    white = 1 if dtype == np.float32 else 255
    images = (white * np.random.default_rng(0).random((2, 12, 21, *channels))).astype(dtype)
    take = make_take(0, images=images, image_index=np.array([5, 15]), blur=None, blur_span=None)
    with ArchiveWriter(tmp_path / "a.h5") as writer:
        writer.add("take0", take)
    assert main(["archive", "export", str(tmp_path / "a.h5"), str(tmp_path / "out")]) == 0
    arguments = ["archive", "build", str(tmp_path / "out"), str(tmp_path / "b.h5"), "--jobs", "1"]
    assert main([*arguments, "--split", "test"]) == 0
    with SpikeArchive(tmp_path / "b.h5") as rebuilt:
        np.testing.assert_array_equal(rebuilt.images("take0"), images)
        assert rebuilt.image_index("take0").tolist() == [5, 15]


def test_exported_exposures_are_deblurred(tmp_path: Path) -> None:
    size = ["--size", "small", "--train", "1", "--val", "1", "--test", "1"]
    archive, out = str(tmp_path / "deblur.h5"), tmp_path / "out"
    assert main(["simulate", "--kind", "deblur", *size, "--out", archive]) == 0
    assert main(["archive", "export", archive, str(out)]) == 0
    pair = [str(out / "blur"), str(out)]
    assert main(["deblur", *pair, "--frames", "2", "--out", str(tmp_path / "sharp")]) == 0
    names = SpikeArchive(archive).names()
    assert {file.name for file in (tmp_path / "sharp").glob("*.png")} == {
        f"{name}-{plane:06d}.png" for name in names for plane in (20, 116)
    }
    assert len(names) == 3


def test_a_recording_exported_to_an_archive_keeps_its_images_and_labels(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5")
    add_annotations(path, "take1")
    options = ["--name", "take1", "--format", "h5"]
    assert main(["archive", "export", str(path), str(tmp_path / "out"), *options]) == 0
    exported, take = SpikeArchive(tmp_path / "out" / "take1.h5"), make_take(1)
    assert take.images is not None
    np.testing.assert_array_equal(exported.images("take1"), take.images)
    np.testing.assert_array_equal(exported.blur_span("take1"), [[4, 30]])
    exported.close()
    with h5py.File(exported.path) as file:
        np.testing.assert_array_equal(file["recordings/take1/labels/boxes_index"], [4, 9])


@pytest.mark.parametrize("kind", ["dat", "npz", "npy", "h5", "hdf5", "spl"])
def test_the_suffix_of_a_file_is_its_format(tmp_path: Path, kind: str) -> None:
    several = str(write_archive(tmp_path / "a.h5"))
    single = str(write_archive(tmp_path / "b.h5", takes=1))
    arguments = ["archive", "export", several, str(tmp_path / f"one.{kind}"), "--name", "take1"]
    assert main(arguments) == 0
    assert main(["archive", "export", single, str(tmp_path / f"only.{kind}")]) == 0
    for exported, seed in ((tmp_path / f"one.{kind}", 1), (tmp_path / f"only.{kind}", 0)):
        assert exported.is_file()
        assert (read_recording(exported)[:] == make_take(seed).recording[:]).all()


def test_several_recordings_are_not_written_to_one_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = str(write_archive(tmp_path / "a.h5", takes=3)), str(tmp_path / "x.npz")
    assert main(["archive", "export", path, out]) == 2
    assert "x.npz is one file" in (error := capsys.readouterr().err)
    assert "3 recordings; choose one with --name" in error
    assert main(["archive", "export", path, out, "--name", "take1", "--format", "dat"]) == 2
    assert "--format is dat" in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()
    assert main(["archive", "export", path, f"{out}/"]) == 0  # a trailing slash means a folder
    assert sorted(file.name for file in (tmp_path / "x.npz").glob("*.dat")) == [
        "take0.dat",
        "take1.dat",
        "take2.dat",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("archive build clips o.dat", r"o\.dat: the suffix of an archive must be .*use o\.h5"),
        ("archive build clips o.h5 --split Trian", "--split Trian: did you mean train"),
        ("archive build clips o.h5 --split validation", "did you mean val"),
        ("archive build clips o.h5 --split TEST", "did you mean test"),
        ("archive build clips o.h5 --height 0", "--height must be at least 1, got 0"),
        ("archive build clips o.h5 --width -4", "--width must be at least 1, got -4"),
        ("archive export a.h5 o.txt", r"o\.txt: \.txt is not written here; .*\.spl or a folder"),
        ("export stir-small o.pth", r"o\.pth: \.pth is not written here; .*\.safetensors"),
        ("export stir-small o.ONNX", r"o\.ONNX: \.ONNX is not written here"),
    ],
)
def test_a_misspelt_name_is_rejected_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recording(random_spikes(5, 6, 16), "clips/train/a.npz")
    write_archive(tmp_path / "a.h5")
    assert main(arguments.split()) == 2
    assert re.search(message, capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "clips"]


def test_a_custom_split_name_is_accepted(tmp_path: Path) -> None:
    write_recording(random_spikes(5, 6, 16), tmp_path / "clips" / "a.npz")
    for split in ("train-2", "night", "valtest"):
        command = ["archive", "build", str(tmp_path / "clips"), str(tmp_path / f"{split}.h5")]
        assert main([*command, "--split", split, "--jobs", "1"]) == 0
        assert SpikeArchive(tmp_path / f"{split}.h5").splits() == [split]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (3_762_500, "3.76 MB"), (10**13, "10 TB")],
)
def test_sizes_have_three_digits_and_a_unit(size: int, text: str) -> None:
    assert readable_bytes(size) == text
