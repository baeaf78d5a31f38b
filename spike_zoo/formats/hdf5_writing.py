"""Writing a recording into an HDF5 group, hashed on the way, and what makes a file an archive."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from spike_zoo.errors import UsageError
from spike_zoo.formats.arrays import cleared_pad_bits
from spike_zoo.formats.hdf5 import RECORDINGS, SCHEMA, SCHEMA_VERSION, compression_options
from spike_zoo.formats.hdf5_checksums import write_checked
from spike_zoo.formats.hdf5_recording import LABEL, NUMBERS, SOURCE_FORMATS, SPIKES, TEXTS
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from spike_zoo.spikes.recording import SpikeRecording

NAME_PATTERN = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,120}")
PLANES_PER_CHUNK = 16
_BLOCK_BYTES = 1 << 24
_ROWS_BYTES = 1 << 26  # of all planes, read at once: a coded recording is decoded for each


def write_h5(
    recording: SpikeRecording, path: Path, *, fallback_name: str, compression: str | None = None
) -> None:
    """Write a valid archive of one recording; its name is ``meta["name"]`` or the fallback."""
    name = recording_name(str(recording.meta.get("name", fallback_name)))
    with new_archive_file(path) as file:
        write_group(new_group(file, name), recording, compression=compression)


def recording_name(text: str) -> str:
    """Return the nearest name that the schema allows (E11).

    Accents are left out; letters of other scripts become their code points, so that two names stay
    two: ``naïve 1`` is ``naive_1``, ``\u8857`` is ``u8857``.
    """
    plain = [one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one)]
    spelt = (f"u{ord(one):x}" if one.isalnum() and not one.isascii() else one for one in plain)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", "".join(spelt))[:120].lstrip(".")
    return name or "recording"


def new_archive_file(path: Path, generator: str | None = None) -> h5py.File:
    """Make an HDF5 file that is an archive of this schema, without recordings yet.

    HDF5 1.10 and later read it; older layouts need twice the bytes around the data.
    """
    file = h5py.File(path, "w", libver=("v110", "v110"))
    file.attrs["schema"] = SCHEMA
    file.attrs["schema_version"] = np.int64(SCHEMA_VERSION)
    file.attrs["created"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    file.attrs["generator"] = generator or "spike_zoo"
    file.create_group(RECORDINGS, track_order=True)  # in the order they were added
    return file


def new_group(file: h5py.File, name: str) -> h5py.Group:
    """Make the empty group of a recording; its attributes will lie in the header itself."""
    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_attr_phase_change(64, 32)
    h5py.h5g.create(file[RECORDINGS].id, name.encode(), gcpl=creation)
    return file[RECORDINGS][name]


def write_group(
    group: h5py.Group,
    recording: SpikeRecording,
    *,
    compression: str | None = None,
    layout: str = "wpack",
) -> None:
    """Write planes and attributes of a recording into its group, block by block.

    Args:
        group: An empty group of the recording's name.
        recording: Read once, in ranges of planes (wpack) or of rows (tpack).
        compression: ``"gzip"`` or ``"zstd"``; None: no filter.
        layout: ``"wpack"``, bits along rows in whole-frame chunks; ``"tpack"``, bits along time,
            for cold storage: twice as small under a filter, but only readable as a whole.

    Raises:
        UsageError: If layout or compression has another name.
    """
    if layout not in ("wpack", "tpack"):
        raise UsageError(f"layout must be wpack or tpack, got {layout!r}")
    write = _write_along_rows if layout == "wpack" else _write_along_time
    digest = write(group, recording, compression)
    _write_attributes(group, recording, layout, digest)
    label = recording.meta.get("label")
    if isinstance(label, int | np.integer):
        write_label(group, int(label), recording.meta.get("label_name"))


def write_label(group: h5py.Group, label: int, label_name: object = None) -> None:
    """Write the class index of a take and, where known, the name of the class."""
    if LABEL in group:
        del group[LABEL]
    stored = write_checked(group, LABEL, np.int64(label))
    if isinstance(label_name, str):
        stored.attrs["name"] = _in_utf8(label_name)


def chunk_planes(planes: int) -> int:
    """Return the planes of one chunk: about 16, evened out so that the last is nearly full."""
    return math.ceil(planes / math.ceil(planes / PLANES_PER_CHUNK))


def _write_along_rows(group: h5py.Group, recording: SpikeRecording, compression: str | None) -> str:
    planes, height, width = recording.shape
    row_bytes = packed_width(width)
    chunk = chunk_planes(planes)
    stored = group.create_dataset(
        SPIKES,
        shape=(planes, height, row_bytes),
        dtype=np.uint8,
        chunks=(chunk, height, row_bytes),
        **compression_options(compression),
    )
    digest = hashlib.sha256()
    for first, block in _blocks(recording, chunk):
        stored[first : first + len(block)] = block
        digest.update(block.data)
    return digest.hexdigest()


def _write_along_time(group: h5py.Group, recording: SpikeRecording, compression: str | None) -> str:
    planes, height, width = recording.shape
    time_bytes = packed_width(planes)
    rows = min(height, max(1, (1 << 20) // (width * time_bytes)))
    stored = group.create_dataset(
        SPIKES,
        shape=(height, width, time_bytes),
        dtype=np.uint8,
        chunks=(rows, width, time_bytes),
        **compression_options(compression, level=9),
    )
    at_once = rows * max(1, _ROWS_BYTES // (rows * planes * packed_width(width)))
    for first in range(0, height, at_once):
        packed = recording.read_packed(rows=slice(first, first + at_once))
        for row in range(0, packed.shape[1], rows):
            block = unpack_bits(packed[:, row : row + rows], width)  # (T, rows, W)
            begin = first + row
            stored[begin : begin + block.shape[1]] = pack_bits(block.transpose(1, 2, 0))
    digest = hashlib.sha256()
    for _, part in _blocks(recording, PLANES_PER_CHUNK):
        digest.update(part.data)
    return digest.hexdigest()


def _blocks(recording: SpikeRecording, chunk: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield packed planes in whole chunks, contiguous and with their pad bits 0."""
    planes, height, width = recording.shape
    step = chunk * max(1, _BLOCK_BYTES // (chunk * height * packed_width(width)))
    for first in range(0, planes, step):
        block = recording.read_packed(first, min(first + step, planes))
        yield first, np.ascontiguousarray(cleared_pad_bits(block, width))


def _write_attributes(
    group: h5py.Group, recording: SpikeRecording, layout: str, digest: str
) -> None:
    planes, height, width = recording.shape
    meta = recording.meta
    source_format = str(meta.get("source_format", "npy"))
    fields: dict[str, Any] = {
        "height": np.int64(height),
        "width": np.int64(width),
        "frames": np.int64(planes),
        "bit_order": "little",
        "layout": layout,
        "fps": np.float64(recording.fps),
        "source": str(meta.get("source", "array")),
        "source_format": source_format if source_format in SOURCE_FORMATS else "npy",
        "source_flipped": np.bool_(bool(meta.get("source_flipped", False))),
        "sha256": digest,
    }
    for key in NUMBERS:
        value = getattr(recording, key, meta.get(key))
        if value is not None:
            fields[key] = np.float64(value)
    if isinstance(meta.get("seed"), int | np.integer):
        fields["seed"] = np.int64(meta["seed"])
    fields |= {key: str(meta[key]) for key in TEXTS if key in meta}
    known = {*fields, *NUMBERS, "seed", "name", "label", "label_name"}
    further = {key: value for key, value in meta.items() if key not in known}
    if further:
        fields["meta"] = json.dumps(further, sort_keys=True, default=_json_value)
    for key, value in fields.items():
        group.attrs[key] = _in_utf8(value) if isinstance(value, str) else value


def _in_utf8(text: str) -> str:
    """Return a text whose bytes that are not UTF-8, as in file names in Latin-1, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _json_value(value: object) -> object:
    """Write numpy's values as plain ones and anything else as text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
