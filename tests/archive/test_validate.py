"""Validation of archives: each rule of the schema."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter, verify_archive
from spike_zoo.errors import FormatError, MissingFileError, SpikeZooError
from tests.helpers.archives import make_take, make_two_sided_motion, write_archive

TAKE = "recordings/take0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "takes.h5")


def set_attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    return lambda file: file[TAKE].attrs.__setitem__(name, value)


def drop_attribute(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file[TAKE].attrs.__delitem__(name)


def replace(place: str, data: object, **options: Any) -> Callable[[h5py.File], None]:
    def act(file: h5py.File) -> None:
        del file[place]
        file.create_dataset(place, data=data, **options)

    return act


def link(place: str, to: object) -> Callable[[h5py.File], None]:
    def act(file: h5py.File) -> None:
        if place in file:
            del file[place]
        file[place] = to

    return act


def add_motion(data: object) -> Callable[[h5py.File], None]:
    return lambda file: file.__setitem__(f"{TAKE}/motion", data)


def add_around(**changes: object) -> Callable[[h5py.File], None]:
    parts = {**make_two_sided_motion(), **changes}

    def act(file: h5py.File) -> None:
        for name, data in parts.items():
            if data is not None:
                file[f"{TAKE}/{name}"] = data

    return act


def flip_a_spike(file: h5py.File) -> None:
    file[f"{TAKE}/spikes"][3, 2, 1] ^= 4


def set_a_pad_bit(file: h5py.File) -> None:
    file[f"{TAKE}/spikes"][3, 2, 2] |= 1 << 6


def darken(file: h5py.File) -> None:
    file[f"{TAKE}/spikes"][...] = 0
    file[TAKE].attrs["sha256"] = __import__("hashlib").sha256(bytes(37 * 12 * 3)).hexdigest()


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 12, 21), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "images", (3, 12, 21))
    del file[f"{TAKE}/images"]
    file[TAKE].create_virtual_dataset("images", layout)


def name_classes(names: object) -> Callable[[h5py.File], None]:
    return lambda file: file.attrs.__setitem__("label_names", names)


NAMES = h5py.string_dtype()


@pytest.mark.parametrize(
    ("code", "place", "modify"),
    [
        ("E01", "/", lambda file: file.attrs.__delitem__("schema")),
        ("E02", "/", lambda file: file.attrs.__setitem__("schema_version", 2)),
        ("E03", f"{TAKE}/spikes", lambda file: file.__delitem__(f"{TAKE}/spikes")),
        ("E03", f"{TAKE}/spikes", replace(f"{TAKE}/spikes", np.zeros((37, 12, 3), "f4"))),
        ("E04", f"{TAKE}/spikes", set_attribute("width", 25)),
        ("E04", f"{TAKE}/spikes", set_attribute("frames", 36)),
        ("E04", TAKE, set_attribute("bit_order", "big")),
        ("E04", TAKE, drop_attribute("source")),
        ("E04", TAKE, set_attribute("source_format", "avi")),
        ("E04", TAKE, set_attribute("rate_scale", -0.6)),
        ("E04", TAKE, set_attribute("rate_scale", 60.0)),
        ("E05", f"{TAKE}/spikes", set_a_pad_bit),
        ("E06", f"{TAKE}/spikes", flip_a_spike),
        ("E06", TAKE, drop_attribute("sha256")),
        ("E06", TAKE, set_attribute("sha256", "F" * 64)),
        ("E07", f"{TAKE}/image_index", replace(f"{TAKE}/image_index", [5, 15, 37])),
        ("E07", f"{TAKE}/image_index", replace(f"{TAKE}/image_index", [5, 15])),
        ("E07", f"{TAKE}/image_index", replace(f"{TAKE}/image_index", [15, 5, 16])),
        ("E07", f"{TAKE}/image_index", lambda file: file.__delitem__(f"{TAKE}/image_index")),
        ("E07", f"{TAKE}/image_index", replace(f"{TAKE}/image_index", [0.5, 1.5, 2.5])),
        ("E08", f"{TAKE}/blur_span", replace(f"{TAKE}/blur_span", [[4, 38]])),
        ("E08", f"{TAKE}/blur_span", replace(f"{TAKE}/blur_span", [[4, 4]])),
        ("E08", f"{TAKE}/blur_span", lambda file: file.__delitem__(f"{TAKE}/blur_span")),
        ("E09", f"{TAKE}/images", replace(f"{TAKE}/images", np.zeros((3, 12, 20), "u1"))),
        ("E09", f"{TAKE}/blur", replace(f"{TAKE}/blur", np.zeros((1, 24, 63, 3), "f4"))),
        ("E09", f"{TAKE}/images", replace(f"{TAKE}/images", np.full((3, 12, 21), 128, "f4"))),
        ("E09", f"{TAKE}/images", replace(f"{TAKE}/images", np.full((3, 12, 21), np.nan, "f4"))),
        ("E09", f"{TAKE}/blur", replace(f"{TAKE}/blur", np.full((1, 24, 42, 3), -0.1, "f4"))),
        ("E09", f"{TAKE}/motion", add_motion(np.zeros((3, 2, 12, 20), "f2"))),
        ("E09", f"{TAKE}/motion", add_motion(np.zeros((3, 2, 12, 21), "f4"))),
        ("E09", f"{TAKE}/around", add_around(around=np.zeros((3, 2, 12, 21), "f2"))),
        ("E09", f"{TAKE}/around", add_around(around_index=[[1, 9], [11, 19], [16, 37]])),
        ("E09", f"{TAKE}/around_index", add_around(around_index=None)),
        ("E10", "splits/train", replace("splits/train", ["take0", "lost"], dtype=NAMES)),
        ("E10", "splits/train", replace("splits/train", ["take0", "take0"], dtype=NAMES)),
        ("E10", "splits/train", replace("splits/train", [1, 2])),
        ("E10", "splits/train", replace("splits/train", np.array([b"t\xff"], "S2"))),
        ("E11", "recordings/a b", lambda file: file.move(TAKE, "recordings/a b")),
        ("E12", "recordings/more", link("recordings/more", h5py.ExternalLink("o.h5", "/r"))),
        ("E12", f"{TAKE}/images", link(f"{TAKE}/images", h5py.SoftLink("/nowhere"))),
        ("E12", f"{TAKE}/images", virtual),
        ("E12", "extra", lambda file: file.create_dataset("extra", (2,), h5py.ref_dtype)),
        ("E12", "/", lambda file: file.attrs.create("door", file.ref, dtype=h5py.ref_dtype)),
        ("E13", "/", name_classes("[one, two]")),
        ("E13", "/", name_classes('["car", "car"]')),
        ("E13", "/", name_classes('{"car": 0}')),
        ("E13", "/", name_classes([1, 2])),
        ("E13", "recordings/take1/labels/class", name_classes('["car"]')),
        ("W01", "splits", replace("splits/train", ["take0", "take1"], dtype=NAMES)),
        ("W02", TAKE, set_attribute("fps", 0.0)),
        ("W02", f"{TAKE}/spikes", darken),
        ("W03", TAKE, set_attribute("operator", "Ada")),
        ("W03", "notebook", lambda file: file.create_group("notebook")),
        ("W03", f"{TAKE}/thermal", lambda file: file.create_group(f"{TAKE}/thermal")),
        ("W03", f"{TAKE}/labels/mood", lambda file: file.create_group(f"{TAKE}/labels/mood")),
    ],
)
def test_each_broken_rule_is_reported_with_its_place(
    path: Path, code: str, place: str, modify: Callable[[h5py.File], None]
) -> None:
    assert verify_archive(path) == []
    with h5py.File(path, "r+") as file:
        modify(file)
    findings = verify_archive(path)
    assert (code, place) in [(finding.code, finding.path) for finding in findings], findings
    severity = "error" if code.startswith("E") else "warning"
    assert {finding.severity for finding in findings if finding.code == code} == {severity}
    consequences = {"E05": {"E06"}, "E11": {"E10"}, "E12": {"E07", "W03"}}  # of the same change
    assert {finding.code for finding in findings} <= {code, *consequences.get(code, ())}
    assert all("\n" not in str(finding) for finding in findings)


def test_a_warning_about_several_recordings_is_one_finding_with_their_number(
    tmp_path: Path,
) -> None:
    path = write_archive(tmp_path / "takes.h5", takes=4)
    with h5py.File(path, "r+") as file:
        for name in file["recordings"]:
            file["recordings"][name].attrs["fps"] = 0.0
        file.create_group(f"{TAKE}/thermal")
        file.create_group(f"{TAKE}/sound")
    assert sorted(map(str, verify_archive(path))) == [
        "W02 recordings/take0 fps is 0, which means unknown (archive build --fps states it) "
        "(and 3 more recordings)",
        "W03 recordings/take0/sound unknown part, kept untouched",
        "W03 recordings/take0/thermal unknown part, kept untouched",
    ]


def test_the_same_spikes_in_two_splits_are_found_under_any_name(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.h5") as writer:
        for name, seed, split in (("a", 0, "train"), ("b", 1, "train"), ("c", 0, "test")):
            writer.add(name, make_take(seed), split=split)
        writer.add("d", make_take(1), split="train")  # twice in one split
    same = "W01 splits 'a' (train) and 'c' (test) have the same spikes"
    assert list(map(str, verify_archive(tmp_path / "a.h5"))) == [same]
    with ArchiveWriter(tmp_path / "a.h5", append=True) as writer:
        writer.put_in_split("test", "d", "b")
    several = "W01 splits 'b' is in several splits (and 1 more)"
    assert list(map(str, verify_archive(tmp_path / "a.h5"))) == [several, same]


@pytest.mark.parametrize("bit_layout", ["wpack", "tpack"])
def test_a_changed_spike_is_found(tmp_path: Path, bit_layout: str) -> None:
    path = write_archive(tmp_path / "a.h5", bit_layout=bit_layout)
    with h5py.File(path, "r+") as file:
        file[f"{TAKE}/spikes"][3, 2, 1] ^= 4
    with SpikeArchive(path) as archive:
        assert [finding.code for finding in archive.verify()] == ["E06"]


def test_bits_beyond_the_last_plane_are_found_in_cold_storage(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5", bit_layout="tpack")
    with h5py.File(path, "r+") as file:
        file[f"{TAKE}/spikes"][3, 2, 4] |= 1 << 7  # 37 planes end within the fifth byte
    assert [finding.code for finding in verify_archive(path)] == ["E05"]


def test_a_circular_hard_link_is_visited_once(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["loop"] = file["/"]
    assert [finding.code for finding in verify_archive(path)] == ["W03"]


def test_a_file_that_does_not_open_is_a_finding(tmp_path: Path, path: Path) -> None:
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:-100])
    (tmp_path / "text.h5").write_text("not HDF5")
    (tmp_path / "empty.h5").write_bytes(b"")
    for name in ("cut.h5", "text.h5", "empty.h5"):
        [finding] = verify_archive(tmp_path / name)
        assert (finding.code, finding.path) == ("E01", "/")
    with pytest.raises(MissingFileError):
        verify_archive(tmp_path / "absent.h5")


def test_a_damaged_image_is_found(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.h5", compression="gzip")
    with h5py.File(path) as file:
        chunk = file[f"{TAKE}/blur"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 255
    path.write_bytes(data)
    [finding] = verify_archive(path)
    assert (finding.code, finding.path) == ("E01", f"{TAKE}/blur")


def read_everything(path: Path) -> None:
    with SpikeArchive(path) as archive:
        archive.data_sha256()
        for name in archive:
            archive[name][:]
            archive.images(name)
            archive.blur(name)


def test_a_damaged_byte_never_raises_an_unexpected_error(path: Path, tmp_path: Path) -> None:
    data, random = path.read_bytes(), np.random.default_rng(2)
    broken_path, error_count = tmp_path / "broken.h5", 0
    heap = data.index(b"GCOL")  # HDF5 2.0 can loop forever on a damaged heap of strings
    places = [*range(heap), *range(heap + 4096, len(data))]
    for position in random.choice(places, 30):
        broken = bytearray(data)
        broken[position] ^= int(random.integers(1, 256))
        broken_path.write_bytes(broken)
        assert all("\n" not in str(finding) for finding in verify_archive(broken_path))
        try:
            read_everything(broken_path)
        except SpikeZooError:
            error_count += 1
    assert error_count > 0


def test_reading_rejects_invalid_images(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        replace(f"{TAKE}/images", np.zeros((3, 2), "c8"))(file)
        del file[f"{TAKE}/blur"]
        file.create_dataset(f"{TAKE}/blur", (10**9, 24, 42, 3), "f4", chunks=(1, 24, 42, 3))
    archive = SpikeArchive(path)
    with pytest.raises(FormatError, match="are no images"):
        archive.images("take0")
    with pytest.raises(FormatError, match="never written"):
        archive.blur("take0")
