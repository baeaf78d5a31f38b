"""Several archives read as one, and archives of parts of the recordings."""

import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from psutil import Process

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.archive import SpikeArchive, build_archive, open_archive, verify_archive
from spike_zoo.archive.joined import JoinedArchive
from spike_zoo.cli.main import main
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import FormatError, MissingFileError, MissingItemError
from spike_zoo.testing import tiny_archive
from tests.helpers.archives import make_take
from tests.helpers.streams import random_spikes

JOBS = {f"take{number}": make_take for number in range(7)}
SPLITS = {"train": ["take0", "take2", "take4"], "test": ["take1", "take6"]}
LABELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_archive(
        tmp_path_factory.mktemp("one") / "all.h5", JOBS, splits=SPLITS, label_names=LABELS
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three archives that together have the recordings of the single one."""
    folder = tmp_path_factory.mktemp("parts")
    for number, numbers in enumerate([(0, 1), (2, 3), (4, 5, 6)]):
        jobs = {f"take{n}": make_take for n in numbers}
        splits = {split: [n for n in names if n in jobs] for split, names in SPLITS.items()}
        build_archive(folder / f"part-{number}.h5", jobs, splits=splits, label_names=LABELS)
    return folder


@pytest.mark.parametrize("max_open", [1, 64])
def test_several_archives_are_read_as_one(
    single: Path, parts: Path, max_open: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spike_zoo.archive.joined._MAX_OPEN", max_open)
    archive, joined = SpikeArchive(single), open_archive(str(parts / "part-*.h5"))
    assert isinstance(joined, JoinedArchive)
    assert list(joined) == joined.names() == list(JOBS)
    assert len(joined) == 7
    assert "take3" in joined
    assert "take9" not in joined
    assert joined.names("train") == SPLITS["train"]
    assert joined.label_names == archive.label_names
    for name in JOBS:
        assert joined.facts(name) == archive.facts(name)
        np.testing.assert_array_equal(joined[name][:], archive[name][:])
        np.testing.assert_array_equal(joined.images(name), archive.images(name))
        assert joined.take(name).label == archive.label(name)
        crop = {"rows": slice(1, 4), "byte_columns": slice(0, 1)}
        expected = archive.read_packed(name, 2, 5, **crop)
        np.testing.assert_array_equal(joined.read_packed(name, 2, 5, **crop), expected)
    assert len(joined._open) <= max_open
    assert joined.data_sha256() == archive.data_sha256()
    unpickled = pickle.loads(pickle.dumps(joined))
    np.testing.assert_array_equal(unpickled["take5"][:], archive["take5"][:])


def test_archives_above_the_limit_are_closed_while_others_are_opened(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []

    def opened(path: Path) -> SpikeArchive:
        counts.append(sum(parts.as_posix() in file.path for file in Process().open_files()))
        return SpikeArchive(path)

    monkeypatch.setattr("spike_zoo.archive.joined._MAX_OPEN", 1)
    monkeypatch.setattr("spike_zoo.archive.joined.SpikeArchive", opened)
    open_archive(str(parts / "part-*.h5"))
    assert counts == [0, 1, 1]


def test_a_list_has_the_recordings_of_its_files_in_order(parts: Path) -> None:
    joined = open_archive([parts / "part-2.h5", str(parts / "part-[01].h5")])
    assert joined.names() == [f"take{n}" for n in (4, 5, 6, 0, 1, 2, 3)]
    assert type(open_archive([parts / "part-2.h5"])) is SpikeArchive


def test_missing_items_and_files_are_named(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parts)
    assert open_archive(["part-0.h5", parts / "part-1.h5"]).path == parts
    joined = open_archive(str(parts / "*.h5"))
    with pytest.raises(MissingItemError, match="no recording 'take9'; it holds take0"):
        joined["take9"]
    with pytest.raises(MissingItemError, match="train, test"):
        joined.names("val")
    with pytest.raises(MissingFileError, match=r"none-\*\.h5: no archive matches"):
        open_archive(str(parts / "none-*.h5"))
    with pytest.raises(MissingFileError, match=r"none\.h5: there is no such file"):
        open_archive([parts / "part-0.h5", parts / "none.h5"])


def test_archives_with_a_common_name_or_other_classes_are_rejected(
    single: Path, parts: Path, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=r"all\.h5: recording 'take0' is in .*part-0\.h5 too"):
        open_archive([parts / "part-0.h5", single])
    other = build_archive(tmp_path / "other.h5", {"other": make_take}, label_names=("x", "y", "z"))
    with pytest.raises(FormatError, match=r"other\.h5: has other classes than .*part-0\.h5"):
        open_archive([parts / "part-0.h5", other])


def test_parts_of_a_build_are_archives_that_training_reads_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_archive(Path("one.h5"))
    for number in (1, 2):
        line = ["archive", "build", "one.h5", f"part-{number}.h5", "--shards", f"{number}/2"]
        assert main([*line, "--jobs", "1"]) == 0
    assert open_archive("part-*.h5").data_sha256() == SpikeArchive("one.h5").data_sha256()
    batches = [
        next(iter(ReconstructionDataModule(path, crop=32, batch_size=2, seed=0).train_dataloader()))
        for path in ("one.h5", "part-*.h5", ["part-1.h5", "part-2.h5"])
    ]
    for batch in batches[1:]:
        assert (batches[0]["spikes"] == batch["spikes"]).all()
        assert batches[0]["name"] == batch["name"]


def _build_parts(source: Path, *parts: str, options: Sequence[str] = ()) -> None:
    for part in parts:
        line = ["archive", "build", str(source), f"part-{part[0]}.h5", "--shards", part]
        assert main([*line, "--jobs", "1", "--overwrite", *options]) == 0


@pytest.fixture
def takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of six recordings in a working folder without other files."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        clip = SpikeRecording.from_planes(random_spikes(20, 16, 16, seed=number))
        write_recording(clip, Path(f"in/train/take-{number}.npz"))
    return Path("in")


def test_a_pattern_without_all_parts_of_one_build_is_rejected(
    takes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _build_parts(takes, "1/3", "3/3")
    message = r"part-\*\.h5: part 2 of 3 is missing; .* --shards 2/3"
    with pytest.raises(FormatError, match=message):
        open_archive("part-*.h5")
    with pytest.raises(FormatError, match=message):
        _ = ReconstructionDataModule("part-*.h5", crop=16, batch_size=1).archive
    assert main(["archive", "verify", "part-*.h5"]) == 1
    assert "part 2 of 3 is missing" in capsys.readouterr().err
    with pytest.raises(FormatError, match="part 2, 3 of 3 is missing"):
        open_archive("part-[1].h5")  # a single file
    with pytest.warns(UserWarning, match=r"part-1\.h5: part 2 of 3 is missing"):
        assert len(open_archive(["part-1.h5", tmp_path / "part-3.h5"])) == 4  # on purpose
    shutil.copyfile("part-1.h5", "part-1-copy.h5")
    with pytest.raises(FormatError, match=r"part-1\.h5 are both part 1 of 3; remove one"):
        open_archive("part-*.h5")
    Path("part-1-copy.h5").unlink()
    # the other part from a copy of the source elsewhere, and rewritten parts
    _build_parts(takes.rename("copy"), "2/3")
    assert main(["archive", "build", "part-1.h5", "part-0.h5", "--compression", "gzip"]) == 0
    Path("part-0.h5").replace("part-1.h5")
    assert len(open_archive("part-*.h5")) == 6
    assert main(["archive", "verify", "part-*.h5"]) == 0
    assert len(open_archive(["part-[12].h5", "part-[3].h5"])) == 6
    capsys.readouterr()
    assert main(["archive", "info", "part-2.h5"]) == 0
    assert "part 2 of 3" in capsys.readouterr().out


def _with_another_scale(takes: Path) -> None:
    _build_parts(takes, "2/3", options=["--rate-scale", "0.3"])


def _with_another_number(takes: Path) -> None:
    _build_parts(takes, "1/2", "2/2")


def _after_a_new_recording(takes: Path) -> None:
    clip = SpikeRecording.from_planes(random_spikes(20, 16, 16, seed=9))
    write_recording(clip, takes / "train/take-9.npz")
    _build_parts(takes, "3/3")


def _after_a_longer_recording(takes: Path) -> None:
    clip = SpikeRecording.from_planes(random_spikes(90, 16, 16, seed=9))
    write_recording(clip, takes / "train/take-5.npz", overwrite=True)
    _build_parts(takes, "3/3")


def _rewritten_with_another_scale(takes: Path) -> None:
    line = ["archive", "build", "part-3.h5", "new.h5", "--rate-scale", "0.3"]
    assert main(line) == 0
    Path("new.h5").replace("part-3.h5")


def _of_other_recordings(takes: Path) -> None:
    other = takes.rename("other")
    for file in other.glob("train/*"):
        file.rename(file.with_stem(f"other-{file.stem}"))
    _build_parts(other, "4/5", "5/5")


@pytest.mark.parametrize(
    "change",
    [
        _with_another_scale,
        _with_another_number,
        _after_a_new_recording,
        _after_a_longer_recording,
        _rewritten_with_another_scale,
        _of_other_recordings,
    ],
)
def test_parts_of_different_builds_are_rejected(
    change: Callable[[Path], None], takes: Path
) -> None:
    _build_parts(takes, "1/3", "2/3", "3/3")
    change(takes)
    with pytest.raises(FormatError, match="built from other recordings or with other options"):
        open_archive("part-*.h5")


def test_complete_builds_are_joined_by_a_pattern_for_each(takes: Path) -> None:
    _build_parts(takes, "1/2", "2/2")
    for part in (1, 2):
        Path(f"part-{part}.h5").rename(f"a-{part}.h5")
    _of_other_recordings(takes)
    with pytest.raises(FormatError, match=r"part-\*\.h5: part 1, 2, 3 of 5 is missing"):
        open_archive(["a-*.h5", "part-*.h5"])
    _build_parts(Path("other"), "1/5", "2/5", "3/5")
    assert len(open_archive(["a-*.h5", "part-*.h5"])) == 12
    with pytest.raises(FormatError, match="list a pattern for the files of each build"):
        open_archive("*-[0-9].h5")


def test_size_and_findings_are_those_of_the_files(parts: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "part-9.h5"
    shutil.copyfile(parts / "part-0.h5", damaged)
    with h5py.File(damaged, "r+") as file:
        file["recordings/take0/spikes"][0] ^= 1
        file.attrs["part"] = "2/1"
    files = [parts / "part-1.h5", damaged]
    with pytest.raises(FormatError, match="part is '2/1', expected K/N"):
        open_archive(files)
    assert "E01" in [finding.code for finding in verify_archive(damaged)]
    with h5py.File(damaged, "r+") as file:
        del file.attrs["part"]
    joined = open_archive(files)
    assert joined.size == sum(file.stat().st_size for file in files)
    [error] = [finding for finding in joined.verify() if finding.severity == "error"]
    assert (error.code, error.path) == ("E06", f"{damaged}: recordings/take0/spikes")


def test_every_member_of_an_archive_is_that_of_the_files() -> None:
    inherited = {"data_sha256"}  # calls methods of the files
    members = {
        name
        for name, member in vars(SpikeArchive).items()
        if (callable(member) or isinstance(member, property)) and not name.startswith("_")
    }
    assert members - inherited <= vars(JoinedArchive).keys()


@pytest.mark.parametrize("text", ["4", "0/3", "4/3", "1/x", "-1", "1/2/3", "9/9"])
def test_impossible_parts_are_rejected(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, out = tiny_archive(tmp_path / "one.h5"), str(tmp_path / "part.h5")
    assert main(["archive", "build", str(archive), out, "--shards", text]) == 2
    expected = "cannot fill 9 parts" if text == "9/9" else "expected K/N with K from 1 to N"
    assert expected in capsys.readouterr().err
