"""Digest of an archive's contents."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import contents
from tests.helpers.archives import (
    add_annotations,
    make_motion,
    make_take,
    make_two_sided_motion,
    write_archive,
    write_takes,
)

TAKE = "recordings/take1"
EDITS = {
    "images": (0, 3, 4),
    "image_index": (2,),
    "blur": (0, 5, 6, 1),
    "labels/class": (),
    "labels/boxes": (0, 2),
    "labels/boxes_index": (0,),
    "labels/mood": (0,),
    "calibration/dark": (2, 1),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = write_archive(tmp_path / "takes.h5", takes=3)
    add_annotations(path, "take1")
    return path


def edit(path: Path, part: str) -> None:
    """Change one value without its checksum."""
    with h5py.File(path, "r+") as file:
        stored = file[f"{TAKE}/{part}"]
        stored[EDITS[part]] = np.asarray(stored[EDITS[part]]) + np.ones((), stored.dtype)


def drop_checksums(path: Path) -> None:
    """Remove the checksums of parts, as in older archives."""

    def drop(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and "sha256" in item.attrs:
            del item.attrs["sha256"]

    with h5py.File(path, "r+") as file:
        file["recordings"].visititems(drop)


@pytest.mark.parametrize("part", EDITS)
def test_one_changed_value_gives_another_digest(path: Path, part: str) -> None:
    before = SpikeArchive(path).data_sha256()
    edit(path, part)
    assert SpikeArchive(path).data_sha256() != before


@pytest.mark.parametrize("part", ["images", "blur", "labels/class"])
def test_verify_names_the_part_whose_values_changed(path: Path, part: str) -> None:
    edit(path, part)
    with SpikeArchive(path) as archive:
        findings = [(finding.code, finding.path) for finding in archive.verify()]
    assert ("E06", f"{TAKE}/{part}") in findings
    assert [code for code, _ in findings if code.startswith("E")] == ["E06"]


def test_split_membership_order_and_scale_give_another_digest(path: Path) -> None:
    digests = {SpikeArchive(path).data_sha256()}
    with h5py.File(path, "r+") as file:
        file["splits/train"][...] = ["take1", "take0"]
    digests.add(SpikeArchive(path).data_sha256())
    with h5py.File(path, "r+") as file:
        file[TAKE].attrs["rate_scale"] = 0.61
    digests.add(SpikeArchive(path).data_sha256())
    assert len(digests) == 3


def test_archives_without_checksums_have_the_same_digest_and_verify_clean(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "takes.h5", takes=3)
    before = SpikeArchive(path).data_sha256()
    drop_checksums(path)
    assert SpikeArchive(path).data_sha256() == before
    assert SpikeArchive(path).verify() == []


def test_large_archives_have_the_same_digest_from_stored_checksums(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SpikeArchive(path).data_sha256()
    monkeypatch.setattr(contents, "MAX_BYTES_READ", 0)
    assert SpikeArchive(path).data_sha256() == read
    edit(path, "images")
    assert SpikeArchive(path).data_sha256() == read  # verify finds it
    drop_checksums(path)
    assert SpikeArchive(path).data_sha256() != read


def test_the_digest_depends_on_the_values_of_motion(tmp_path: Path) -> None:
    bare, moving, both = (
        write_takes(tmp_path / f"{number}.h5", {"a": make_take(**parts)}, "train")
        for number, parts in enumerate(({}, {"motion": make_motion()}, make_two_sided_motion(0)))
    )
    digests = {SpikeArchive(path).data_sha256() for path in (bare, moving, both)}
    with h5py.File(moving, "r+") as file:
        file["recordings/a/motion"][1, 0, 5, 6] += 1
    digests.add(SpikeArchive(moving).data_sha256())
    assert len(digests) == 4
    (finding,) = SpikeArchive(moving).verify()
    assert (finding.code, finding.path) == ("E06", "recordings/a/motion")
