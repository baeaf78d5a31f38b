"""Reader of one recording in an HDF5 group: planes, attributes and checksums."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from spike_zoo.errors import FormatError, MissingItemError
from spike_zoo.formats.hdf5 import (
    RECORDINGS,
    Hdf5File,
    check_root,
    hdf5_errors,
    read_attributes,
)
from spike_zoo.formats.hdf5_plain import read_plain
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits
from spike_zoo.spikes.recording import SpikeRecording, positive_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from spike_zoo.spikes.recording import Selection

CHECKSUM: Final = "sha256"  # name of the attribute
_BLOCK_BYTES = 1 << 24
SPIKES = "spikes"
LABEL = "labels/class"
REQUIRED = (
    "height", "width", "frames", "bit_order", "layout", "fps", "source", "source_format",
    "source_flipped", "sha256",
)  # fmt: skip
TEXTS = ("simulator", "licence", "notes", "cfa")
NUMBERS = ("threshold", "gain", "rate_scale")
OPTIONAL = (*NUMBERS, *TEXTS, "seed", "meta")  # meta: a JSON object with further metadata
SOURCE_FORMATS = ("dat", "npz", "npy", "simulated")


class StoredPlanes:
    """Packed planes of a data set in an archive, read on demand from the required chunks.

    A data set packed along time is repacked at the first read and then cached in memory.
    """

    def __init__(
        self, file: Hdf5File, inside: str, shape: tuple[int, int, int], width: int, layout: str
    ) -> None:
        self.file = file
        self.inside = inside
        self.shape = shape
        self.width = width
        self.layout = layout
        self._expanded: NDArray[np.uint8] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_expanded": None}

    def __getitem__(self, selection: Selection) -> NDArray[np.uint8]:
        """Read a range of planes, or ``[planes, rows, bytes of a row]`` of them."""
        if self.layout == "tpack":
            if self._expanded is None:
                self._expanded = self._expand()
            return self._expanded[selection]
        stored = self.file.mapped(self.inside) or self.file.dataset(self.inside)
        with hdf5_errors(self.file.path, self.inside):
            return stored[selection]

    def _expand(self) -> NDArray[np.uint8]:
        planes, height, row_bytes = self.shape
        with hdf5_errors(self.file.path, self.inside):
            packed = np.empty((planes, height, row_bytes), np.uint8)
            stored = self.file.dataset(self.inside)
            rows = stored.chunks[0] if stored.chunks else 1
            for first in range(0, height, rows):
                block = unpack_bits(stored[first : first + rows], planes)  # (rows, W, T)
                packed[:, first : first + rows] = pack_bits(block.transpose(2, 0, 1))
        return packed


def read_h5(path: Path, name: str | None = None) -> SpikeRecording:
    """Open one recording of an archive, or read a plain data set of spikes ``(T, H, W)``.

    The name may be omitted if the file has only one.
    """
    file = Hdf5File(path)
    plain = read_plain(file, name)
    if plain is not None:
        return plain
    check_root(file)
    names = file.members(RECORDINGS)
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        raise missing_recording(path, name, names)
    return read_group(file, name)


def missing_recording(path: Path, name: str | None, names: list[str]) -> MissingItemError:
    """Return the error for a missing recording, with the names of existing ones."""
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    what = "several recordings, name one" if name is None else f"no recording {name!r}"
    if not names:
        what, listed = "no recordings", "none"
    return MissingItemError(f"{path}: {what}; it holds {listed}", path=f"{RECORDINGS}/{name or ''}")


def read_group(file: Hdf5File, name: str) -> SpikeRecording:
    """Return the recording of one group, without reading its planes."""
    inside = f"{RECORDINGS}/{name}"
    attributes = read_attributes(file, inside)
    planes = stored_planes(file, name, attributes)
    numbers = {
        key: _checked_number(file, inside, key, attributes.get(key)) for key in (*NUMBERS, "fps")
    }
    meta = {
        key: attributes[key]
        for key in ("source", "source_format", "source_flipped", "seed", *TEXTS)
        if key in attributes
    }
    if numbers["gain"] is not None:
        meta["gain"] = numbers["gain"]
    meta |= _further_meta(file, inside, attributes.get("meta")) | _label(file, inside)
    return SpikeRecording(
        planes,
        planes.width,
        fps=numbers["fps"] or 0.0,
        threshold=numbers["threshold"],
        rate_scale=numbers["rate_scale"],
        meta=meta | {"name": name},
    )


def stored_planes(file: Hdf5File, name: str, attributes: Mapping[str, Any]) -> StoredPlanes:
    """Return the planes of one group, after checking type, shape and size of its data set."""
    inside = f"{RECORDINGS}/{name}/{SPIKES}"
    if not file.holds(inside):
        raise FormatError(f"{file.path}: {inside} is missing", code="E03", path=inside)
    dataset = file.dataset(inside)
    if dataset.dtype != np.uint8 or len(dataset.shape) != 3 or min(dataset.shape) < 1:
        raise FormatError(
            f"{file.path}: {inside} is {dataset.dtype} {dataset.shape}, expected uint8 "
            "(planes, height, bytes), each at least 1",
            code="E03",
            path=inside,
        )
    sides = [attributes.get(key) for key in ("frames", "height", "width")]
    layout = attributes.get("layout", "wpack")
    if not all(type(side) is int and side > 0 for side in sides):
        raise _shape_error(file, inside, f"frames, height, width are {sides}")
    frames, height, width = (int(side) for side in sides if side)
    expected = {
        "wpack": (frames, height, packed_width(width)),
        "tpack": (height, width, packed_width(frames)),
    }.get(str(layout))
    if expected != dataset.shape:
        raise _shape_error(
            file, inside, f"shape {dataset.shape} is not {expected}, which the attributes state"
        )
    if not is_complete(file, inside, dataset):
        raise _shape_error(file, inside, "part of the declared data was never written")
    return StoredPlanes(file, inside, (frames, height, packed_width(width)), width, str(layout))


def _shape_error(file: Hdf5File, inside: str, what: str) -> FormatError:
    return FormatError(f"{file.path}: {inside}: {what}", code="E04", path=inside)


def is_complete(file: Hdf5File, inside: str, dataset: h5py.Dataset) -> bool:
    """Return whether every chunk is in the file; HDF5 returns zeros for missing chunks."""
    with hdf5_errors(file.path, inside):
        if dataset.chunks is None:
            return bool(dataset.id.get_storage_size() >= dataset.nbytes)
        sides = zip(dataset.shape, dataset.chunks, strict=True)
        return bool(
            dataset.id.get_num_chunks() == math.prod(-(-side // chunk) for side, chunk in sides)
        )


def _checked_number(file: Hdf5File, inside: str, key: str, value: object) -> float | None:
    number = positive_number(key, value)
    if number is None and value is not None:
        raise FormatError(
            f"{file.path}: {inside}: attribute {key} is {value!r}, expected a number > 0",
            path=inside,
        )
    return number


def _further_meta(file: Hdf5File, inside: str, text: object) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        further = json.loads(str(text))
    except (ValueError, RecursionError):
        further = None
    if not isinstance(further, dict):
        raise FormatError(
            f"{file.path}: {inside}: attribute meta is not a JSON object", path=inside
        )
    return further


def _label(file: Hdf5File, inside: str) -> dict[str, Any]:
    """Return the class index and the class name of a recording, if they are stored."""
    where = f"{inside}/{LABEL}"
    if not file.holds(where):
        return {}
    with hdf5_errors(file.path, where):
        dataset = file.dataset(where)
        if dataset.shape != () or dataset.dtype.kind not in "iu":
            raise FormatError(f"{file.path}: {where} is not a whole number", path=where)
        label = {"label": int(dataset[()])}
    name = read_attributes(file, where).get("name")
    return label | ({} if name is None else {"label_name": name})


def write_checked(group: h5py.Group, name: str, data: ArrayLike, **options: Any) -> h5py.Dataset:
    """Write a data set with the checksum of its values; ``options`` are arguments of h5py."""
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
