"""Digests of an archive's content, by which runs on the same data know each other."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from spike_zoo.archive import schema
from spike_zoo.archive.datasets import checked_datasets, read_integers
from spike_zoo.formats.hdf5 import hdf5_errors, read_attributes
from spike_zoo.formats.hdf5_checksums import dataset_sha256, stored_sha256, values_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spike_zoo.formats.hdf5 import Hdf5File

#: Pictures and labels up to this size together are read; above it their stored checksums count.
MOST_BYTES_READ = 256 << 20


def content_sha256(
    file: Hdf5File, names: Sequence[str], splits: Mapping[str, Sequence[str]]
) -> str:
    """Return a digest of recordings with their pictures, labels, calibration and splits.

    Spikes count by their stored checksums. Pictures, labels and calibration count by their values
    where all of them together have at most :data:`MOST_BYTES_READ`; above that by their stored
    checksums, where they have one. For an archive that verifies both ways give the same.
    """
    parts = {name: checked_datasets(file, f"{schema.RECORDINGS}/{name}") for name in sorted(names)}
    size = sum(_bytes(file, part) for found in parts.values() for part in found)
    read_all = size <= MOST_BYTES_READ
    return digest_of_rows(
        [_row(file, name, found, read_all) for name, found in parts.items()], splits
    )


def content_row(file: Hdf5File, name: str) -> list[Any]:
    """Return what counts of a recording by its values: plain values that JSON can hold."""
    return _row(file, name, checked_datasets(file, f"{schema.RECORDINGS}/{name}"), True)


def part_row(values: NDArray[Any]) -> list[Any]:
    """Return what counts of a data set of plain numbers: type, shape and checksum."""
    return [values.dtype.newbyteorder("<").str, list(values.shape), values_sha256(values)]


def digest_of_rows(rows: Sequence[list[Any]], splits: Mapping[str, Sequence[str]]) -> str:
    """Return the digest of the rows of recordings, sorted by name, and of splits."""
    content = {"splits": {part: list(splits[part]) for part in splits}, "recordings": rows}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _row(file: Hdf5File, name: str, parts: Sequence[str], read_all: bool) -> list[Any]:
    return [*_recording(file, name), {part: _part(file, part, read_all) for part in parts}]


def _recording(file: Hdf5File, name: str) -> list[Any]:
    """Return what counts of a recording beside its pictures and labels."""
    inside = f"{schema.RECORDINGS}/{name}"
    attributes = read_attributes(file, inside)
    places = [
        read_integers(file, f"{inside}/{part}", dimensions).tolist()
        if file.holds(f"{inside}/{part}")
        else []
        for part, dimensions in ((schema.IMAGE_INDEX, 1), (schema.BLUR_SPAN, 2))
    ]
    return [name, attributes.get("sha256"), attributes.get("rate_scale"), *places]


def _bytes(file: Hdf5File, inside: str) -> int:
    with hdf5_errors(file.path, inside):
        return int(file.dataset(inside).nbytes)


def _part(file: Hdf5File, inside: str, read_all: bool) -> list[Any]:
    """Return type, shape and checksum of a data set."""
    found, checksum = file.dataset(inside), None
    if not read_all:
        checksum = stored_sha256(file, inside)
    if checksum is None or not re.fullmatch(r"[0-9a-f]{64}", checksum):
        checksum = dataset_sha256(file, inside)
    return [found.dtype.newbyteorder("<").str, list(found.shape), checksum]
