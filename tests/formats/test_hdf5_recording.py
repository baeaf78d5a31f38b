"""Reader of one recording in an HDF5 group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo.errors import FormatError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.hdf5 import Hdf5File
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
        replace_spikes(
            lambda group: group.create_dataset(
                "spikes", (10**9, 12, 3), "u1", chunks=(16, 12, 3), maxshape=(None, 12, 3)
            )
        )(file)
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
