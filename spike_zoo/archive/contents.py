"""Digest of an archive's contents, and table of contents of archives with many recordings.

The table is stored with the SHA-256 of all other bytes of the file, and is used only if no byte has
changed. Otherwise the recordings are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from spike_zoo.archive import schema
from spike_zoo.archive.datasets import checked_datasets, read_integers, read_label
from spike_zoo.errors import FormatError, SpikeZooError
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors, read_attributes
from spike_zoo.formats.hdf5_recording import dataset_sha256, stored_sha256
from spike_zoo.formats.hdf5_writing import OutputFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LEAST_RECORDINGS: Final = 1000
"""Smallest number of recordings of an archive with a table; fewer are read in seconds."""
MOST_FILE_BYTES: Final = 2 << 30
"""Largest file with a table; hashing a larger file would take longer than reading recordings."""
MOST_BYTES_READ: Final = 256 << 20
"""Total size up to which images and labels are hashed; above, stored checksums are used."""

_TABLE: Final = f"{schema.CONTENTS}/table"
_STAMP: Final = f"{schema.CONTENTS}/stamp"
_DIGEST_BYTES: Final = 32
_BLOCK_BYTES: Final = 1 << 24
_SIDES: Final = ("frames", "height", "width")


class Facts(NamedTuple):
    """Metadata of a recording for data loaders, without planes and images.

    Attributes:
        shape: Planes, height and width.
        rate_scale: Spikes per plane at white; None if not stated.
        label: Class index; None without a label.
        image_index: Plane of each sharp image.
        image_size: Height and width of the sharp images; None without images.
        has_motion: Whether the flow from image to image is stored.
    """

    shape: tuple[int, int, int]
    rate_scale: float | None = None
    label: int | None = None
    image_index: tuple[int, ...] = ()
    image_size: tuple[int, int] | None = None
    has_motion: bool = False


class IndexRow(NamedTuple):
    """Row of a recording in the table.

    Attributes:
        content: The recording's values in the digest of the archive.
        shape: Planes, height and width.
        label: Class index; None without a label.
    """

    content: list[Any]
    shape: list[int]
    label: int | None

    @property
    def facts(self) -> Facts:
        """Metadata for data loaders."""
        name, _, rate_scale, index, _, parts = self.content
        inside = f"{schema.RECORDINGS}/{name}"
        _, shape, _ = parts.get(f"{inside}/{schema.IMAGES}") or (None, None, None)
        return Facts(
            (self.shape[0], self.shape[1], self.shape[2]),
            rate_scale,
            self.label,
            tuple(index),
            None if shape is None else (shape[1], shape[2]),
            f"{inside}/{schema.MOTION}" in parts,
        )


def content_sha256(
    file: Hdf5File, names: Sequence[str], splits: Mapping[str, Sequence[str]]
) -> str:
    """Return a digest of recordings with their images, labels, calibration and splits.

    Spikes contribute their stored checksums. Images, labels and calibration contribute checksums
    of their values if they have at most :data:`MOST_BYTES_READ` in total; otherwise their stored
    checksums, if there are any. For a valid archive both are equal. If the archive has a valid
    table, the recordings are not read.
    """
    rows = content_rows(file, names)
    return digest_of([rows[name] for name in sorted(names)], splits)


def content_rows(file: Hdf5File, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of each recording in the digest of an archive."""
    with hdf5_errors(file.path, schema.CONTENTS):
        rows = {row.content[0]: row.content for row in _valid_rows(file)}
    if not rows.keys() >= set(names):
        parts, read_all = _parts(file, names)
        for name, datasets in parts.items():
            attributes = read_attributes(file, f"{schema.RECORDINGS}/{name}")
            rows[name] = _content(file, name, attributes, datasets, read_all)
    return {name: rows[name] for name in names}


def digest_of(contents: Sequence[list[Any]], splits: Mapping[str, Sequence[str]]) -> str:
    """Return the digest of splits and of recordings' contents, given in the order of names."""
    content = {"splits": {part: list(splits[part]) for part in splits}, "recordings": contents}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_contents(path: Path) -> None:
    """Write the table of an archive and its digest.

    An existing table is removed. No table is written if the archive has few recordings, if the file
    or the hashed values are large, or if a recording breaks the schema.

    Args:
        path: An archive that no process has open.
    """
    with Hdf5File(path) as file:
        names = file.members(schema.RECORDINGS)
        is_small = path.stat().st_size <= MOST_FILE_BYTES
        rows = None
        if len(names) >= LEAST_RECORDINGS and is_small:
            # errors are reported by ``verify``; the table only saves time
            with contextlib.suppress(SpikeZooError):
                parts, read_all = _parts(file, names)
                rows = _read_rows(file, parts, True) if read_all else None
    with OutputFile(path, "r+") as target:
        if schema.CONTENTS in target:
            del target[schema.CONTENTS]
        if rows is None:
            return
        text = np.frombuffer(json.dumps(rows).encode(), np.uint8)
        chunk = (min(len(text), _BLOCK_BYTES),)
        target.create_dataset(_TABLE, data=text, chunks=chunk, compression="gzip")
        stamp = target.create_dataset(_STAMP, data=np.zeros(_DIGEST_BYTES, np.uint8))
        place = stamp.id.get_offset()
    with path.open("r+b") as stream:
        digest = _sha256_around(stream.fileno(), place)
        stream.seek(place)
        stream.write(digest)


def read_facts(file: Hdf5File) -> dict[str, Facts]:
    """Return the facts of each recording from the table; empty without a valid table.

    Reads all bytes of the file once to check the digest.
    """
    with hdf5_errors(file.path, schema.CONTENTS):
        return {row.content[0]: row.facts for row in _valid_rows(file)}


def _valid_rows(file: Hdf5File) -> list[IndexRow]:
    """Return the rows of the table; empty without a table or if the file has changed since."""
    if not (file.holds(_TABLE) and file.holds(_STAMP)):
        return []
    stamp = file.dataset(_STAMP)
    place = stamp.id.get_offset()
    if stamp.dtype != np.uint8 or stamp.shape != (_DIGEST_BYTES,) or place is None:
        return []
    if _sha256_around(file.handle.id.get_vfd_handle(), place) != stamp[...].tobytes():
        return []
    return [IndexRow(*row) for row in json.loads(file.dataset(_TABLE)[...].tobytes())]


def _sha256_around(descriptor: int, place: int) -> bytes:
    """Return the SHA-256 of a file without the bytes of the stored digest at ``place``."""
    digest, size = hashlib.sha256(), os.fstat(descriptor).st_size
    for start, stop in ((0, place), (place + _DIGEST_BYTES, size)):
        while start < stop:  # no memory map: truncation of a mapped file would kill the process
            block = os.pread(descriptor, min(_BLOCK_BYTES, stop - start), start)
            if not block:
                break
            digest.update(block)
            start += len(block)
    return digest.digest()


def _parts(file: Hdf5File, names: Sequence[str]) -> tuple[dict[str, list[str]], bool]:
    """Return the data sets of each recording in the digest, and whether all are to be hashed."""
    parts = {name: checked_datasets(file, f"{schema.RECORDINGS}/{name}") for name in names}
    with hdf5_errors(file.path, schema.RECORDINGS):
        sizes = (int(file.dataset(part).nbytes) for listed in parts.values() for part in listed)
        return parts, sum(sizes) <= MOST_BYTES_READ


def _read_rows(
    file: Hdf5File, parts: Mapping[str, Sequence[str]], read_all: bool
) -> list[IndexRow]:
    """Read the rows of recordings.

    Raises:
        FormatError: If a size or a rate scale is invalid.
    """
    rows = []
    for name, datasets in parts.items():
        inside = f"{schema.RECORDINGS}/{name}"
        attributes = read_attributes(file, inside)
        shape, scale = [attributes.get(side) for side in _SIDES], attributes.get("rate_scale")
        is_sized = all(type(side) is int and side > 0 for side in shape)
        if not is_sized or schema.rate_scale_problem(scale):
            raise FormatError(f"{file.path}: {inside}: size {shape}, rate scale {scale}")
        content = _content(file, name, attributes, datasets, read_all)
        rows.append(
            IndexRow(content, [int(side) for side in shape if side], read_label(file, name))
        )
    return rows


def _content(
    file: Hdf5File, name: str, attributes: Mapping[str, Any], parts: Sequence[str], read_all: bool
) -> list[Any]:
    """Return the values of a recording in the digest, as JSON-compatible objects."""
    inside = f"{schema.RECORDINGS}/{name}"
    members = file.members(inside)
    places = [
        read_integers(file, f"{inside}/{part}", dimensions).tolist()
        if part in members and file.holds(f"{inside}/{part}")
        else []
        for part, dimensions in ((schema.IMAGE_INDEX, 1), (schema.BLUR_SPAN, 2))
    ]
    datasets = {part: _dataset_content(file, part, read_all) for part in parts}
    return [name, attributes.get("sha256"), attributes.get("rate_scale"), *places, datasets]


def _dataset_content(file: Hdf5File, inside: str, read_all: bool) -> list[Any]:
    """Return type, shape and checksum of a data set."""
    stored, checksum = file.dataset(inside), None
    if not read_all:
        checksum = stored_sha256(file, inside)
    if checksum is None or not re.fullmatch(r"[0-9a-f]{64}", checksum):
        checksum = dataset_sha256(file, inside)
    return [stored.dtype.newbyteorder("<").str, list(stored.shape), checksum]
