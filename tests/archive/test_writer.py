"""Archive writer: atomic files, appending and validation."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter
from spike_zoo.errors import (
    ExistingFileError,
    FormatError,
    GeometryError,
    MissingItemError,
    RecordingError,
    UsageError,
)
from spike_zoo.formats import read_recording
from spike_zoo.spikes import SpikeRecording
from tests.helpers.archives import (
    add_annotations,
    make_motion,
    make_take,
    make_two_sided_motion,
    write_archive,
    write_takes,
)
from tests.helpers.limits import largest_file
from tests.helpers.streams import random_spikes


@pytest.mark.parametrize(
    ("planes", "chunk"), [(1, 1), (16, 16), (17, 9), (37, 13), (61, 16), (301, 16), (320, 16)]
)
def test_chunks_hold_about_sixteen_whole_planes_of_equal_number(
    tmp_path: Path, planes: int, chunk: int
) -> None:
    recording = SpikeRecording.from_planes(random_spikes(planes, 5, 20))
    with h5py.File(write_takes(tmp_path / "a.h5", {"a": recording})) as file:
        stored = file["recordings/a/spikes"]
        assert stored.chunks == (chunk, 5, 3)
        assert stored.compression is None
        assert stored.fletcher32 is False


def test_stored_spikes_are_little_larger_than_their_bits(tmp_path: Path) -> None:
    recording = SpikeRecording(np.zeros((301, 250, 50), np.uint8), 400)
    path, raw = write_takes(tmp_path / "a.h5", {"a": recording}), 301 * 250 * 50
    with h5py.File(path) as file:
        assert file["recordings/a/spikes"].id.get_storage_size() <= 1.012 * raw
    assert path.stat().st_size <= 1.012 * raw


def test_bits_along_time_compress_a_sample_clip_to_less_than_half(
    tmp_path: Path, shared: Path
) -> None:
    clip = read_recording(shared / "data" / "data.dat", height=250, width=400).between(0, 101)
    options = {"compression": "gzip", "bit_layout": "tpack"}
    path = write_takes(tmp_path / "a.h5", {"a": clip}, **options)
    assert path.stat().st_size < 0.5 * 101 * 12_500
    np.testing.assert_array_equal(SpikeArchive(path)["a"][:], clip[:])


def test_root_attributes_state_schema_and_generator(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.h5", generator="simulate 1.0 seed=3")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["schema"] == "spike-archive"
        assert file.attrs["schema_version"] == 1
        assert file.attrs["generator"] == "simulate 1.0 seed=3"
        assert "created" not in file.attrs  # the same content has the same bytes


def test_appending_keeps_everything_else(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["notebook"] = [1, 2, 3]
        file["recordings/take0"].attrs["operator"] = "Ada"
    write_takes(path, {"more": make_take(7)}, "train", append=True)
    with SpikeArchive(path) as archive:
        assert archive.names() == ["take0", "take1", "more"]
        assert archive.names("train") == ["take0", "more"]
        assert archive.names("test") == ["take1"]
        np.testing.assert_array_equal(archive["take0"][:], make_take(0).recording[:])
        assert {finding.code for finding in archive.verify()} == {"W03"}
    with h5py.File(path) as file:
        assert file["notebook"][:].tolist() == [1, 2, 3]
        assert file["recordings/take0"].attrs["operator"] == "Ada"


def test_two_programs_that_append_wait_for_each_other(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5")
    with ThreadPoolExecutor(1) as other:
        with ArchiveWriter(path, append=True) as writer:
            waiting = other.submit(write_takes, path, {"theirs": make_take(8)}, append=True)
            writer.add("ours", make_take(7))
            assert SpikeArchive(path).names() == ["take0", "take1"], "readers do not wait"
        waiting.result(timeout=60)
    assert SpikeArchive(path).names() == ["take0", "take1", "ours", "theirs"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]


def test_a_name_that_exists_is_rejected_without_overwrite(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5")
    with ArchiveWriter(path, append=True) as writer:
        with pytest.raises(ExistingFileError, match="has a recording 'take0' already"):
            writer.add("take0", make_take(5))
        writer.add("take0", make_take(6), overwrite=True)
    np.testing.assert_array_equal(SpikeArchive(path)["take0"][:], make_take(6).recording[:])
    assert SpikeArchive(path).names("train") == ["take0"]


def test_an_existing_archive_is_rejected_without_overwrite(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5")
    before = path.read_bytes()
    with pytest.raises(ExistingFileError, match="exists already"), ArchiveWriter(path):
        pytest.fail("the block must not run")
    assert path.read_bytes() == before
    write_archive(path, takes=1, overwrite=True)
    assert SpikeArchive(path).names() == ["take0"]


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_folder_and_archive_unchanged(
    tmp_path: Path, append: bool, fault: type[BaseException]
) -> None:
    path = write_archive(tmp_path / "a.h5")
    before = path.read_bytes()

    def fail() -> None:
        with ArchiveWriter(path, append=append, overwrite=not append) as writer:
            writer.add("more", make_take(3))
            raise fault

    with pytest.raises(fault):
        fail()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "a b", "ümlaut", "x" * 121, "..", "a\n", "a\0b"]
)
def test_names_the_schema_does_not_allow_are_rejected(tmp_path: Path, name: str) -> None:
    with ArchiveWriter(tmp_path / "a.h5") as writer:
        with pytest.raises(FormatError, match="cannot name a recording") as caught:
            writer.add(name, make_take())
        assert caught.value.code == "E11"
        writer.add("x" * 120, make_take())
        with pytest.raises(FormatError, match="cannot name a split"):
            writer.put_in_split(name, "x" * 120)


def test_a_split_lists_existing_recordings_without_duplicates(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.h5") as writer:
        writer.add("a", make_take(), split="train")
        writer.put_in_split("train", "a", "a")
        writer.put_in_split("val")
        with pytest.raises(MissingItemError, match="no such recording"):
            writer.put_in_split("train", "b")
    assert SpikeArchive(tmp_path / "a.h5").names("train") == ["a"]
    assert SpikeArchive(tmp_path / "a.h5").names("val") == []


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("E07", {"image_index": np.array([5, 15])}),
        ("E07", {"image_index": np.array([5, 15, 37])}),
        ("E07", {"image_index": np.array([-1, 15, 20])}),
        ("E07", {"image_index": np.array([15, 5, 20])}),
        ("E07", {"image_index": None}),
        ("E07", {"images": None}),
        ("E08", {"blur_span": np.array([[4, 38]])}),
        ("E08", {"blur_span": np.array([[4, 4]])}),
        ("E08", {"blur_span": np.array([[-1, 4]])}),
        ("E08", {"blur_span": np.array([4, 8])}),
        ("E08", {"blur": None}),
        ("E09", {"images": np.zeros((3, 13, 21), np.uint8)}),
        ("E09", {"images": np.zeros((3, 24, 21), np.uint8)}),
        ("E09", {"images": np.zeros((3, 12, 21, 4), np.uint8)}),
        ("E09", {"images": np.zeros((3, 12, 21), np.int16)}),
        ("E09", {"images": np.zeros((3, 6, 10), np.uint8)}),
        ("E09", {"blur": np.zeros((1, 25, 42, 3), np.float32)}),
        ("E09", {"motion": np.zeros((2, 2, 12, 21), np.float16)}),
        ("E09", {"motion": np.zeros((3, 2, 12, 21), np.float32)}),
        ("E09", {"motion": make_motion(), "images": None, "image_index": None}),
        ("E09", make_two_sided_motion() | {"around": np.zeros((3, 2, 12, 21), np.float16)}),
        ("E09", make_two_sided_motion() | {"around_index": np.array([[1, 9], [11, 19], [16, 37]])}),
        ("E09", make_two_sided_motion() | {"around_index": None}),
    ],
)
def test_images_that_do_not_fit_the_recording_are_rejected(
    tmp_path: Path, code: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(GeometryError) as caught:
        write_takes(tmp_path / "a.h5", {"a": make_take(**changes)})
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_rejected_take_leaves_the_archive_as_it_was(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.h5") as writer:
        writer.add("a", make_take())
        for name in ("a", "b"):
            with pytest.raises(GeometryError):
                writer.add(name, make_take(image_index=None), overwrite=True)
        bright = np.array(make_take().images, np.float32)  # not in [0, 1]
        with pytest.raises(FormatError):
            writer.add("bright", make_take(images=bright))
    archive = SpikeArchive(tmp_path / "a.h5")
    assert archive.names() == ["a"]
    assert archive.verify() == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_keep_their_type_and_factor(tmp_path: Path, dtype: type) -> None:
    values = np.arange(3 * 48 * 84).reshape(3, 48, 84)
    images: np.ndarray = (values / values.size if dtype is np.float32 else values).astype(dtype)
    path = write_takes(tmp_path / "a.h5", {"a": make_take(images=images)}, compression="gzip")
    stored = SpikeArchive(path).images("a")
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, images)


def test_bits_beyond_the_width_are_cleared_before_writing(tmp_path: Path) -> None:
    full = SpikeRecording(np.full((20, 5, 3), 255, np.uint8), 21)
    for layout in ("wpack", "tpack"):
        path = write_takes(tmp_path / f"{layout}.h5", {"a": full}, bit_layout=layout)
        archive = SpikeArchive(path)
        assert archive["a"][:].all()
        assert [finding.code for finding in archive.verify()] == ["W02", "W02"]


def test_unknown_compressions_and_layouts_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="gzip or zstd, got 'lzf'"):
        ArchiveWriter(tmp_path / "a.h5", compression="lzf")
    with pytest.raises(UsageError, match="wpack or tpack"):
        write_archive(tmp_path / "a.h5", bit_layout="diagonal")
    monkeypatch.setitem(__import__("sys").modules, "hdf5plugin", None)
    with pytest.raises(UsageError, match=r"spike-zoo\[cold\]"):
        ArchiveWriter(tmp_path / "a.h5", compression="zstd")
    assert list(tmp_path.iterdir()) == []


def test_zstd_is_read_back_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("hdf5plugin")
    archive = SpikeArchive(write_archive(tmp_path / "a.h5", compression="zstd"))
    np.testing.assert_array_equal(archive["take0"][:], make_take(0).recording[:])


def test_appending_never_writes_through_a_link(tmp_path: Path) -> None:
    other = write_archive(tmp_path / "other.h5")
    before = other.read_bytes()
    with h5py.File(tmp_path / "trap.h5", "w") as file:
        file.attrs["schema"], file.attrs["schema_version"] = "spike-archive", 1
        file["recordings"] = h5py.ExternalLink("other.h5", "/recordings")

    with pytest.raises(FormatError, match="external link"):
        write_takes(tmp_path / "trap.h5", {"more": make_take()}, append=True)
    assert other.read_bytes() == before


def annotated(folder: Path) -> SpikeArchive:
    path = write_archive(folder / "old.h5", takes=1)
    add_annotations(path, "take0")
    return SpikeArchive(path)


def test_a_take_of_another_archive_keeps_its_label_maps_and_calibration(tmp_path: Path) -> None:
    old = annotated(tmp_path)
    write_takes(tmp_path / "new.h5", {"again": old.take("take0")})
    old.close()
    with h5py.File(tmp_path / "new.h5") as new, h5py.File(old.path) as before:
        group, source = new["recordings/again"], before["recordings/take0"]
        for part in ("labels/boxes", "labels/boxes_index", "labels/flow", "calibration/dark"):
            np.testing.assert_array_equal(group[part], source[part])
        assert group["labels/class"][()] == 0
        assert group["thermal"].attrs["unit"] == "K"
    assert "E" not in {finding.code[0] for finding in SpikeArchive(tmp_path / "new.h5").verify()}


def test_changes_to_a_take_of_another_archive_are_written(tmp_path: Path) -> None:
    take = annotated(tmp_path).take("take0")
    other = replace(take, label=5, images=None, image_index=None)
    planes = SpikeRecording.from_planes(take.recording[0:10])
    part = replace(other, label=take.label, recording=planes, blur=None, blur_span=None)
    new = SpikeArchive(write_takes(tmp_path / "new.h5", {"other": other, "part": part}))
    assert new.label("other") == 5
    assert new.image_sizes("other") == [(24, 42)]  # the blurry image alone
    new.close()
    with h5py.File(new.path) as file:
        np.testing.assert_array_equal(file["recordings/other/labels/boxes_index"], [4, 9])
        assert list(file["recordings/part"]) == ["labels", "spikes"]
        assert list(file["recordings/part/labels"]) == ["class"]


def test_an_archive_on_a_full_disk_stays_unchanged(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5")
    before = path.read_bytes()
    cases: list[dict[str, Any]] = [{"append": True}, {"overwrite": True}]
    for options in cases:
        for bytes_left in (100, 5000, 20_000):
            message = r"a\.h5: cannot be written \(File too large\)"
            with (
                largest_file(len(before) + bytes_left),
                pytest.raises(RecordingError, match=message),
                ArchiveWriter(path, **options) as writer,
            ):
                writer.add("large", make_take(7, planes=4000))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("part", ["images", "blur"])
@pytest.mark.parametrize("value", [128.0, -0.1, np.nan, np.inf])
def test_float_images_outside_the_unit_range_are_rejected(
    tmp_path: Path, part: str, value: float
) -> None:
    take = make_take(0)
    images: Any = np.array(getattr(take, part), np.float32) / 255
    images[0, 1, 2] = value
    message = rf"{part}: float images .*expected 0 \(black\)"
    with pytest.raises(FormatError, match=message) as caught:
        write_takes(tmp_path / "a.h5", {"a": replace(take, **{part: images})})
    assert caught.value.code == "E09"
    images[0, 1, 2] = np.nextafter(np.float32(1), np.float32(2))  # rounding
    write_takes(tmp_path / "a.h5", {"a": replace(take, **{part: images})})


def test_more_spikes_at_white_than_planes_are_rejected(tmp_path: Path) -> None:
    take = make_take(0)
    take.recording.rate_scale = 60.0
    with pytest.raises(FormatError, match=r"rate_scale is 60\.0, expected .* at most 1"):
        write_takes(tmp_path / "a.h5", {"a": take})
    assert not (tmp_path / "a.h5").exists()
