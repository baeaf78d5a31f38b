"""Sharded archives: build, reading and validation."""

from __future__ import annotations

import functools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.archive import SpikeArchive, build_archive
from spike_zoo.archive.shards import ShardedArchive, build_shards, parse_shards
from spike_zoo.cli.main import main
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import (
    ExistingFileError,
    FormatError,
    MissingFileError,
    MissingItemError,
    UsageError,
)
from spike_zoo.formats import read_recording
from spike_zoo.testing import tiny_archive
from tests.helpers.archives import make_take

JOBS = {f"take{number}": make_take for number in range(7)}
SPLITS = {"train": [f"take{number}" for number in (4, 0, 2)], "test": ["take6", "take1"]}


@pytest.fixture
def single(tmp_path: Path) -> Path:
    return build_archive(tmp_path / "single.h5", JOBS, splits=SPLITS, label_names=("a", "b", "c"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build_shards(tmp_path / "many", JOBS, "3", splits=SPLITS, label_names=("a", "b", "c"))


def test_a_folder_is_read_as_one_archive(single: Path, folder: Path) -> None:
    archive, sharded = SpikeArchive(single), SpikeArchive(folder)
    assert isinstance(sharded, ShardedArchive)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("000.h5", "001.h5", "002.h5", "index.json"),
    ]
    assert list(sharded) == sharded.names() == list(JOBS)
    assert len(sharded) == 7
    assert "take3" in sharded
    assert "take9" not in sharded
    assert sharded.splits() == archive.splits()
    assert sharded.names("train") == SPLITS["train"]
    assert sharded.label_names == archive.label_names
    for name in JOBS:
        assert sharded.facts(name) == archive.facts(name)
        assert (sharded[name][:] == archive[name][:]).all()
        np.testing.assert_array_equal(sharded.images(name), archive.images(name))
        assert sharded.take(name).label == archive.label(name)
        rows, columns = slice(1, 4), slice(0, 1)
        crop = sharded.read_packed(name, 2, 5, rows=rows, byte_columns=columns)
        expected = archive.read_packed(name, 2, 5, rows=rows, byte_columns=columns)
        np.testing.assert_array_equal(crop, expected)
    assert sharded.data_sha256() == archive.data_sha256()
    assert sharded.data_sha256("test") == archive.data_sha256("test")
    assert {finding.code for finding in sharded.verify()} == {"W01"}  # all takes are the same
    with pytest.raises(MissingItemError, match="no recording 'take9'; it holds take0"):
        sharded["take9"]
    with pytest.raises(MissingItemError, match="train, test"):
        sharded.names("val")
    unpickled = pickle.loads(pickle.dumps(sharded))
    assert unpickled.names() == sharded.names()
    assert (unpickled["take5"][:] == archive["take5"][:]).all()


def test_the_number_of_open_files_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spike_zoo.archive.shards._MOST_OPEN", 2)
    sharded = SpikeArchive(build_shards(tmp_path / "many", JOBS, "7"))
    assert isinstance(sharded, ShardedArchive)
    for name in [*JOBS, *JOBS]:
        assert len(sharded.images(name))
        assert len(sharded._open) <= 2


def test_shards_are_built_separately_and_a_stopped_build_is_continued(
    single: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    for part in ("2/3", "3/3"):
        build_shards(folder, JOBS, part, splits=SPLITS, label_names=("a", "b", "c"))
    with pytest.raises(MissingFileError, match="the same command builds the missing files"):
        SpikeArchive(folder)
    before = (folder / "001.h5").stat().st_mtime_ns
    build_shards(folder, JOBS, "3", splits=SPLITS, label_names=("a", "b", "c"))
    assert (folder / "001.h5").stat().st_mtime_ns == before
    assert SpikeArchive(folder).data_sha256() == SpikeArchive(single).data_sha256()
    with pytest.raises(ExistingFileError, match="exists already"):
        build_shards(folder, JOBS, "3")


def test_a_shard_of_another_build_is_rejected(tmp_path: Path) -> None:
    build_shards(tmp_path / "many", JOBS, "2/3")
    other_jobs = {f"other{number}": make_take for number in range(7)}
    with pytest.raises(ExistingFileError, match=r"001\.h5 contains other recordings"):
        build_shards(tmp_path / "many", other_jobs, "3")


@pytest.mark.parametrize("text", ["0", "x", "0/3", "4/3", "1/x", "-1", "1/2/3"])
def test_impossible_parts_are_rejected(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected N, or K/N with K from 1 to N"):
        parse_shards(text)
    with pytest.raises(UsageError, match="there are 7 recordings"):
        build_shards(tmp_path / "many", JOBS, "8")


def test_missing_truncated_and_exchanged_shards_are_named(folder: Path, tmp_path: Path) -> None:
    data = (folder / "001.h5").read_bytes()
    (folder / "001.h5").unlink()
    with pytest.raises(MissingFileError, match=r"001\.h5: this part of the archive is missing"):
        SpikeArchive(folder)
    (folder / "001.h5").write_bytes(data[:-1])
    with pytest.raises(FormatError, match=rf"001\.h5: has {len(data) - 1} bytes and not the"):
        SpikeArchive(folder)
    (folder / "001.h5").write_bytes(data)
    sharded = SpikeArchive(folder)
    sharded.check_unchanged()
    index = (folder / "index.json").read_text()
    (folder / "index.json").write_text(index.replace('"take3", 1', '"take3", 2'))
    findings = SpikeArchive(folder).verify()
    errors = [finding for finding in findings if finding.severity == "error"]
    assert [(error.code, error.path) for error in errors] == [("E06", "index.json")]
    for damaged in ("", "[]", index[:40], index.replace('"version": 1', '"version": 9')):
        (folder / "index.json").write_text(damaged)
        with pytest.raises(FormatError, match=r"damaged|version 9"):
            SpikeArchive(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"take3", 1, [', '"take3", 99, ['),
        ('"take3", 1, [', '"take3", 1, ["x", '),
        ('"take3", 1, [', '"take3", 1, 5, ['),
        ('"train": [', '"train": 3, "more": ['),
        ('"000.h5": ', '"../000.h5": '),
        ('"000.h5": ', '"000.h5": null, "x.h5": '),
    ],
)
def test_a_crafted_index_is_an_error_of_the_file(folder: Path, old: str, new: str) -> None:
    index = (folder / "index.json").read_text()
    assert old in index
    (folder / "index.json").write_text(index.replace(old, new))
    with pytest.raises((FormatError, MissingFileError), match=r"index\.json|x\.h5"):
        SpikeArchive(folder).facts("take3")


def test_the_index_is_json(folder: Path) -> None:
    head, *rows = json.loads((folder / "index.json").read_text())
    assert list(head["files"]) == ["000.h5", "001.h5", "002.h5"]
    assert [row[0] for row in rows] == list(JOBS)


def test_commands_and_loaders_accept_a_sharded_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_archive(Path("one.h5"))
    assert main(["archive", "build", "one.h5", "many", "--shards", "2", "--jobs", "1"]) == 0
    assert "many: archive of" in capsys.readouterr().out
    assert main(["archive", "verify", "many", "--jobs", "1"]) == 0
    assert main(["info", "many"]) == 0
    name = SpikeArchive("many").names()[0]
    assert read_recording("many", name).shape == SpikeArchive("one.h5")[name].shape
    line = ["reconstruct", "many", "--method", "tfi", "--rate-scale", "0.6"]
    assert main([*line, "--name", name, "--out", "a.png"]) == 0
    assert main([*line, "--name", "*", "--out", "all/{name}.png", "--jobs", "1"]) == 0
    assert len(list(Path("all").glob("*.png"))) == len(SpikeArchive("many"))
    assert main(["archive", "build", "many", "again.h5", "--jobs", "1"]) == 0
    assert SpikeArchive("again.h5").data_sha256() == SpikeArchive("one.h5").data_sha256()
    capsys.readouterr()
    assert main(["archive", "build", "one.h5", "part", "--shards", "1/2", "--jobs", "1"]) == 0
    assert "complete when all parts are" in capsys.readouterr().out
    assert main(["archive", "build", "one.h5", "b.h5", "--shards", "2"]) == 2
    assert "leave its suffix out" in capsys.readouterr().err
    batches = [
        next(iter(ReconstructionDataModule(path, crop=32, batch_size=2, seed=0).train_dataloader()))
        for path in ("one.h5", "many")
    ]
    assert (batches[0]["spikes"] == batches[1]["spikes"]).all()
    assert batches[0]["name"] == batches[1]["name"]


def test_training_samples_are_drawn_from_some_files_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_archive(tmp_path / "one.h5", 21, 32, 32)
    with SpikeArchive(path) as archive:
        jobs = {name: functools.partial(archive.take, name) for name in archive}
        splits = {split: archive.names(split) for split in archive.splits()}
        folder = build_shards(tmp_path / "many", jobs, "6", splits=splits)
    monkeypatch.setattr("spike_zoo.archive.shards._MOST_OPEN", 2)
    monkeypatch.setattr("spike_zoo.data.sampling.FILES_AT_ONCE", 1)
    data = ReconstructionDataModule(str(folder), 21, crop=None, batch_size=1, seed=0)
    names = [batch["name"][0] for batch in data.train_dataloader()]
    assert sorted(names) == splits["train"]
    assert data.train_dataloader().sampler.files == [0, 1, 2, 3]
