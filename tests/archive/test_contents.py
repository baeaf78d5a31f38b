"""Table of contents of large archives."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import ArchiveWriter, contents, writer
from spike_zoo.archive.contents import (
    Facts,
    checked_datasets,
    facts_by_name,
    read_integers,
    read_table,
)
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import FormatError
from spike_zoo.formats.hdf5 import Hdf5File
from spike_zoo.spikes import SpikeRecording, Take
from tests.helpers.archives import (
    add_annotations,
    edit_file,
    make_motion,
    make_take,
    write_archive,
    write_takes,
)
from tests.helpers.streams import random_spikes


@pytest.fixture(autouse=True)
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (contents, writer):
        monkeypatch.setattr(module, "MIN_RECORDINGS", 4)


def plain_take(seed: int, *, label: int | None = None, scale: float | None = 0.6) -> Take:
    spikes = random_spikes(5, 6, 9, seed=seed)
    return Take(SpikeRecording.from_planes(spikes, fps=1e4, rate_scale=scale), label=label)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with ArchiveWriter(tmp_path / "a.h5") as writer:
        writer.add("labelled", plain_take(0, label=7), split="train")
        writer.add("bare", plain_take(1), split="test")
        writer.add("unscaled", plain_take(2, label=0, scale=None), split="train")
        writer.add("images", make_take(3), split="train")
        writer.add("moving", make_take(4, motion=make_motion(), blur=None, blur_span=None))
    return tmp_path / "a.h5"


def without_table(path: Path) -> Path:
    copy = path.with_name("bare.h5")
    shutil.copyfile(path, copy)
    edit_file(copy, lambda file: file.__delitem__("contents"))
    return copy


def contents_of(path: Path) -> dict[str, Any]:
    """Return all contents of the table, read through the archive."""
    archive = SpikeArchive(path)
    facts = {name: archive.facts(name) for name in archive}
    return facts | {"digest": archive.data_sha256()}


def table_of(path: Path) -> dict[str, Facts]:
    with Hdf5File(path) as file:
        return facts_by_name(read_table(file))


def test_the_table_agrees_with_the_recordings(path: Path) -> None:
    assert set(table_of(path)) == {"labelled", "bare", "unscaled", "images", "moving"}
    assert table_of(without_table(path)) == {}
    assert contents_of(path) == contents_of(without_table(path))
    assert SpikeArchive(path).facts("labelled") == Facts((5, 6, 9), 0.6, 7)
    assert SpikeArchive(path).facts("unscaled") == Facts((5, 6, 9), None, 0)
    assert SpikeArchive(path).facts("moving") == Facts(
        (37, 12, 21), 0.6, 4, (5, 15, 15), (12, 21), has_flow=True
    )
    assert SpikeArchive(path).verify() == SpikeArchive(without_table(path)).verify()


def test_a_valid_table_replaces_opening_the_recordings(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = contents_of(path)
    monkeypatch.setattr(
        SpikeArchive, "__getitem__", lambda *_: pytest.fail("a recording was opened")
    )
    monkeypatch.setattr(
        contents, "checked_datasets", lambda *_: pytest.fail("a recording was opened")
    )
    assert contents_of(path) == expected
    copy = path.with_name("moved.h5")
    shutil.copyfile(path, copy)  # at another time, under another name
    assert contents_of(copy) == expected


@pytest.mark.parametrize(
    ("edit", "counts"),
    [
        (lambda file: file["recordings/bare"].attrs.__setitem__("rate_scale", 0.7), True),
        (lambda file: file["recordings/labelled/labels/class"].__setitem__((), 8), True),
        (lambda file: file["recordings/images/images"].__setitem__((0, 0, 0), 1), True),
        (lambda file: file["recordings/bare"].attrs.__setitem__("operator", "Ada"), False),
        (lambda file: file.move("recordings/labelled", "recordings/lab"), True),
        (lambda file: file["splits"].__setitem__("val", ["bare"]), True),
    ],
)
def test_a_change_invalidates_the_table(path: Path, edit: Any, counts: bool) -> None:
    def now() -> list[Any]:
        archive = SpikeArchive(path)
        return [archive.data_sha256(), *(archive.facts(name) for name in archive)]

    before = now()
    edit_file(path, edit)
    assert table_of(path) == {}
    assert (now() != before) == counts


def test_appending_and_removing_update_the_table(path: Path) -> None:
    with ArchiveWriter(path, append=True) as writer:
        writer.add("more", plain_take(9, label=3), split="train")
        writer.add("bare", plain_take(8, label=1), overwrite=True)
    assert table_of(path)["more"] == Facts((5, 6, 9), 0.6, 3)
    assert table_of(path)["bare"].label == 1
    assert contents_of(path) == contents_of(without_table(path))
    with h5py.File(path) as file:
        assert sorted(file) == ["contents", "recordings", "splits"]


def test_small_too_large_and_damaged_archives_have_no_table(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = write_takes(tmp_path / "few.h5", {str(number): plain_take(number) for number in range(3)})
    with h5py.File(few) as file:
        assert "contents" not in file
    for name in ("MAX_BYTES_READ", "MAX_FILE_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(contents, name, 100)
            write_takes(path, {name: plain_take(1)}, append=True)
        assert table_of(path) == {}
    edit_file(path, lambda file: file["recordings/bare"].attrs.__setitem__("frames", -5))
    write_takes(path, {"last": plain_take(2)}, append=True)
    assert table_of(path) == {}
    with pytest.raises(FormatError, match="frames, height, width are"):
        SpikeArchive(path).facts("bare")


def test_an_archive_with_an_external_link_has_no_table(path: Path, tmp_path: Path) -> None:
    write_takes(tmp_path / "other.h5", {"a": plain_take(0, label=5)})

    def link(file: h5py.File) -> None:
        del file["recordings/labelled/labels/class"]
        file["recordings/labelled/labels/class"] = h5py.ExternalLink(
            "other.h5", "/recordings/a/labels/class"
        )

    edit_file(path, link)
    write_takes(path, {"more": plain_take(2)}, append=True)
    assert table_of(path) == {}


def test_a_data_module_lists_the_same_samples_with_and_without_a_table(path: Path) -> None:
    options: dict[str, Any] = {"clip_length": 5, "crop": None, "test_split": "train"}
    planes = []
    for archive in (path, without_table(path)):
        data = ReconstructionDataModule(str(archive), **options)
        with (
            pytest.warns(UserWarning, match="1 of 3 recordings do not state"),
            pytest.warns(UserWarning, match="2 recordings without images"),
        ):
            data.setup("test")
        planes.append([int(batch["plane"]) for batch in data.test_dataloader()])
    assert planes[0] == planes[1] == [5, 15, 15]


TAKE = "recordings/take0"


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "takes.h5")


def test_images_labels_and_calibration_have_separate_checksums(takes: Path) -> None:
    add_annotations(takes, "take0")
    labels = ("boxes", "boxes_index", "class", "class_index", "flow", "mood")
    assert checked_datasets(Hdf5File(takes), TAKE) == [
        f"{TAKE}/images",
        f"{TAKE}/blur",
        *(f"{TAKE}/labels/{name}" for name in labels),
        f"{TAKE}/calibration/dark",
    ]


def test_integers_of_any_width_are_read(takes: Path) -> None:
    edit_file(takes, lambda file: file.create_dataset("few", data=np.array([3, 1], ">u2")))
    values = read_integers(Hdf5File(takes), "few", 1)
    assert values.dtype == np.int64
    assert values.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda file: file.create_dataset("few", data=np.ones(2)), "float64 .* expected int64"),
        (lambda file: file.create_dataset("few", data=3), "with 1 dimensions"),
        (lambda file: file.create_dataset("few", (4,), "i8", chunks=(2,)), "never written"),
    ],
)
def test_other_values_are_rejected(
    takes: Path, make: Callable[[h5py.File], Any], problem: str
) -> None:
    edit_file(takes, make)
    with pytest.raises(FormatError, match=problem):
        read_integers(Hdf5File(takes), "few", 1)
