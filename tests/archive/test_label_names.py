"""Names of classes in archives."""

from pathlib import Path

import h5py
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.archive import build_archive
from spike_zoo.cli.main import main
from spike_zoo.errors import FormatError, UsageError
from tests.helpers.archives import make_take, write_archive, write_takes

NAMES = ("car", "vélo")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "a.h5", label_names=NAMES)


def test_classes_are_read_in_the_order_of_their_index(path: Path) -> None:
    assert SpikeArchive(path).label_names == NAMES
    assert SpikeArchive(path).verify() == []


def test_an_archive_without_class_names_has_the_same_digest(tmp_path: Path, path: Path) -> None:
    plain = SpikeArchive(write_archive(tmp_path / "b.h5"))
    assert plain.label_names == ()
    assert plain.data_sha256() == SpikeArchive(path).data_sha256()
    with h5py.File(plain.path, locking=False) as file:
        assert "label_names" not in file.attrs


def test_a_built_archive_has_the_given_class_names(tmp_path: Path) -> None:
    built = build_archive(tmp_path / "b.h5", {"one": make_take}, label_names=NAMES)
    assert SpikeArchive(built).label_names == NAMES


def test_names_survive_adding_rewriting_and_exporting(path: Path, tmp_path: Path) -> None:
    write_takes(path, {"more": make_take(1)}, append=True)
    assert main(["archive", "build", str(path), str(tmp_path / "b.h5"), "--jobs", "1"]) == 0
    exported = str(tmp_path / "one.h5")
    assert main(["archive", "export", str(tmp_path / "b.h5"), exported, "--name", "more"]) == 0
    assert SpikeArchive(exported).label_names == NAMES
    assert SpikeArchive(exported).label("more") == 1


def test_classes_of_two_archives_are_not_mixed(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match="classes of other names"):
        write_takes(path, {}, append=True, label_names=("bus",))
    assert path.read_bytes() == before
    write_takes(path, {"more": make_take(1)}, append=True, label_names=NAMES)
    assert len(SpikeArchive(path)) == 3


def test_invalid_class_names_are_rejected(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 'car' twice"):
        write_archive(tmp_path / "b.h5", label_names=("car", "car"))
    assert list(tmp_path.iterdir()) == [path]
    with h5py.File(path, "r+") as file:
        file.attrs["label_names"] = "[car"
    with pytest.raises(FormatError, match=r"a\.h5: label_names is '\[car', expected a JSON list"):
        _ = SpikeArchive(path).label_names
