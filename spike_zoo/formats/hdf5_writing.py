"""Writer of recordings into HDF5 groups, creation of archive files, and checksums of data sets."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from spike_zoo.errors import FormatError, UsageError
from spike_zoo.formats.arrays import cleared_pad_bits
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors, plugins_loaded
from spike_zoo.formats.hdf5_recording import (
    CALIBRATION,
    LABEL,
    NUMBERS,
    RECORDINGS,
    SCHEMA,
    SCHEMA_VERSION,
    SOURCE_FORMATS,
    SPIKES,
    TEXTS,
    is_complete,
    read_attributes,
)
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits
from spike_zoo.spikes.pixel_maps import MAPS
from spike_zoo.spikes.recording import SpikeRecording, positive_number
from spike_zoo.utils.files import plain_name
from spike_zoo.utils.signals import handled_signals

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NAME_PATTERN = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,120}")
PLANES_PER_CHUNK = 16
_BLOCK_BYTES = 1 << 24
# size of a block of rows of all planes; a coded recording is decoded per block
_ROWS_BYTES = 1 << 26
CHECKSUM = "sha256"  # name of the attribute


class _Output(io.FileIO):
    """Output stream of an HDF5 file that stores the first error instead of raising it.

    HDF5 crashes the process when it closes a file after a failed write, so errors are hidden.
    """

    error: OSError | None = None  #: error of the first failed write; later writes do nothing

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all bytes, or store the error."""
        rest = memoryview(data)
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size of the file, or store the error."""
        try:
            if self.error is None:
                return super().truncate(size)
        except OSError as error:
            self.error = error
        return size or 0


class OutputFile(h5py.File):  # type: ignore[misc]  # h5py has no types
    """An HDF5 file for writing, in the layout of HDF5 1.10.

    Older layouts need twice as many bytes of metadata.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self._output = _Output(path, "w+" if mode == "w" else mode)
        super().__init__(self._output, mode, libver=("v110", "v110"))

    def check(self) -> None:
        """Raise the error of the first failed write."""
        if self._output.error is not None:
            raise self._output.error

    def close(self) -> None:
        """Close the file and raise the error of a failed write."""
        with _deferred_signals():  # an exception of a handler would reach HDF5
            super().close()
            self._output.close()
        self.check()


@contextlib.contextmanager
def _deferred_signals() -> Iterator[None]:
    """Defer the handlers of signals that stop a command to the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda received_number, _: received.append(received_number))
        for number in (signal.SIGINT, *handled_signals())
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for received_number in received:
            signal.raise_signal(received_number)


def write_h5(recording: SpikeRecording, path: Path, *, fallback_name: str) -> None:
    """Write an archive of one recording, named ``meta["name"]`` or else ``fallback_name``."""
    name = plain_name(str(recording.meta.get("name", fallback_name)))
    with new_archive_file(path) as file:
        write_group(new_group(file, name), recording)


def new_archive_file(path: Path, generator: str | None = None) -> OutputFile:
    """Create an archive file with its root attributes, without recordings."""
    file = OutputFile(path, "w")
    file.attrs["schema"] = SCHEMA
    file.attrs["schema_version"] = np.int64(SCHEMA_VERSION)
    file.attrs["generator"] = generator or "spike_zoo"
    file.create_group(RECORDINGS, track_order=True)  # lists recordings in the order of writing
    return file


def new_group(file: h5py.File, name: str) -> h5py.Group:
    """Create the empty group of a recording, with attributes in the object header."""
    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_attr_phase_change(64, 32)
    creation.set_obj_track_times(False)  # so that equal contents have equal bytes
    h5py.h5g.create(file[RECORDINGS].id, name.encode(), gcpl=creation)
    return file[RECORDINGS][name]


def write_group(
    group: h5py.Group,
    recording: SpikeRecording,
    *,
    compression: str | None = None,
    layout: str = "wpack",
) -> None:
    """Write planes, attributes and maps of a recording into its group, block by block.

    Args:
        group: The empty group of the recording.
        recording: The recording, read in ranges of planes (wpack), or of rows and then of planes
            (tpack).
        compression: ``"gzip"`` or ``"zstd"``; None: no filter.
        layout: ``"wpack"``: bits along rows, in chunks of complete planes. ``"tpack"``: bits along
            time, for cold storage; with a filter half the size, but it can only be read completely.
    """
    if problem := rate_scale_problem(recording.rate_scale):
        raise FormatError.at(group.name, problem, code="E04")
    if layout not in ("wpack", "tpack"):
        raise UsageError(f"layout must be wpack or tpack, got {layout!r}")
    write = _write_along_rows if layout == "wpack" else _write_along_time
    digest = write(group, recording, compression)
    _write_attributes(group, recording, layout, digest)
    label = recording.meta.get("label")
    if isinstance(label, int | np.integer):
        write_label(group, int(label), recording.meta.get("label_name"))
    for name in MAPS if recording.maps else ():
        values = getattr(recording.maps, name)
        write_checked(group, f"{CALIBRATION}/{name}", values, **compression_options(compression))


def rate_scale_problem(rate_scale: object) -> str | None:
    """Describe the error of the rate scale of a recording (E04), or None."""
    if rate_scale is not None and not (isinstance(rate_scale, int | float) and 0 < rate_scale <= 1):
        return (
            f"rate_scale is {rate_scale}, expected spikes per plane at white, above 0 and at most "
            "1 (a pixel fires at most once per plane)"
        )
    return None


def write_label(group: h5py.Group, label: int, label_name: object = None) -> None:
    """Write the class index of a take and the name of the class, if it is a string."""
    if LABEL in group:
        del group[LABEL]
    stored = write_checked(group, LABEL, np.int64(label))
    if isinstance(label_name, str):
        stored.attrs["name"] = _in_utf8(label_name)


def compression_options(compression: str | None, level: int = 4) -> dict[str, Any]:
    """Return h5py's arguments of a data set for no filter, ``"gzip"`` or ``"zstd"``."""
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
    """Return the planes per chunk: at most 16, balanced so that the last chunk is nearly full."""
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
    """Yield packed planes in whole chunks, contiguous and with padding bits 0."""
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
        value = getattr(recording, key, positive_number(key, meta.get(key)))
        if value is not None:
            fields[key] = np.float64(value)
    seed = meta.get("seed")
    if isinstance(seed, int | np.integer) and abs(int(seed)) < 1 << 63:
        fields["seed"] = np.int64(seed)
    fields |= {key: str(meta[key]) for key in TEXTS if key in meta}
    # sidecars may state a gain or a seed of another type, and keys that are not text
    stored_keys = {*fields, "threshold", "rate_scale", "name", "label", "label_name"}
    further = {key: meta[key] for key in sorted(meta.keys() - stored_keys)}
    if further:
        fields["meta"] = json.dumps(further, skipkeys=True, default=_json_value)
    for key, value in fields.items():
        group.attrs[key] = _in_utf8(value) if isinstance(value, str) else value


def _in_utf8(text: str) -> str:
    """Escape bytes of a text that are not UTF-8, such as those of file names in Latin-1."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _json_value(value: object) -> object:
    """Convert numpy's values to Python values, and others to text, for JSON."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def write_checked(group: h5py.Group, name: str, data: ArrayLike, **options: Any) -> h5py.Dataset:
    """Write a data set with the checksum of its values; ``options`` are arguments of h5py."""
    values = np.asarray(data)
    stored = group.create_dataset(name, data=values, **options)
    stored.attrs[CHECKSUM] = hashlib.sha256(_plain_bytes(values)).hexdigest()
    return stored


def dataset_sha256(file: Hdf5File, inside: str) -> str:
    """Return the SHA-256 of a data set's values, little-endian and in C order."""
    stored, digest = file.dataset(inside), hashlib.sha256()
    with hdf5_errors(file.path, inside):
        if not is_complete(file, inside, stored):
            raise FormatError(f"{file.path}: {inside}: part of it was never written", path=inside)
        for block in _value_blocks(stored):
            digest.update(_plain_bytes(block))
    return digest.hexdigest()


def value_range(file: Hdf5File, inside: str) -> tuple[float, float]:
    """Return the minimum and the maximum of a data set; NaN if any value is NaN."""
    with hdf5_errors(file.path, inside):
        ranges = [(block.min(), block.max()) for block in _value_blocks(file.dataset(inside))]
    low, high = np.array(ranges, np.float64).T
    return float(low.min()), float(high.max())


def stored_sha256(file: Hdf5File, inside: str) -> str | None:
    """Return the stored checksum of a data set; None without one."""
    checksum = read_attributes(file, inside).get(CHECKSUM)
    return None if checksum is None else str(checksum)


def _value_blocks(stored: h5py.Dataset) -> Iterator[NDArray[Any]]:
    if stored.ndim == 0 or not stored.size:
        yield np.asarray(stored[()])
        return
    step = max(1, _BLOCK_BYTES * len(stored) // max(1, stored.nbytes))
    for first in range(0, len(stored), step):
        yield stored[first : first + step]


def _plain_bytes(values: NDArray[Any]) -> bytes:
    """Return values as bytes; strings and records by ``repr``, as their memory has pointers."""
    if values.dtype.kind in "OV":
        return repr(values.tolist()).encode()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
