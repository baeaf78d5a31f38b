"""HDF5 files from strangers: nothing outside them is read, and faults are one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo.errors import FormatError, MissingItemError, SpikeZooError, VersionError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.hdf5 import Hdf5File
from spike_zoo.spikes import SpikeRecording
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(37, 12, 21)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recording(SPIKES, tmp_path / "clip.h5")


def change(path: Path, how: Callable[[h5py.File], Any]) -> None:
    with h5py.File(path, "r+") as file:
        how(file)


def replace_spikes(how: Callable[[h5py.Group], Any]) -> Callable[[h5py.File], None]:
    def act(file: h5py.File) -> None:
        del file["recordings/clip/spikes"]
        how(file["recordings/clip"])

    return act


def test_a_file_cut_anywhere_is_refused_in_one_line(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    for length in range(8, len(data), 61):
        (tmp_path / "cut.h5").write_bytes(data[:length])
        with pytest.raises(FormatError, match=r"cut\.h5") as caught:
            read_recording(tmp_path / "cut.h5")[:]
        assert caught.value.code == "E01"
        assert "\n" not in str(caught.value)


def test_a_damaged_byte_never_ends_in_another_error(path: Path, tmp_path: Path) -> None:
    data, random = path.read_bytes(), np.random.default_rng(1)
    heap = data.index(b"GCOL")  # HDF5 2.0 itself may loop for ever on a damaged heap of strings
    places = [*range(heap), *range(heap + 4096, len(data))]
    messages = []
    for position in random.choice(places, 400):
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
    ("how", "found"),
    [
        (lambda file: file.attrs.__delitem__("schema"), "found None and 1"),
        (lambda file: file.attrs.__delitem__("schema_version"), "and None"),
        (lambda file: file.attrs.__setitem__("schema", "other"), "'other'"),
        (lambda file: file.attrs.__setitem__("schema_version", "1"), "and '1'"),
        (lambda file: file.attrs.__setitem__("schema_version", 0), "and 0"),
        (lambda file: file.attrs.__setitem__("schema_version", [1, 1]), "and None"),
    ],
)
def test_a_file_that_is_no_archive_is_refused(
    path: Path, how: Callable[[h5py.File], Any], found: str
) -> None:
    change(path, how)
    with pytest.raises(FormatError, match=found) as caught:
        read_recording(path)
    assert caught.value.code == "E01"


def test_a_newer_schema_is_refused_with_both_numbers(path: Path) -> None:
    change(path, lambda file: file.attrs.__setitem__("schema_version", 3))
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
    "how",
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
    path: Path, how: Callable[[h5py.Group], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with h5py.File("secret.h5", "w") as secret:
        secret["spikes"] = np.ones((37, 12, 3), np.uint8)
    Path("secret.raw").write_bytes(bytes(37 * 36))
    change(path, replace_spikes(how))
    with pytest.raises(FormatError, match="nothing outside the file is read") as caught:
        read_recording(path)
    assert caught.value.code == "E12"


@pytest.mark.parametrize("place", ["recordings", "recordings/clip"])
def test_groups_that_are_external_links_are_refused(path: Path, place: str) -> None:
    write_recording(SPIKES, path.parent / "secret.h5")

    def link(file: h5py.File) -> None:
        del file[place]
        file[place] = h5py.ExternalLink("secret.h5", "/recordings")

    change(path, link)
    with pytest.raises(FormatError, match="external link"):
        read_recording(path)


def test_a_soft_link_inside_the_file_is_followed(path: Path) -> None:
    def link(file: h5py.File) -> None:
        file.move("recordings/clip/spikes", "kept")
        file["recordings/clip/spikes"] = h5py.SoftLink("/kept")
        file["recordings/clip/label"] = h5py.SoftLink("spikes")

    change(path, link)
    np.testing.assert_array_equal(read_recording(path)[:], SPIKES)
    assert Hdf5File(path).dataset("recordings/clip/label").shape == (37, 12, 3)


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("E03", lambda group: None),
        ("E03", lambda group: group.create_dataset("spikes", data=np.zeros((37, 12, 3), "i2"))),
        ("E03", lambda group: group.create_dataset("spikes", data=np.zeros((37, 36), "u1"))),
        ("E03", lambda group: group.create_dataset("spikes", data=np.zeros((0, 12, 3), "u1"))),
        ("E04", lambda group: group.create_dataset("spikes", data=np.zeros((36, 12, 3), "u1"))),
        ("E04", lambda group: group.create_dataset("spikes", (37, 12, 3), "u1")),
        ("E04", lambda group: group.create_dataset("spikes", (37, 12, 3), "u1", chunks=(9, 12, 3))),
        (None, lambda group: group.create_group("spikes")),
    ],
)
def test_data_sets_that_hold_no_such_planes_are_refused(
    path: Path, code: str | None, how: Callable[[h5py.Group], Any]
) -> None:
    change(path, replace_spikes(how))
    with pytest.raises(FormatError, match="spikes") as caught:
        read_recording(path)
    assert caught.value.code == code


def test_a_huge_declared_shape_is_refused_before_memory_is_taken(path: Path) -> None:
    def huge(file: h5py.File) -> None:
        replace_spikes(
            lambda group: group.create_dataset(
                "spikes", (10**9, 12, 3), "u1", chunks=(16, 12, 3), maxshape=(None, 12, 3)
            )
        )(file)
        file["recordings/clip"].attrs["frames"] = 10**9

    change(path, huge)
    with pytest.raises(FormatError, match="never written") as caught:
        read_recording(path)
    assert caught.value.code == "E04"


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("width", 22, "is not"),
        ("width", 0, "frames, height, width"),
        ("width", "wide", "frames, height, width"),
        ("frames", -37, "frames, height, width"),
        ("layout", "diagonal", "is not"),
        ("fps", np.nan, "attribute fps"),
        ("fps", -1.0, "attribute fps"),
        ("rate_scale", 0.0, "attribute rate_scale"),
        ("threshold", "two", "attribute threshold"),
        ("meta", "[1, 2]", "no JSON object"),
        ("meta", "{broken", "no JSON object"),
    ],
)
def test_attributes_that_cannot_be_are_refused(
    path: Path, name: str, value: object, complaint: str
) -> None:
    width = {"width": 25} if (name, value) == ("width", 22) else {name: value}
    change(path, lambda file: file["recordings/clip"].attrs.update(width))
    with pytest.raises(FormatError, match=complaint):
        read_recording(path)


def test_a_name_that_is_not_utf_8_is_told_not_tripped_over(path: Path) -> None:
    def misname(file: h5py.File) -> None:
        h5py.h5g.create(file["recordings"].id, b"bad\xff")
        h5py.h5a.create(
            file["recordings/clip"].id, b"n\xff", h5py.h5t.C_S1, h5py.h5s.create(h5py.h5s.SCALAR)
        )
        file["recordings/clip"].attrs["source"] = np.bytes_(b"scene\xff")
        text = np.array(b"by\xff", dtype=h5py.string_dtype())
        file["recordings/clip"].attrs.create("notes", text, dtype=h5py.string_dtype())

    change(path, misname)
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
        made = h5py.h5d.create(group.id, b"spikes", kind, space, dcpl=creation)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros((37, 12, 3), np.uint8))

    change(path, replace_spikes(unknown_filter))
    monkeypatch.setitem(__import__("sys").modules, "hdf5plugin", None)
    if h5py.h5z.filter_avail(32015):
        pytest.skip("the filter is registered in this process")
    with pytest.raises(FormatError, match=r"compressed with .*spike-zoo\[cold\]"):
        read_recording(path)


def test_everything_known_about_a_take_survives(tmp_path: Path) -> None:
    meta = {
        "source": "data.dat",
        "source_format": "dat",
        "source_flipped": True,
        "simulator": "v2s",
        "seed": 7,
        "licence": "MIT",
        "notes": "two lines\nof notes",
        "gain": 0.6,
        "label": 3,
        "label_name": "helicopter",
        "labeled_data_type": [0, 3.1],
        "camera": {"site": "north"},
    }
    recording = SpikeRecording.from_planes(
        SPIKES, fps=20_000.0, threshold=2.0, rate_scale=0.6, meta=meta
    )
    again = read_recording(write_recording(recording, tmp_path / "clip.h5"))
    assert (again.fps, again.threshold, again.rate_scale) == (20_000.0, 2.0, 0.6)
    assert again.meta == meta | {"name": "clip"}
    third = read_recording(write_recording(again, tmp_path / "copy.h5"))
    assert third.meta == again.meta


@pytest.mark.parametrize(
    ("stem", "name"), [("day 1", "day_1"), ("..hidden", "hidden"), ("été", "t_"), ("_", "_")]
)
def test_a_file_s_name_becomes_one_the_schema_allows(tmp_path: Path, stem: str, name: str) -> None:
    recording = read_recording(write_recording(SPIKES, tmp_path / f"{stem}.h5"))
    assert recording.meta["name"].strip("_") == name.strip("_")


def test_the_checksum_is_that_of_the_packed_bytes(path: Path) -> None:
    import hashlib

    packed = np.packbits(SPIKES, axis=-1, bitorder="little")
    with h5py.File(path) as file:
        stored = file["recordings/clip"].attrs["sha256"]
    assert stored == hashlib.sha256(packed.tobytes()).hexdigest()
