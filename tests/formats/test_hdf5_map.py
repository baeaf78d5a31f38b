"""Memory-mapped data sets in comparison with HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo.errors import FormatError, RecordingError
from spike_zoo.formats.hdf5 import Hdf5File

VALUES = np.random.default_rng(0).integers(0, 256, (37, 9, 5), dtype=np.uint8)


def _stored(path: Path, values: np.ndarray[Any, Any] = VALUES, **storage: Any) -> Hdf5File:
    with h5py.File(path, "w", userblock_size=storage.pop("userblock", 0)) as file:
        file.create_dataset("planes", data=values, **storage)
    return Hdf5File(path)


@pytest.fixture(scope="module", params=[None, 1, 8, 16, 37], ids=lambda k: f"chunks of {k}")
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hdf5File:
    chunks = None if request.param is None else (request.param, 9, 5)
    return _stored(tmp_path_factory.mktemp("map") / "planes.h5", chunks=chunks)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_crop_of_any_range_equals_that_of_the_array(
    file: Hdf5File, data: st.DataObject
) -> None:
    start, row, column = (data.draw(st.integers(0, side)) for side in VALUES.shape)
    stop = data.draw(st.integers(start, len(VALUES)))
    crop = slice(start, stop), slice(row, row + 4), slice(column, None)
    mapped = file.mapped("planes")
    assert mapped is not None
    np.testing.assert_array_equal(mapped[crop], VALUES[crop])
    np.testing.assert_array_equal(mapped[start:stop], VALUES[start:stop])


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": (8, 9, 5), "compression": "gzip"},
        {"chunks": (8, 9, 5), "fletcher32": True},
        {"chunks": (8, 4, 5)},
        {"userblock": 512},
        {"values": VALUES.astype(">u2")},
        {"values": VALUES[:0]},
    ],
    ids=["gzip", "checksums", "tiles", "user block", "byte order", "empty"],
)
def test_other_storage_is_read_by_hdf5(tmp_path: Path, storage: dict[str, Any]) -> None:
    file = _stored(tmp_path / "other.h5", **storage)
    assert file.mapped("planes") is None
    np.testing.assert_array_equal(
        file.dataset("planes")[...], storage.get("values", VALUES), strict=True
    )


def test_unwritten_chunks_are_read_by_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "sparse.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("planes", (37, 9, 5), np.uint8, chunks=(8, 9, 5))[:8] = 1
    assert Hdf5File(path).mapped("planes") is None


def test_a_chunk_beyond_the_end_of_the_file_is_rejected_before_reading(tmp_path: Path) -> None:
    # h5py rejects a file that is shorter than its header states, but not one truncated while open
    file = _stored(tmp_path / "cut.h5", chunks=(8, 9, 5))
    size = file.path.stat().st_size
    assert file.dataset("planes").shape == VALUES.shape
    with file.path.open("r+b") as raw:
        raw.truncate(size - 400)
    with pytest.raises(FormatError, match=r"cut\.h5: .*the file ends at"):
        file.mapped("planes")


@pytest.mark.parametrize("chunks", [None, (8, 9, 5)])
@pytest.mark.parametrize("size", [100, 100_000])
def test_a_file_whose_size_changes_during_reading_raises_an_error(
    tmp_path: Path, chunks: tuple[int, ...] | None, size: int
) -> None:
    """Reading a map beyond the end of its file would kill the process with SIGBUS."""
    file = _stored(tmp_path / "copied over.h5", chunks=chunks)
    mapped = file.mapped("planes")
    assert mapped is not None
    np.testing.assert_array_equal(mapped[0:37], VALUES)
    with file.path.open("r+b") as raw:
        raw.truncate(size)
    with pytest.raises(RecordingError, match=r"copied over\.h5: the file was modified while"):
        file.mapped("planes")
