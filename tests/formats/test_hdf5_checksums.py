"""Checksums are those of the values, however they are stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.errors import FormatError
from spike_zoo.formats import hdf5_checksums
from spike_zoo.formats.hdf5 import Hdf5File
from spike_zoo.formats.hdf5_checksums import dataset_sha256, stored_sha256, write_checked
from tests.helpers.archives import write_archive

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
def test_a_checksum_is_that_of_the_values_in_little_endian_order(
    tmp_path: Path, stored: np.ndarray[tuple[int, ...], np.dtype[np.int32]], options: dict[str, str]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_checked(file, "values", stored, **options)
    with Hdf5File(tmp_path / "a.h5") as opened:
        assert dataset_sha256(opened, "values") == stored_sha256(opened, "values") == SHA256


def test_a_data_set_without_a_checksum_has_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["values"] = VALUES
    with Hdf5File(tmp_path / "a.h5") as opened:
        assert stored_sha256(opened, "values") is None


def test_data_that_was_never_written_has_no_checksum(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("values", (5, 3), "i4", chunks=(1, 3))
    with Hdf5File(tmp_path / "a.h5") as opened, pytest.raises(FormatError, match="never written"):
        dataset_sha256(opened, "values")


def test_parts_of_several_blocks_have_the_checksum_of_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archive(tmp_path / "a.h5", compression="gzip")
    expected = SpikeArchive(path).data_sha256()
    monkeypatch.setattr(hdf5_checksums, "_BLOCK_BYTES", 300)  # one image is 252
    assert SpikeArchive(path).data_sha256() == expected
    assert SpikeArchive(path).verify() == []
