"""Archive reader: recordings, images, splits and errors."""

import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter
from spike_zoo.errors import MissingFileError, MissingItemError, PlaneRangeError, RecordingError
from spike_zoo.formats import read_recording, write_recording
from tests.helpers.archives import (
    make_motion,
    make_take,
    make_two_sided_motion,
    write_archive,
    write_takes,
)
from tests.helpers.streams import random_spikes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "takes.h5", takes=3)


@pytest.fixture
def archive(path: Path) -> Iterator[SpikeArchive]:
    with SpikeArchive(path) as opened:
        yield opened


def test_the_golden_archive_of_schema_1_stays_readable(golden: Path) -> None:
    with SpikeArchive(golden / "archive.h5") as archive:
        recording = archive["take"]
        assert (recording.shape, recording.rate_scale, recording.fps) == ((37, 12, 21), 0.6, 20000)
        assert recording[0:37].sum() == 2800
        assert archive.images("take").shape == (3, 12, 21)
        assert archive.verify() == []
        assert archive.data_sha256().startswith("5e17476e5253d271")


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("bit_layout", ["wpack", "tpack"])
def test_all_parts_of_a_take_are_read_back(
    tmp_path: Path, compression: str | None, bit_layout: str
) -> None:
    path = write_archive(tmp_path / "a.h5", compression=compression, bit_layout=bit_layout)
    archive = SpikeArchive(path)
    for seed, name in enumerate(archive):
        take: Any = make_take(seed)
        np.testing.assert_array_equal(archive[name][:], take.recording[:])
        np.testing.assert_array_equal(archive.images(name), take.images)
        np.testing.assert_array_equal(archive.image(name, 2), take.images[2])
        np.testing.assert_array_equal(archive.image_index(name), [5, 15, 15])
        np.testing.assert_array_equal(archive.blur(name), take.blur)
        np.testing.assert_array_equal(archive.blurry_image(name, 0), take.blur[0])
        np.testing.assert_array_equal(archive.blur_span(name), [[4, 30]])
        assert archive.label(name) == seed


def test_names_splits_and_membership(archive: SpikeArchive) -> None:
    assert archive.names() == list(archive) == ["take0", "take1", "take2"]
    assert archive.splits() == ["train", "test"]
    assert archive.names("train") == ["take0", "take1"]
    assert len(archive) == 3
    assert "take0" in archive
    assert "take9" not in archive


def test_reading_images_of_a_recording_without_any_is_rejected(tmp_path: Path) -> None:
    archive = SpikeArchive(write_takes(tmp_path / "bare.h5", {"bare": make_take().recording}))
    assert archive.image_index("bare").shape == (0,)
    assert archive.blur_span("bare").shape == (0, 2)
    assert archive.label("bare") is None
    with pytest.raises(MissingItemError, match="bare has no images"):
        archive.images("bare")
    with pytest.raises(MissingItemError, match="bare has no blur"):
        archive.blur("bare")


def test_errors_of_missing_items_list_the_existing_ones(
    archive: SpikeArchive, tmp_path: Path
) -> None:
    with pytest.raises(MissingItemError, match="no recording 'take9'; it holds take0, take1"):
        archive["take9"]
    with pytest.raises(KeyError):
        archive.images("take9")
    message = (
        r"no split 'val'; it has train, test\. .*part of the recordings of train .*test too good"
    )
    with pytest.raises(MissingItemError, match=message):
        archive.names("val")
    with pytest.raises(MissingItemError, match=r"'tset'; .* To continue, name one of these"):
        archive.names("tset")
    bare = write_recording(random_spikes(3, 6, 16), tmp_path / "bare.h5")
    with pytest.raises(MissingItemError, match=r"has none\. To continue, build it .*--split train"):
        SpikeArchive(bare).names("train")
    with pytest.raises(PlaneRangeError, match=r"image 3 .* it has 3"):
        archive.image("take0", 3)
    with pytest.raises(MissingFileError, match="no such file"):
        SpikeArchive(tmp_path / "absent.h5")
    with pytest.raises(MissingFileError, match="is not a file; name an archive"):
        SpikeArchive(tmp_path)


def test_a_crop_contains_its_rows_and_bytes(archive: SpikeArchive) -> None:
    whole = make_take(1).recording.packed
    crop = archive.read_packed("take1", 10, 30, rows=slice(3, 9), byte_columns=slice(1, 3))
    np.testing.assert_array_equal(crop, whole[10:30, 3:9, 1:3])
    np.testing.assert_array_equal(archive.read_packed("take1", 36, 37), whole[36:])
    for start, stop in ((-1, 3), (30, 38), (9, 8)):
        with pytest.raises(PlaneRangeError, match=r"of take1 .* 0\.\.37"):
            archive.read_packed("take1", start, stop)


def test_recordings_can_be_read_after_the_archive_is_closed(path: Path) -> None:
    with SpikeArchive(path) as archive:
        recording = archive["take0"]
    np.testing.assert_array_equal(recording[:], make_take(0).recording[:])


def test_archives_and_recordings_pickle_as_their_path(archive: SpikeArchive) -> None:
    recording = archive["take1"]
    recording[0:1]
    assert len(pickle.dumps(recording)) < 2000
    unpickled = pickle.loads(pickle.dumps((archive, recording)))
    np.testing.assert_array_equal(unpickled[0]["take1"][:], recording[:])
    np.testing.assert_array_equal(unpickled[1][:], recording[:])


def first_plane(archive: SpikeArchive, name: str) -> bytes:
    return archive.read_packed(name, 0, 1).tobytes()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_every_process_opens_the_archive_separately(archive: SpikeArchive, start: str) -> None:
    expected = first_plane(archive, "take2")
    with multiprocessing.get_context(start).Pool(1) as pool:
        assert pool.apply(first_plane, (archive, "take2")) == expected
    assert first_plane(archive, "take2") == expected


INHERITED: list[SpikeArchive] = []


def inherited_handle_is_replaced() -> bool:
    before = INHERITED[0]._file._handle
    INHERITED[0].read_packed("take0", 0, 37)
    return INHERITED[0]._file._handle is not before


def test_a_handle_inherited_through_a_fork_is_not_used(archive: SpikeArchive) -> None:
    archive.read_packed("take0", 0, 1)
    INHERITED.append(archive)
    try:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(inherited_handle_is_replaced)
        np.testing.assert_array_equal(archive["take0"][:], make_take(0).recording[:])
    finally:
        INHERITED.clear()


def test_an_archive_can_be_read_while_it_is_being_written(path: Path) -> None:
    with ArchiveWriter(path, append=True) as writer:
        writer.add("new", make_take(5))
        assert SpikeArchive(path).names() == ["take0", "take1", "take2"]
    assert "new" in SpikeArchive(path)


def test_a_file_open_elsewhere_in_this_process_is_read_too(path: Path) -> None:
    with h5py.File(path, "r"):  # with locks; HDF5 cannot open a file with and without locks
        assert SpikeArchive(path).names() == ["take0", "take1", "take2"]


def test_an_archive_of_several_recordings_requires_a_name(path: Path) -> None:
    assert read_recording(path, "take1").meta["name"] == "take1"
    with pytest.raises(MissingItemError, match="several recordings, name one; it holds take0"):
        read_recording(path)
    with pytest.raises(MissingItemError, match="no recording 'x'"):
        read_recording(path, "x")


def test_an_archive_without_recordings_is_reported(tmp_path: Path) -> None:
    archive = SpikeArchive(write_takes(tmp_path / "empty.h5", {}))
    assert archive.names() == []
    assert archive.verify() == []
    with pytest.raises(MissingItemError, match="no recordings; it holds none"):
        read_recording(tmp_path / "empty.h5")


@pytest.mark.parametrize("planes", [37, 40])
def test_reading_a_replaced_archive_raises_an_error(path: Path, planes: int) -> None:
    archive = SpikeArchive(path)
    recording, pickled = archive["take0"], pickle.dumps(archive)
    archive.check_unchanged()
    write_takes(path, {"take0": make_take(5, planes=planes)}, overwrite=True)
    message = r"the file was replaced or modified while it was in use.*start again"
    np.testing.assert_array_equal(recording[0:1], make_take(0).recording[0:1])  # the old file
    with pytest.raises(RecordingError, match=message):
        archive.check_unchanged()
    with pytest.raises(RecordingError, match=message):
        recording[0:1]  # closed by the check
    with pytest.raises(RecordingError, match=message):
        pickle.loads(pickled).read_packed("take0", 0, 1)
    path.unlink()
    with pytest.raises(RecordingError, match="the file was removed while it was in use"):
        archive.check_unchanged()


def test_motion_to_both_sides_is_read_back_whole_and_cropped(tmp_path: Path) -> None:
    parts = make_two_sided_motion()
    takes = {"a": make_take(**parts), "b": make_take()}
    archive = SpikeArchive(write_takes(tmp_path / "a.h5", takes))
    assert archive.verify() == []
    np.testing.assert_array_equal(archive.motion("a", around=True), parts["around"])
    assert archive.around_index("a").tolist() == parts["around_index"].tolist()
    crop = archive.image_motion("a", 2, rows=slice(1, 5), columns=slice(8, 20), around=True)
    np.testing.assert_array_equal(crop, parts["around"][2, :, :, 1:5, 8:20])
    stored: Any = archive.take("a")
    np.testing.assert_array_equal(stored.around, parts["around"])
    assert stored.around_index.tolist() == parts["around_index"].tolist()
    assert archive.around_index("b").shape == (0, 2)
    assert archive.take("b").around is None
    with pytest.raises(MissingItemError, match="b has no around"):
        archive.motion("b", around=True)


def test_motion_is_read_back_whole_and_cropped(tmp_path: Path) -> None:
    motion = make_motion()
    for compression in (None, "gzip"):
        path, takes = tmp_path / f"{compression}.h5", {"a": make_take(motion=motion)}
        write_takes(path, takes | {"b": make_take()}, compression=compression)
        archive = SpikeArchive(path)
        assert archive.verify() == []
        assert archive.motion("a").dtype == np.float16
        np.testing.assert_array_equal(archive.motion("a"), motion)
        crop = archive.image_motion("a", 2, rows=slice(1, 5), columns=slice(8, 20))
        np.testing.assert_array_equal(crop, motion[2, :, 1:5, 8:20])
        stored: Any = archive.take("a").motion
        np.testing.assert_array_equal(stored, motion)
        assert [archive.facts(name).has_flow for name in "ab"] == [True, False]
        assert archive.take("b").motion is None
        with pytest.raises(MissingItemError, match="b has no motion"):
            archive.motion("b")
        with pytest.raises(PlaneRangeError, match="image 3 of a is out of range"):
            archive.image_motion("a", 3)
