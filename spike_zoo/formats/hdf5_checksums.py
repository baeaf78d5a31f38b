"""SHA-256 of data sets: stored beside what is written, computed again from what is read."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spike_zoo.errors import FormatError
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors, read_attributes
from spike_zoo.formats.hdf5_recording import is_complete

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py
    from numpy.typing import ArrayLike, NDArray

CHECKSUM: Final = "sha256"  # the attribute's name
_BLOCK_BYTES = 1 << 24


def write_checked(group: h5py.Group, name: str, data: ArrayLike, **options: Any) -> h5py.Dataset:
    """Write a data set with the checksum of its values; options are those of h5py."""
    values = np.asarray(data)
    stored = group.create_dataset(name, data=values, **options)
    stored.attrs[CHECKSUM] = values_sha256(values)
    return stored


def values_sha256(values: NDArray[Any]) -> str:
    """Return the SHA-256 of values, little-endian and in C order."""
    return hashlib.sha256(_plain_bytes(values)).hexdigest()


def dataset_sha256(file: Hdf5File, inside: str) -> str:
    """Return the SHA-256 of a data set's values, little-endian and in C order."""
    stored, digest = file.dataset(inside), hashlib.sha256()
    with hdf5_errors(file.path, inside):
        if not is_complete(file, inside, stored):
            raise FormatError(f"{file.path}: {inside}: part of it was never written", path=inside)
        for block in _blocks(stored):
            digest.update(_plain_bytes(block))
    return digest.hexdigest()


def value_range(file: Hdf5File, inside: str) -> tuple[float, float]:
    """Return the least and the greatest value of a data set, NaN if any is NaN."""
    with hdf5_errors(file.path, inside):
        ranges = [(block.min(), block.max()) for block in _blocks(file.dataset(inside))]
    low, high = np.array(ranges, np.float64).T
    return float(low.min()), float(high.max())


def stored_sha256(file: Hdf5File, inside: str) -> str | None:
    """Return the checksum written with a data set; None without one."""
    checksum = read_attributes(file, inside).get(CHECKSUM)
    return None if checksum is None else str(checksum)


def _blocks(stored: h5py.Dataset) -> Iterator[NDArray[Any]]:
    if stored.ndim == 0 or not stored.size:
        yield np.asarray(stored[()])
        return
    step = max(1, _BLOCK_BYTES * len(stored) // max(1, stored.nbytes))
    for first in range(0, len(stored), step):
        yield stored[first : first + step]


def _plain_bytes(values: NDArray[Any]) -> bytes:
    """Return values as bytes; texts and records spelled out, as their memory is no value."""
    if values.dtype.kind in "OV":
        return repr(values.tolist()).encode()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
