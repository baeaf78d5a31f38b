"""Rewriting archives without loss of further parts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter
from spike_zoo.cli.main import main
from tests.helpers.archives import (
    add_annotations,
    make_motion,
    make_take,
    make_two_sided_motion,
    write_archive,
    write_takes,
)

REWRITE_OPTIONS = [(), ("--compression", "gzip")]
PACKING = ("layout", "sha256")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = write_archive(tmp_path / "old.h5", takes=3)
    add_annotations(path, "take1")
    with h5py.File(path, "r+") as file:
        file["recordings/take0/labels/class"].attrs["name"] = "bus"
        del file["recordings/take2/labels/class"]
        file["recordings/take2/labels/class"] = np.int16(2)
        file["recordings/take2/motion"] = make_motion(2)
        for name, data in make_two_sided_motion(2).items():
            file[f"recordings/take2/{name}"] = data
        file["notebook/page"] = "rain"
        file.attrs["author"] = "Ada"
        file.attrs["label_names"] = '["car", "bus", "van"]'
        file.attrs["empty"] = h5py.Empty("f4")
        file.attrs["sites"] = np.array(["a", "b"], h5py.string_dtype())
    with ArchiveWriter(path, append=True) as writer:
        writer.put_in_split("all", "take2", "take0", "take1")
        writer.put_in_split("test", "take0")
    return path


def rewrite(path: Path, *options: str) -> Path:
    target = path.with_name("new.h5")
    assert main(["archive", "build", str(path), str(target), "--jobs", "1", *options]) == 0
    return target


def content(path: Path) -> dict[str, Any]:
    """Return type, values and attributes of all objects except checksums, spikes and packing."""
    objects: dict[str, Any] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        attributes = {key: repr(item.attrs[key]) for key in item.attrs if key not in PACKING}
        objects[name] = [attributes]
        if isinstance(item, h5py.Dataset) and not name.endswith("/spikes"):
            objects[name] += [item.dtype.str, item.shape, repr(np.asarray(item[()]).tolist())]

    with h5py.File(path) as file:
        file.visititems(visit)
        objects["/"] = {
            key: repr(file.attrs[key]) for key in file.attrs if key not in ("created", "generator")
        }
    return objects


@pytest.mark.parametrize("options", REWRITE_OPTIONS)
def test_everything_except_the_packing_is_kept(path: Path, options: tuple[str, ...]) -> None:
    before, digest = content(path), SpikeArchive(path).data_sha256()
    new = rewrite(path, *options)
    assert content(new) == before
    assert SpikeArchive(new).data_sha256() == digest
    findings = [(finding.code, finding.path) for finding in SpikeArchive(new).verify()]
    assert sorted(findings) == sorted((f.code, f.path) for f in SpikeArchive(path).verify())


def test_a_recording_stays_in_all_its_splits_and_their_order(path: Path) -> None:
    archive = SpikeArchive(rewrite(path))
    assert archive.splits() == ["train", "test", "all"]
    assert archive.names("train") == ["take0", "take1"]
    assert archive.names("test") == ["take2", "take0"]
    assert archive.names("all") == ["take2", "take0", "take1"]


def test_one_split_for_all_recordings_replaces_the_previous_splits(path: Path) -> None:
    archive = SpikeArchive(rewrite(path, "--split", "val"))
    assert archive.splits() == ["val"]
    assert archive.names("val") == ["take0", "take1", "take2"]


def test_kept_labels_and_calibration_get_checksums(path: Path) -> None:
    with h5py.File(rewrite(path), "r+") as file:
        file["recordings/take1/calibration/dark"][3, 4] += 1
        file["recordings/take1/labels/flow"][1, 0, 3, 4] += 1
    findings = [str(finding) for finding in SpikeArchive(path.with_name("new.h5")).verify()]
    assert [line.split()[1] for line in findings if line.startswith("E06")] == [
        "recordings/take1/labels/flow",
        "recordings/take1/calibration/dark",
    ]


@pytest.mark.parametrize("part", ["spikes", "images", "blur"])
def test_damaged_data_are_not_rewritten_with_new_checksums(
    path: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(path, "r+") as file:
        stored = file[f"recordings/take1/{part}"]
        stored[0] = 0
    assert main(["archive", "build", str(path), str(path.with_name("new.h5")), "--jobs", "1"]) == 1
    assert f"old.h5: recordings/take1/{part}: damaged" in capsys.readouterr().err
    assert not path.with_name("new.h5").exists()


def test_images_that_replace_those_of_a_take_are_written(path: Path) -> None:
    take: Any = SpikeArchive(path).take("take0")
    takes = {"take0": replace(take, images=255 - take.images)}
    rewritten = SpikeArchive(write_takes(path.with_name("new.h5"), takes)).images("take0")
    np.testing.assert_array_equal(rewritten, 255 - take.images)


@pytest.mark.parametrize("place", ["recordings/take1/thermal/out", "notebook/out"])
def test_links_out_of_the_archive_are_rejected(
    path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(path, "r+") as file:
        file[place] = h5py.ExternalLink("other.h5", "/secret")
    assert main(["archive", "build", str(path), str(path.with_name("new.h5")), "--jobs", "1"]) == 1
    assert f"old.h5: {place} cannot be copied" in capsys.readouterr().err
    assert not path.with_name("new.h5").exists()


def test_a_take_of_spikes_alone_is_rewritten(tmp_path: Path) -> None:
    old = write_takes(tmp_path / "old.h5", {"bare": make_take().recording})
    archive = SpikeArchive(rewrite(old))
    assert archive.splits() == []
    assert archive.label("bare") is None
    assert archive.verify() == []
