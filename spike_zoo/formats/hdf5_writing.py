"""Writing a recording into an HDF5 group, hashed on the way, and what makes a file an archive."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import re
import signal
import threading
import unicodedata
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from spike_zoo.errors import FormatError, UsageError
from spike_zoo.formats.arrays import cleared_pad_bits
from spike_zoo.formats.hdf5 import RECORDINGS, SCHEMA, SCHEMA_VERSION, plugins_loaded
from spike_zoo.formats.hdf5_recording import (
    LABEL,
    NUMBERS,
    SOURCE_FORMATS,
    SPIKES,
    TEXTS,
    write_checked,
)
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer
    from numpy.typing import NDArray

    from spike_zoo.spikes.recording import SpikeRecording

NAME_PATTERN = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,120}")
PLANES_PER_CHUNK = 16
_BLOCK_BYTES = 1 << 24
_ROWS_BYTES = 1 << 26  # of all planes, read at once: a coded recording is decoded for each


class _Output(io.FileIO):
    """The bytes of an HDF5 file being written, with the first error instead of an exception.

    HDF5 crashes the process when it closes a file that it could not write, so it must not notice.

    Attributes:
        error: Of the first write that failed; later writes do nothing.
    """

    error: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all bytes, or keep the error."""
        rest = memoryview(data)
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size of the file, or keep the error."""
        try:
            if self.error is None:
                return super().truncate(size)
        except OSError as error:
            self.error = error
        return size or 0


class OutputFile(h5py.File):  # type: ignore[misc]  # h5py has no types
    """An HDF5 file for writing, in the layout of HDF5 1.10.

    Older layouts need twice the bytes around the data.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self._output = _Output(path, "w+" if mode == "w" else mode)
        super().__init__(self._output, mode, libver=("v110", "v110"))

    def check(self) -> None:
        """Raise the error of the first write that failed."""
        if self._output.error is not None:
            raise self._output.error

    def close(self) -> None:
        """Close the file and raise the error of a write that failed."""
        with _signals_held_back():  # an exception from a handler would reach HDF5
            super().close()
            self._output.close()
        self.check()


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Run the handlers of SIGINT and SIGTERM after the block instead of inside it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda received_number, _: received.append(received_number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for received_number in received:
            signal.raise_signal(received_number)


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


def new_archive_file(path: Path, generator: str | None = None) -> OutputFile:
    """Make an HDF5 file that is an archive of this schema, without recordings yet."""
    file = OutputFile(path, "w")
    file.attrs["schema"] = SCHEMA
    file.attrs["schema_version"] = np.int64(SCHEMA_VERSION)
    file.attrs["generator"] = generator or "spike_zoo"
    file.create_group(RECORDINGS, track_order=True)  # in the order they were added
    return file


def new_group(file: h5py.File, name: str) -> h5py.Group:
    """Make the empty group of a recording; its attributes will lie in the header itself."""
    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_attr_phase_change(64, 32)
    creation.set_obj_track_times(False)  # the same content has the same bytes
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
    """
    if problem := rate_scale_problem(recording.rate_scale):
        raise FormatError(f"{group.name}: {problem}", code="E04", path=group.name)
    if layout not in ("wpack", "tpack"):
        raise UsageError(f"layout must be wpack or tpack, got {layout!r}")
    write = _write_along_rows if layout == "wpack" else _write_along_time
    digest = write(group, recording, compression)
    _write_attributes(group, recording, layout, digest)
    label = recording.meta.get("label")
    if isinstance(label, int | np.integer):
        write_label(group, int(label), recording.meta.get("label_name"))


def rate_scale_problem(rate_scale: object) -> str | None:
    """Describe what is wrong with the rate scale of a recording (E04)."""
    if rate_scale is not None and not (isinstance(rate_scale, int | float) and 0 < rate_scale <= 1):
        return (
            f"rate_scale is {rate_scale}, expected spikes per plane at white, above 0 and at most "
            "1 (a pixel fires at most once per plane)"
        )
    return None


def write_label(group: h5py.Group, label: int, label_name: object = None) -> None:
    """Write the class index of a take and, where known, the name of the class."""
    if LABEL in group:
        del group[LABEL]
    stored = write_checked(group, LABEL, np.int64(label))
    if isinstance(label_name, str):
        stored.attrs["name"] = _in_utf8(label_name)


def compression_options(compression: str | None, level: int = 4) -> dict[str, Any]:
    """Return h5py's arguments for a data set: no filter, ``"gzip"`` or ``"zstd"``."""
    if compression is None:
        return {}
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": level}
    if compression != "zstd":
        raise UsageError(f"compression must be gzip or zstd, got {compression!r}")
    if not plugins_loaded():
        raise UsageError(
            "compression zstd needs hdf5plugin: pip install 'spike-zoo[cold]', or choose gzip"
        )
    import hdf5plugin

    return dict(hdf5plugin.Zstd(clevel=level))


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
