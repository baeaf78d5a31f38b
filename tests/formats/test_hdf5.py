"""HDF5 files: links out of the file, damage and errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo.archive import verify_archive
from spike_zoo.errors import (
    FormatError,
    MissingItemError,
    RecordingError,
    SpikeZooError,
    VersionError,
)
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.hdf5 import Hdf5File
from tests.helpers.archives import edit_file, replace_spikes
from tests.helpers.processes import run_python
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(37, 12, 21)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recording(SPIKES, tmp_path / "clip.h5")


def test_a_truncated_file_is_rejected_in_one_line(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    for length in range(8, len(data), 61):
        (tmp_path / "cut.h5").write_bytes(data[:length])
        with pytest.raises(FormatError, match=r"cut\.h5") as caught:
            read_recording(tmp_path / "cut.h5")[:]
        assert caught.value.code == "E01"
        assert "\n" not in str(caught.value)


def test_a_file_without_read_permission_is_not_reported_as_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Unable to synchronously open file")

    monkeypatch.setattr(h5py, "File", deny)
    with pytest.raises(RecordingError, match=r"clip\.h5: no permission to read this file"):
        verify_archive(path)


def test_a_damaged_byte_never_raises_an_unexpected_error(path: Path, tmp_path: Path) -> None:
    data, random = path.read_bytes(), np.random.default_rng(1)
    heap = data.index(b"GCOL")  # HDF5 2.0 can loop forever on a damaged heap of strings
    places = [*range(heap), *range(heap + 4096, len(data))]
    messages = []
    for position in random.choice(places, 150):
        broken = bytearray(data)
        broken[position] ^= int(random.integers(1, 256))
        (tmp_path / "broken.h5").write_bytes(broken)
        try:
            read_recording(tmp_path / "broken.h5")[:]
        except SpikeZooError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize(
    ("modify", "message"),
    [
        (lambda file: file.attrs.__delitem__("schema"), "found None and 1"),
        (lambda file: file.attrs.__delitem__("schema_version"), "and None"),
        (lambda file: file.attrs.__setitem__("schema", "other"), "'other'"),
        (lambda file: file.attrs.__setitem__("schema_version", "1"), "and '1'"),
        (lambda file: file.attrs.__setitem__("schema_version", 0), "and 0"),
        (lambda file: file.attrs.__setitem__("schema_version", [1, 1]), "and None"),
    ],
)
def test_a_file_that_is_not_an_archive_is_rejected(
    path: Path, modify: Callable[[h5py.File], Any], message: str
) -> None:
    edit_file(path, modify)
    with pytest.raises(FormatError, match=message) as caught:
        read_recording(path)
    assert caught.value.code == "E01"


def test_a_newer_schema_is_rejected_with_both_numbers(path: Path) -> None:
    edit_file(path, lambda file: file.attrs.__setitem__("schema_version", 3))
    with pytest.raises(VersionError, match=r"version 3, this package reads up to 1") as caught:
        read_recording(path)
    assert caught.value.code == "E02"


def external_dataset(group: h5py.Group) -> None:
    group["spikes"] = h5py.ExternalLink("secret.h5", "/spikes")


def soft_link_through_external(group: h5py.Group) -> None:
    group.file["door"] = h5py.ExternalLink("secret.h5", "/")
    group["spikes"] = h5py.SoftLink("/door/spikes")


def soft_circle(group: h5py.Group) -> None:
    group["spikes"] = h5py.SoftLink("/recordings/clip/other")
    group["other"] = h5py.SoftLink("/recordings/clip/spikes")


def virtual_dataset(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((37, 12, 3), np.uint8)
    layout[:] = h5py.VirtualSource("secret.h5", "spikes", (37, 12, 3))
    group.create_virtual_dataset("spikes", layout)


def external_storage(group: h5py.Group) -> None:
    group.create_dataset("spikes", (37, 12, 3), np.uint8, external=[("secret.raw", 0, 37 * 36)])


def references(group: h5py.Group) -> None:
    group.create_dataset("spikes", (37, 12, 3), h5py.ref_dtype)


def variable_length(group: h5py.Group) -> None:
    group.create_dataset("spikes", (37, 12, 3), h5py.vlen_dtype(np.uint8))


@pytest.mark.parametrize(
    "create_spikes",
    [
        external_dataset,
        soft_link_through_external,
        soft_circle,
        virtual_dataset,
        external_storage,
        references,
        variable_length,
    ],
)
def test_nothing_outside_the_file_is_read(
    path: Path, create_spikes: Callable[[h5py.Group], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with h5py.File("secret.h5", "w") as secret:
        secret["spikes"] = np.ones((37, 12, 3), np.uint8)
    Path("secret.raw").write_bytes(bytes(37 * 36))
    edit_file(path, replace_spikes(create_spikes))
    with pytest.raises(FormatError, match="nothing outside the file is read") as caught:
        read_recording(path)
    assert caught.value.code == "E12"


@pytest.mark.parametrize("place", ["recordings", "recordings/clip"])
def test_groups_that_are_external_links_are_rejected(path: Path, place: str) -> None:
    write_recording(SPIKES, path.parent / "secret.h5")

    def link(file: h5py.File) -> None:
        del file[place]
        file[place] = h5py.ExternalLink("secret.h5", "/recordings")

    edit_file(path, link)
    with pytest.raises(FormatError, match="external link"):
        read_recording(path)


def test_a_soft_link_inside_the_file_is_followed(path: Path) -> None:
    def link(file: h5py.File) -> None:
        file.move("recordings/clip/spikes", "kept")
        file["recordings/clip/spikes"] = h5py.SoftLink("/kept")
        file["recordings/clip/label"] = h5py.SoftLink("spikes")

    edit_file(path, link)
    np.testing.assert_array_equal(read_recording(path)[:], SPIKES)
    assert Hdf5File(path).dataset("recordings/clip/label").shape == (37, 12, 3)


def test_a_name_that_is_not_utf_8_is_reported(path: Path) -> None:
    def misname(file: h5py.File) -> None:
        h5py.h5g.create(file["recordings"].id, b"bad\xff")
        h5py.h5a.create(
            file["recordings/clip"].id, b"n\xff", h5py.h5t.C_S1, h5py.h5s.create(h5py.h5s.SCALAR)
        )
        file["recordings/clip"].attrs["source"] = np.bytes_(b"scene\xff")
        text = np.array(b"by\xff", dtype=h5py.string_dtype())
        file["recordings/clip"].attrs.create("notes", text, dtype=h5py.string_dtype())

    edit_file(path, misname)
    with pytest.raises(MissingItemError, match=r"clip, bad\\xff|bad\\xff, clip"):
        read_recording(path)
    recording = read_recording(path, "clip")
    assert (recording.meta["source"], recording.meta["notes"]) == ("scene\\xff", "by\\xff")


def test_a_filter_that_is_not_installed_names_the_extra(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown_filter(group: h5py.Group) -> None:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((37, 12, 3))
        creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        kind, space = h5py.h5t.STD_U8LE, h5py.h5s.create_simple((37, 12, 3))
        dataset = h5py.h5d.create(group.id, b"spikes", kind, space, dcpl=creation)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros((37, 12, 3), np.uint8))

    edit_file(path, replace_spikes(unknown_filter))
    monkeypatch.setitem(__import__("sys").modules, "hdf5plugin", None)
    if h5py.h5z.filter_avail(32015):
        pytest.skip("the filter is registered in this process")
    with pytest.raises(FormatError, match=r"compressed with .*spike-zoo\[cold\]"):
        read_recording(path)


def test_a_file_open_for_writing_elsewhere_is_not_reported_as_damaged(path: Path) -> None:
    with h5py.File(path, "r+", libver=("v110", "v110")) as writer:
        writer.flush()
        line = "import sys, spike_zoo; spike_zoo.read_recording(sys.argv[1])"
        stderr = run_python(line, str(path)).stderr  # HDF5 opens a file once in each process
    assert "clip.h5: another program has this file open for writing" in stderr
    assert "damaged" not in stderr
    np.testing.assert_array_equal(read_recording(path)[:], SPIKES)


def test_reading_can_wait_for_a_file_that_is_still_being_copied(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"cut short \(.*\), or another program is writing it"):
        read_recording(path)


VALUES = np.random.default_rng(0).integers(0, 256, (37, 9, 5), dtype=np.uint8)


def _stored(path: Path, values: np.ndarray[Any, Any] = VALUES, **storage: Any) -> Hdf5File:
    with h5py.File(path, "w", userblock_size=storage.pop("userblock", 0)) as file:
        file.create_dataset("planes", data=values, **storage)
    return Hdf5File(path)


@pytest.fixture(scope="module", params=[None, 1, 8, 16, 37], ids=lambda k: f"chunks of {k}")
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hdf5File:
    chunks = None if request.param is None else (request.param, 9, 5)
    return _stored(tmp_path_factory.mktemp("map") / "planes.h5", chunks=chunks)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_crop_of_any_range_equals_that_of_the_array(
    file: Hdf5File, data: st.DataObject
) -> None:
    start, row, column = (data.draw(st.integers(0, side)) for side in VALUES.shape)
    stop = data.draw(st.integers(start, len(VALUES)))
    crop = slice(start, stop), slice(row, row + 4), slice(column, None)
    mapped: Any = file.mapped("planes")
    np.testing.assert_array_equal(mapped[crop], VALUES[crop])
    np.testing.assert_array_equal(mapped[start:stop], VALUES[start:stop])


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": (8, 9, 5), "compression": "gzip"},
        {"chunks": (8, 9, 5), "fletcher32": True},
        {"chunks": (8, 4, 5)},
        {"userblock": 512},
        {"values": VALUES.astype(">u2")},
        {"values": VALUES[:0]},
    ],
    ids=["gzip", "checksums", "tiles", "user block", "byte order", "empty"],
)
def test_other_storage_is_read_by_hdf5(tmp_path: Path, storage: dict[str, Any]) -> None:
    file = _stored(tmp_path / "other.h5", **storage)
    assert file.mapped("planes") is None
    expected = storage.get("values", VALUES)
    np.testing.assert_array_equal(file.dataset("planes")[...], expected, strict=True)


def test_unwritten_chunks_are_read_by_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "sparse.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("planes", (37, 9, 5), np.uint8, chunks=(8, 9, 5))[:8] = 1
    assert Hdf5File(path).mapped("planes") is None


def test_a_chunk_beyond_the_end_of_the_file_is_rejected_before_reading(tmp_path: Path) -> None:
    # h5py rejects a file that is shorter than its header states, but not one truncated while open
    file = _stored(tmp_path / "cut.h5", chunks=(8, 9, 5))
    size = file.path.stat().st_size
    assert file.dataset("planes").shape == VALUES.shape
    with file.path.open("r+b") as raw:
        raw.truncate(size - 400)
    with pytest.raises(FormatError, match=r"cut\.h5: .*the file ends at"):
        file.mapped("planes")


@pytest.mark.parametrize("chunks", [None, (8, 9, 5)])
@pytest.mark.parametrize("size", [100, 100_000])
def test_a_file_whose_size_changes_during_reading_raises_an_error(
    tmp_path: Path, chunks: tuple[int, ...] | None, size: int
) -> None:
    """Reading a map beyond the end of its file would kill the process with SIGBUS."""
    file = _stored(tmp_path / "copied over.h5", chunks=chunks)
    mapped: Any = file.mapped("planes")
    np.testing.assert_array_equal(mapped[0:37], VALUES)
    with file.path.open("r+b") as raw:
        raw.truncate(size)
    with pytest.raises(RecordingError, match=r"copied over\.h5: the file was modified while"):
        file.mapped("planes")
