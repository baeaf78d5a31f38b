"""Reader of one recording in an HDF5 group."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import FormatError, MissingItemError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.hdf5 import Hdf5File
from spike_zoo.formats.hdf5_recording import is_archive
from spike_zoo.formats.hdf5_writing import dataset_sha256, stored_sha256, write_checked
from tests.helpers.archives import edit_file, replace_spikes
from tests.helpers.streams import random_spikes

SPIKES = random_spikes(37, 12, 21)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recording(SPIKES, tmp_path / "clip.h5")


@pytest.mark.parametrize(
    ("code", "create_spikes"),
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
def test_data_sets_without_valid_planes_are_rejected(
    path: Path, code: str | None, create_spikes: Callable[[h5py.Group], Any]
) -> None:
    edit_file(path, replace_spikes(create_spikes))
    with pytest.raises(FormatError, match="spikes") as caught:
        read_recording(path)
    assert caught.value.code == code


def test_a_huge_declared_shape_is_rejected_before_memory_is_allocated(path: Path) -> None:
    def huge(file: h5py.File) -> None:
        del file["recordings/clip/spikes"]
        shape, options = (10**9, 12, 3), {"chunks": (16, 12, 3), "maxshape": (None, 12, 3)}
        file.create_dataset("recordings/clip/spikes", shape, "u1", **options)
        file["recordings/clip"].attrs["frames"] = 10**9

    edit_file(path, huge)
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
        ("meta", "[1, 2]", "not a JSON object"),
        ("meta", "{broken", "not a JSON object"),
    ],
)
def test_impossible_attributes_are_rejected(
    path: Path, name: str, value: object, complaint: str
) -> None:
    width = {"width": 25} if (name, value) == ("width", 22) else {name: value}
    edit_file(path, lambda file: file["recordings/clip"].attrs.update(width))
    with pytest.raises(FormatError, match=complaint):
        read_recording(path)


VALUES = np.arange(60, dtype=np.int32).reshape(5, 3, 4)
SHA256 = hashlib.sha256(VALUES.astype("<i4").tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        (VALUES, {}),
        (VALUES.astype(">i4"), {}),
        (np.asfortranarray(VALUES), {"chunks": (2, 3, 2), "compression": "gzip"}),
    ],
)
def test_the_checksum_is_computed_from_the_values_in_little_endian_order(
    tmp_path: Path, stored: np.ndarray[tuple[int, ...], np.dtype[np.int32]], options: dict[str, str]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_checked(file, "values", stored, **options)
    with Hdf5File(tmp_path / "a.h5") as opened:
        assert dataset_sha256(opened, "values") == stored_sha256(opened, "values") == SHA256


def test_data_that_was_never_written_has_no_checksum(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("values", (5, 3), "i4", chunks=(1, 3))
    with Hdf5File(tmp_path / "a.h5") as opened, pytest.raises(FormatError, match="never written"):
        dataset_sha256(opened, "values")


PLAIN = random_spikes(70, 40, 48)


def _file(path: Path, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


@pytest.mark.parametrize("dtype", ["?", "u1", "f4", ">i2"])
@pytest.mark.parametrize("chunks", [None, (16, 40, 48), (70, 8, 8)])
def test_the_only_data_set_with_three_axes_is_read(
    tmp_path: Path, dtype: str, chunks: tuple[int, ...] | None
) -> None:
    path = _file(tmp_path / "flow.h5", flow=np.zeros((2, 40, 48, 2)), timestamps=np.arange(70))
    with h5py.File(path, "a") as file:
        file.create_dataset("raw_spike", data=PLAIN.astype(dtype), chunks=chunks)
    recording = read_recording(path)
    np.testing.assert_array_equal(recording[:], PLAIN)
    assert recording.meta["source"] == "flow.h5"
    assert not is_archive(path)


@pytest.mark.parametrize("block", [512, 2048])
@pytest.mark.parametrize("suffix", [".h5", ".mat"])
def test_files_with_a_user_block_are_read(tmp_path: Path, block: int, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    with h5py.File(path, "w", userblock_size=block) as file:
        file["spikes"] = PLAIN
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(block) + path.read_bytes()[block:])
    assert main(["info", str(path)]) == 0
    np.testing.assert_array_equal(read_recording(path)[:], PLAIN)


def test_arrays_of_matlab_have_planes_on_their_last_axis(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "clip.mat", "w", userblock_size=512) as file:
        # MATLAB stores an array (H, W, T) of logicals with reversed axes
        file["spikes"] = np.transpose(PLAIN[:], (0, 2, 1)).astype(np.uint8)
        file["spikes"].attrs["MATLAB_class"] = np.bytes_("logical")
    np.testing.assert_array_equal(read_recording(tmp_path / "clip.mat")[:], PLAIN)


def test_an_archive_with_a_user_block_is_read(tmp_path: Path) -> None:
    archive = write_recording(PLAIN, tmp_path / "clip.h5")
    with (
        h5py.File(archive) as source,
        h5py.File(tmp_path / "block.h5", "w", userblock_size=512, track_order=True) as target,
    ):
        target.attrs.update(source.attrs)
        for name in source:
            source.copy(name, target)
    assert main(["archive", "verify", str(tmp_path / "block.h5"), "--jobs", "1"]) == 0
    np.testing.assert_array_equal(read_recording(tmp_path / "block.h5")[:], PLAIN)


def test_of_several_data_sets_one_is_chosen_by_name(tmp_path: Path) -> None:
    path = _file(tmp_path / "two.h5", left=PLAIN, right=~PLAIN)
    with h5py.File(path, "a") as file:
        file["camera/above"] = PLAIN[:, ::-1]
    np.testing.assert_array_equal(read_recording(path, "right")[:], ~PLAIN)
    np.testing.assert_array_equal(read_recording(path, "camera/above")[:], PLAIN[:, ::-1])
    listed = r"left \(70, 40, 48\), right \(70, 40, 48\), camera/above \(70, 40, 48\).*--name"
    with pytest.raises(MissingItemError, match=rf"several data sets have three axes.*{listed}"):
        read_recording(path)
    with pytest.raises(MissingItemError, match=rf"no data set 'below'.*{listed}"):
        read_recording(path, "below")


def test_values_that_are_not_spikes_are_rejected(tmp_path: Path) -> None:
    path = _file(tmp_path / "grey.h5", video=np.full((2, 40, 48), 0.5), label=np.arange(3))
    message = r"grey\.h5: video: spikes must be 0 or 1, found \[0\.5\]"
    with pytest.raises(FormatError, match=message):
        read_recording(path)
    with pytest.raises(FormatError, match=r"grey\.h5: label: an array \(3,\) of int64"):
        read_recording(path, "label")


def test_files_without_a_stack_of_planes_are_not_archives(tmp_path: Path) -> None:
    path = _file(tmp_path / "labels.h5", label=np.arange(3))
    with pytest.raises(FormatError, match="not a spike archive"):
        read_recording(path)


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    _file(tmp_path / "other.h5", spikes=PLAIN)
    path = tmp_path / "links.h5"
    with h5py.File(path, "w") as file:
        file["away"] = h5py.ExternalLink("other.h5", "/spikes")
        file["nowhere"] = h5py.SoftLink("/none")
        file["circle/again"] = file["/"]
        layout = h5py.VirtualLayout(PLAIN.shape, PLAIN.dtype)
        layout[:] = h5py.VirtualSource("other.h5", "spikes", PLAIN.shape)
        file.create_virtual_dataset("pieced", layout)
    with pytest.raises(FormatError, match="virtual data set") as caught:
        read_recording(path)
    assert caught.value.code == "E12"
    with pytest.raises(MissingItemError, match="no data set 'away'"):
        read_recording(path, "away")
    with h5py.File(path, "a") as file:
        file["inside"] = PLAIN
    np.testing.assert_array_equal(read_recording(path, "inside")[:], PLAIN)


def test_commands_read_a_plain_data_set_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _file(Path("two.h5"), left=PLAIN, right=PLAIN[:50])
    assert main(["info", "two.h5"]) != 0
    assert "several data sets have three axes" in capsys.readouterr().err
    assert main(["info", "two.h5", "--name", "right"]) == 0
    assert "50 of 48 x 40 pixels" in capsys.readouterr().out
    page = ["report", "two.h5", "--name", "right", "--methods", "tfi", "--rate-scale", "0.6"]
    assert main([*page, "--out", "a.html"]) == 0
    assert is_archive(write_recording(PLAIN, "archive.h5"))
    _file(Path("one.h5"), raw_spike=PLAIN)
    assert main(["archive", "build", "one.h5", "a.h5", "--jobs", "1", "--rate-scale", "0.6"]) == 0
    np.testing.assert_array_equal(read_recording("a.h5")[:], PLAIN)
