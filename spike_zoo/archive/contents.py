"""Contents of an archive: validated reading of its parts, their digest, and a stored table of them.

The table is stored in archives with many recordings, with the SHA-256 of all other bytes of the
file, and is used only if no byte has changed. Otherwise the recordings are read.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from spike_zoo.archive import schema
from spike_zoo.errors import FormatError, MissingItemError, SpikeZooError, UsageError
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors
from spike_zoo.formats.hdf5_recording import is_complete, read_attributes, read_group
from spike_zoo.formats.hdf5_writing import OutputFile, dataset_sha256, stored_sha256
from spike_zoo.spikes.cfa import Cfa
from spike_zoo.spikes.take import Take

MIN_RECORDINGS: Final = 1000
"""Smallest number of recordings of an archive with a table; fewer are read in seconds."""
MAX_FILE_BYTES: Final = 2 << 30
"""Largest file with a table; hashing a larger file would take longer than reading recordings."""
MAX_BYTES_READ: Final = 256 << 20
"""Total size up to which images and labels are hashed; above, stored checksums are used."""

_TABLE: Final = f"{schema.CONTENTS}/table"
_STAMP: Final = f"{schema.CONTENTS}/stamp"
_DIGEST_BYTES: Final = 32
_BLOCK_BYTES: Final = 1 << 24


class Facts(NamedTuple):
    """Metadata of a recording for data loaders, without planes and images."""

    shape: tuple[int, int, int]  #: planes, height and width
    rate_scale: float | None = None  #: spikes per plane at white; None if not stated
    label: int | None = None  #: class index; None without a label
    image_index: tuple[int, ...] = ()  #: plane of each sharp image
    #: height and width of the sharp images; None without images
    image_size: tuple[int, int] | None = None
    has_flow: bool = False  #: whether the flow from image to image is stored
    cfa: Cfa | None = None  #: layout of the sensor's Bayer filters; None without filters


@dataclass(frozen=True)
class StoredTake(Take):
    """A take read from an archive, with the offset of its remaining parts."""

    path: Path | None = None  #: the archive
    name: str = ""  #: name of the recording in it


def _facts(content: list[Any], shape: list[int], label: int | None, cfa: Cfa | None) -> Facts:
    name, _, rate_scale, index, _, parts = content
    inside = f"{schema.RECORDINGS}/{name}"
    _, size, _ = parts.get(f"{inside}/{schema.IMAGES}") or (None, None, None)
    return Facts(
        (shape[0], shape[1], shape[2]),
        rate_scale,
        label,
        tuple(index),
        None if size is None else (size[1], size[2]),
        f"{inside}/{schema.MOTION}" in parts,
        cfa,
    )


def content_rows(file: Hdf5File, names: Collection[str], table: list[Any]) -> dict[str, list[Any]]:
    """Return the values of each recording in the digest of an archive.

    Spikes contribute their stored checksums. Images, labels and calibration contribute checksums
    of their values if they have at most :data:`MAX_BYTES_READ` in total; otherwise their stored
    checksums, if there are any. For a valid archive both are equal. Recordings in the table of
    :func:`read_table` are not read.
    """
    rows = {content[0]: content for content, *_ in table}
    if not rows.keys() >= set(names):
        parts, read_all = _parts(file, names)
        for name, datasets in parts.items():
            rows[name] = _content(file, name, datasets, read_all)
    return {name: rows[name] for name in names}


def digest_of(contents: Sequence[list[Any]], splits: Mapping[str, Sequence[str]]) -> str:
    """Return the digest of splits and of recordings' contents, given in the order of names."""
    content = {"splits": {part: list(splits[part]) for part in splits}, "recordings": contents}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_contents(path: Path) -> None:
    """Write the table of an archive that no process has open, or remove it.

    No table is written if the archive has few recordings, if the file or the hashed values are
    large, or if a recording breaks the schema.
    """
    with Hdf5File(path) as file:
        names = file.members(schema.RECORDINGS)
        rows = None
        if len(names) >= MIN_RECORDINGS and path.stat().st_size <= MAX_FILE_BYTES:
            # errors are reported by ``verify``; the table only saves time
            with contextlib.suppress(SpikeZooError):
                rows = _table_rows(file, names)
    with OutputFile(path, "r+") as target:
        if schema.CONTENTS in target:
            del target[schema.CONTENTS]
        if rows is None:
            return
        text = np.frombuffer(json.dumps(rows).encode(), np.uint8)
        chunk = (min(len(text), _BLOCK_BYTES),)
        target.create_dataset(_TABLE, data=text, chunks=chunk, compression="gzip")
        stamp = target.create_dataset(_STAMP, data=np.zeros(_DIGEST_BYTES, np.uint8))
        offset = stamp.id.get_offset()
    with path.open("r+b") as stream:
        digest = _sha256_around(stream.fileno(), offset)
        stream.seek(offset)
        stream.write(digest)


def facts_by_name(table: list[Any]) -> dict[str, Facts]:
    """Return the facts of each recording in the table of :func:`read_table`."""
    return {row[0][0]: _facts(*row) for row in table}


def read_table(file: Hdf5File) -> list[Any]:
    """Return the rows of the table: content in the digest, shape, label and filters.

    Reads all bytes of the file once to check the digest. Empty without a table or if the file has
    changed since.
    """
    if not (file.holds(_TABLE) and file.holds(_STAMP)):
        return []
    with hdf5_errors(file.path, schema.CONTENTS):
        stamp = file.dataset(_STAMP)
        offset = stamp.id.get_offset()
        if stamp.dtype != np.uint8 or stamp.shape != (_DIGEST_BYTES,) or offset is None:
            return []
        if _sha256_around(file.handle.id.get_vfd_handle(), offset) != stamp[...].tobytes():
            return []
        return list(json.loads(file.dataset(_TABLE)[...].tobytes()))


def _sha256_around(descriptor: int, offset: int) -> bytes:
    """Return the SHA-256 of a file without the bytes of the stored digest at ``offset``."""
    digest, size = hashlib.sha256(), os.fstat(descriptor).st_size
    for start, stop in ((0, offset), (offset + _DIGEST_BYTES, size)):
        while start < stop:  # no memory map: truncation of a mapped file would kill the process
            block = os.pread(descriptor, min(_BLOCK_BYTES, stop - start), start)
            if not block:
                break
            digest.update(block)
            start += len(block)
    return digest.digest()


def _parts(file: Hdf5File, names: Collection[str]) -> tuple[dict[str, list[str]], bool]:
    """Return the data sets of each recording in the digest, and whether all are to be hashed."""
    parts = {name: checked_datasets(file, f"{schema.RECORDINGS}/{name}") for name in names}
    with hdf5_errors(file.path, schema.RECORDINGS):
        sizes = (
            int(file.dataset(part).nbytes) for part_names in parts.values() for part in part_names
        )
        return parts, sum(sizes) <= MAX_BYTES_READ


def _table_rows(file: Hdf5File, names: Sequence[str]) -> list[Any] | None:
    """Read the rows of recordings; None if too many values must be hashed."""
    rows, size = [], 0
    for name in names:
        recording = read_group(file, name)
        datasets = checked_datasets(file, f"{schema.RECORDINGS}/{name}")
        size += sum(int(file.dataset(part).nbytes) for part in datasets)
        if size > MAX_BYTES_READ:
            return None
        content = _content(file, name, datasets, read_all=True)
        rows.append([content, recording.shape, recording.meta.get("label"), recording.cfa])
    return rows


def _content(file: Hdf5File, name: str, parts: Sequence[str], read_all: bool) -> list[Any]:
    """Return the values of a recording in the digest, as JSON-compatible objects."""
    inside = f"{schema.RECORDINGS}/{name}"
    attributes = read_attributes(file, inside, {"sha256", "rate_scale"})
    members = file.members(inside)
    offsets = [
        read_integers(file, f"{inside}/{part}", dimensions).tolist()
        if part in members and file.holds(f"{inside}/{part}")
        else []
        for part, dimensions in ((schema.IMAGE_INDEX, 1), (schema.BLUR_SPAN, 2))
    ]
    datasets = {part: _dataset_content(file, part, read_all) for part in parts}
    return [name, attributes.get("sha256"), attributes.get("rate_scale"), *offsets, datasets]


def _dataset_content(file: Hdf5File, inside: str, read_all: bool) -> list[Any]:
    """Return type, shape and checksum of a data set."""
    stored, checksum = file.dataset(inside), None
    if not read_all:
        checksum = stored_sha256(file, inside)
    if checksum is None or not re.fullmatch(r"[0-9a-f]{64}", checksum):
        checksum = dataset_sha256(file, inside)
    return [stored.dtype.newbyteorder("<").str, list(stored.shape), checksum]


def checked_datasets(file: Hdf5File, inside: str) -> list[str]:
    """Return the data sets of a recording with separate checksums.

    These are its images, their motion, and all data sets directly below labels and calibration.
    """
    members = file.members(inside)  # listed once: looking up a missing part costs as much
    images = [f"{inside}/{part}" for part in schema.OF_IMAGES if part in members]
    further = [
        f"{inside}/{group}/{name}"
        for group in (schema.LABELS, schema.CALIBRATION)
        if group in members
        for name in sorted(file.members(f"{inside}/{group}"))
    ]
    return [
        *(part for part in images if file.holds(part)),
        *(part for part in further if isinstance(file.find(part), h5py.Dataset)),
    ]


def read_integers(file: Hdf5File, inside: str, dimensions: int) -> NDArray[np.int64]:
    """Read a small data set of integers; raise FormatError for other types or dimensions."""
    stored = file.dataset(inside)
    with hdf5_errors(file.path, inside):
        if stored.dtype.kind not in "iu" or len(stored.shape) != dimensions:
            raise file.error(
                inside,
                f"is {stored.dtype} {stored.shape}, expected int64 with {dimensions} dimensions",
            )
        if not is_complete(file, inside, stored):
            raise file.error(inside, "was never written")
        return stored[...].astype(np.int64)


def read_label(file: Hdf5File, name: str) -> int | None:
    """Return the class index of a recording; None without a label."""
    where = f"{schema.RECORDINGS}/{name}/{schema.LABEL}"
    return int(read_integers(file, where, 0)) if file.holds(where) else None


def check_images(file: Hdf5File, inside: str) -> None:
    """Raise FormatError (E09) if a data set of images or motion is invalid or incomplete."""
    part = inside.rpartition("/")[2]
    dimensions = {schema.MOTION: (4,), schema.AROUND: (5,)}.get(part, (3, 4))
    stored, problem = file.dataset(inside), None
    if stored.dtype.kind not in "uf" or len(stored.shape) not in dimensions:
        problem = f"{stored.dtype} {stored.shape} are no {part}"
    elif not is_complete(file, inside, stored):
        problem = f"part of the {part} was never written"
    if problem:
        raise file.error(inside, problem, "E09")


def missing_split(path: Path, split: str, there: Sequence[str]) -> MissingItemError:
    """Return the error for a missing split, with the existing splits and remedies."""
    remedy = "name one of these"
    again = f"build it again with folders {', '.join(schema.USUAL_SPLITS)} or --split {split}"
    if split == "val":
        remedy = (
            "build it again with a part of the recordings of train in a folder val, or train "
            "without validation (--trainer.limit_val_batches 0). A checkpoint that is chosen on "
            "the test split makes its test too good"
        )
    elif split in schema.USUAL_SPLITS:
        nearest = [usual for usual in reversed(schema.USUAL_SPLITS) if usual in there] or there
        other = f"use another with --data.init_args.{split}_split {nearest[0]}" if nearest else ""
        remedy = f"{other}, or {again}" if other else again
    return MissingItemError(
        f"{path}: no split {split!r}; it has {', '.join(there) or 'none'}. To continue, {remedy}",
        path=f"{schema.SPLITS}/{split}",
    )


def split_names(file: Hdf5File, split: str) -> list[str]:
    """Return the recordings of a split; raise FormatError E10 if they are not UTF-8 names."""
    inside = f"{schema.SPLITS}/{split}"
    stored = file.dataset(inside)
    with hdf5_errors(file.path, inside):
        if h5py.check_string_dtype(stored.dtype) is None or len(stored.shape) != 1:
            raise file.error(inside, f"is {stored.dtype} {stored.shape}, expected names", "E10")
        if not is_complete(file, inside, stored):
            raise file.error(inside, "was never written", "E10")
        try:
            return [bytes(name).decode("utf-8") for name in stored[...]]
        except UnicodeDecodeError as error:
            raise file.error(inside, "has a name that is not UTF-8", "E10") from error


def read_part(file: Hdf5File) -> schema.Part | None:
    """Return the position of an archive among those of its build; None if it is the only one."""
    text = read_attributes(file, "/").get(schema.PART)
    part = schema.Part.parse(text)
    if part is None and text is not None:
        message = f"part is {str(text)[:80]!r}, expected K/N and a SHA-256; build the archive again"
        raise FormatError(f"{file.path}: {message}", code="E01", path="/")
    return part


def read_label_names(file: Hdf5File) -> tuple[str, ...]:
    """Return the names of the classes by index, empty if there are none; raise FormatError E13."""
    with hdf5_errors(file.path, "/"):
        if schema.LABEL_NAMES not in file.handle.attrs:
            return ()
    stored = read_attributes(file, "/").get(schema.LABEL_NAMES)
    try:
        names = json.loads(stored) if isinstance(stored, str) else stored
    except (ValueError, RecursionError):
        names = stored
    if problem := schema.label_names_problem(names):
        raise FormatError(f"{file.path}: {problem}", code="E13", path="/")
    return tuple(names or ())


def write_label_names(file: h5py.File, names: Sequence[str]) -> None:
    """Write the names of the classes into an archive's root; raise UsageError if it has others."""
    if problem := schema.label_names_problem(list(names)):
        raise UsageError(problem)
    text = json.dumps(list(names), ensure_ascii=False)
    existing = file.attrs.get(schema.LABEL_NAMES, text)
    if existing != text:
        raise UsageError(
            f"the archive has classes of other names: {existing}, not {text}; write another archive"
        )
    file.attrs[schema.LABEL_NAMES] = text
