"""The table of what an archive of many recordings holds, so that none of them has to be opened.

A table is believed only as long as not one byte of the file has changed since it was written:
it is stored with the SHA-256 of all other bytes. Another program that edits the archive knows
nothing of it, and then the recordings themselves are asked, as where there is no table.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import h5py
import numpy as np

from spike_zoo.archive import schema
from spike_zoo.archive.datasets import checked_datasets, read_integers
from spike_zoo.archive.digest import MOST_BYTES_READ, content_row, digest_of_rows, part_row
from spike_zoo.errors import SpikeZooError
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors, read_attributes
from spike_zoo.formats.hdf5_writing import OutputFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LEAST_RECORDINGS: Final = 1000
"""Archives with fewer have no table: they are asked in seconds."""
MOST_FILE_BYTES: Final = 2 << 30
"""Larger archives have no table: reading all of their bytes would take longer than asking."""

_TABLE: Final = f"{schema.CONTENTS}/table"
_STAMP: Final = f"{schema.CONTENTS}/stamp"
_DIGEST_BYTES: Final = 32
_BLOCK_BYTES: Final = 1 << 24
_SIDES: Final = ("frames", "height", "width")
_LABEL_GROUP, _LABEL_NAME = schema.LABEL.split("/")


class Facts(NamedTuple):
    """What loaders ask of a recording before they read any of it.

    Attributes:
        shape: Planes, height and width.
        rate_scale: Spikes per plane at white, where stated.
        label: Class index, where it has one.
        image_index: Plane of each sharp image.
        image_size: Height and width of the sharp images, None without any.
        has_motion: Whether the motion from image to image is stored.
    """

    shape: tuple[int, int, int]
    rate_scale: float | None = None
    label: int | None = None
    image_index: tuple[int, ...] = ()
    image_size: tuple[int, int] | None = None
    has_motion: bool = False


class IndexRow(NamedTuple):
    """One recording in the table.

    Attributes:
        content: What counts of it in the archive's digest.
        shape: Planes, height and width.
        label: Class index, where it has one.
    """

    content: list[Any]
    shape: list[int]
    label: int | None

    @property
    def facts(self) -> Facts:
        """What loaders ask."""
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


def write_contents(path: Path) -> None:
    """Write the table of an archive with many recordings, and the digest that confirms it.

    Nothing is written where there are few, where the file or what counts by its values is large,
    or where some recording is not as the schema says.

    Args:
        path: An archive that no process has open.
    """
    with Hdf5File(path) as file:
        names = file.members(schema.RECORDINGS)
        is_small = path.stat().st_size <= MOST_FILE_BYTES
        rows = _rows(file, names) if len(names) >= LEAST_RECORDINGS and is_small else None
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
    """Return what the table of an archive says of each recording; nothing without a true one.

    Reads all bytes of the file once.
    """
    with hdf5_errors(file.path, schema.CONTENTS):
        return {row.content[0]: row.facts for row in _true_rows(file)}


def table_sha256(
    file: Hdf5File, names: Sequence[str], splits: Mapping[str, Sequence[str]]
) -> str | None:
    """Return the digest of recordings and splits from the table; None without a true one.

    It is that of :func:`~spike_zoo.archive.digest.content_sha256`; reads all bytes of the file
    once.
    """
    with hdf5_errors(file.path, schema.CONTENTS):
        rows = {row.content[0]: row.content for row in _true_rows(file)}
    if not rows or not rows.keys() >= set(names):
        return None
    return digest_of_rows([rows[name] for name in sorted(names)], splits)


def _true_rows(file: Hdf5File) -> list[IndexRow]:
    """Return the rows of the table, if there is one and no byte of the file has changed since."""
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
    """Return the SHA-256 of a file without the bytes that hold one."""
    digest, size = hashlib.sha256(), os.fstat(descriptor).st_size
    for start, stop in ((0, place), (place + _DIGEST_BYTES, size)):
        while start < stop:  # not mapped: a file that becomes shorter would end the process
            block = os.pread(descriptor, min(_BLOCK_BYTES, stop - start), start)
            if not block:
                break
            digest.update(block)
            start += len(block)
    return digest.digest()


def _rows(file: Hdf5File, names: list[str]) -> list[IndexRow] | None:
    """Return the rows of all recordings, None where one is damaged or they hold too much."""
    size, rows = 0, []
    recordings = file.group(schema.RECORDINGS).id
    try:
        for name in names:
            row = _quick_row(recordings, name)
            if row is None:
                parts = checked_datasets(file, f"{schema.RECORDINGS}/{name}")
                size += sum(int(file.dataset(part).nbytes) for part in parts)
                row = _full_row(file, name) if size <= MOST_BYTES_READ else None
            if row is None:
                return None
            rows.append(row)
    except SpikeZooError:  # verify says what is wrong; the table is only there to save time
        return None
    return rows


def _full_row(file: Hdf5File, name: str) -> IndexRow | None:
    """Return the row of any recording."""
    inside = f"{schema.RECORDINGS}/{name}"
    attributes = read_attributes(file, inside)
    where = f"{inside}/{schema.LABEL}"
    label = int(read_integers(file, where, 0)) if file.holds(where) else None
    return _checked(content_row(file, name), [attributes.get(side) for side in _SIDES], label)


def _quick_row(recordings: h5py.h5g.GroupID, name: str) -> IndexRow | None:
    """Return the row of a recording of nothing but spikes and a class; None for any other.

    It is a tenth of the way that knows every kind of part and names what is wrong with it.
    """
    with contextlib.suppress(KeyError, OSError, RuntimeError, ValueError, TypeError):
        group = _hard(recordings, name)
        members: list[bytes] = []
        group.links.iterate(members.append)
        parts, label = {}, None
        if set(members) == {schema.SPIKES.encode(), _LABEL_GROUP.encode()}:
            values = _label(_hard(group, _LABEL_GROUP))
            if values is None:
                return None
            parts = {f"{schema.RECORDINGS}/{name}/{schema.LABEL}": part_row(values)}
            label = int(values)
        elif members != [schema.SPIKES.encode()]:
            return None
        checksum, scale = (_attribute(group, key) for key in ("sha256", "rate_scale"))
        shape = [_attribute(group, side) for side in _SIDES]
        return _checked([name, checksum, scale, [], [], parts], shape, label)
    return None


def _checked(content: list[Any], shape: list[Any], label: int | None) -> IndexRow | None:
    """Return a row whose numbers are what loaders expect, None for any other."""
    scale = content[2]
    if not all(type(side) is int and side > 0 for side in shape):
        return None
    if scale is not None and not (type(scale) is float and 0 < scale < float("inf")):
        return None
    return IndexRow(content, shape, label)


def _hard(group: h5py.h5g.GroupID, name: str) -> Any:  # noqa: ANN401  (a group or a data set)
    """Open what a hard link leads to; any other link may leave the file."""
    if group.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise KeyError(name)
    return h5py.h5o.open(group, name.encode())


def _label(group: h5py.h5g.GroupID) -> NDArray[np.int64] | None:
    """Return the class that a group of labels holds where it holds nothing else."""
    members: list[bytes] = []
    group.links.iterate(members.append)
    if members != [_LABEL_NAME.encode()]:
        return None
    stored = _hard(group, _LABEL_NAME)
    creation = stored.get_create_plist()
    is_plain = creation.get_layout() == h5py.h5d.CONTIGUOUS and not creation.get_external_count()
    if not is_plain or stored.shape != () or stored.dtype.kind not in "iu":
        return None
    if stored.get_storage_size() < stored.dtype.itemsize:
        return None
    values = np.empty((), stored.dtype)
    stored.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values


def _attribute(group: h5py.h5g.GroupID, name: str) -> Any:  # noqa: ANN401  (a plain value)
    if not h5py.h5a.exists(group, name.encode()):
        return None
    stored = h5py.h5a.open(group, name.encode())
    if stored.shape != () or (stored.dtype.kind == "O" and name != "sha256"):
        raise KeyError(name)
    value = np.empty((), stored.dtype)
    stored.read(value)
    found = value.item()
    return found.decode() if isinstance(found, bytes) else found
