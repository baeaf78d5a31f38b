"""Reader of recordings in HDF5 files: groups of archives, and data sets of other programs."""

import itertools
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import FormatError, MissingItemError, SpikeZooError, VersionError
from spike_zoo.formats.arrays import check_spikes, pack_checked
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors, holds_objects, text_of
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits
from spike_zoo.spikes.pixel_maps import MAPS, PixelMaps
from spike_zoo.spikes.recording import Selection, SpikeRecording, positive_number

SCHEMA: Final = "spike-archive"
SCHEMA_VERSION: Final = 1
RECORDINGS: Final = "recordings"
_BLOCK_BYTES = 1 << 24
_MAX_GROUPS = 1000
SPIKES = "spikes"
LABEL = "labels/class"
CALIBRATION = "calibration"
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
    try:
        plain = read_plain(file, name)
    except SpikeZooError:
        file.close()
        raise
    if plain is not None:
        return plain
    check_root(file)
    names = file.members(RECORDINGS)
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        raise missing_recording(path, name, names)
    return read_group(file, name)


def is_archive(path: str | Path) -> bool:
    """Return whether an HDF5 file has the schema of archives or a group of recordings."""
    with Hdf5File(path) as file:
        return _is_archive(file)


class PlainPlanes:
    """Packed planes of a data set of spikes ``(T, H, W)``, read and checked on demand.

    ``swaps_sides`` is for ``(T, W, H)``, as MATLAB stores its arrays.
    """

    def __init__(self, file: Hdf5File, inside: str, *, swaps_sides: bool) -> None:
        self.file, self.inside, self.swaps_sides = file, inside, swaps_sides
        dataset = file.dataset(inside)
        check_spikes(dataset.shape, dataset.dtype, self._name)
        planes, height, self.width = dataset.shape
        if swaps_sides:
            height, self.width = self.width, height
        chunk = dataset.chunks[0] if dataset.chunks else 1
        per_chunk = chunk * height * self.width * dataset.dtype.itemsize
        self._step = chunk * max(1, _BLOCK_BYTES // per_chunk)
        self.shape = (planes, height, packed_width(self.width))
        self[: self._step]  # most data sets that are no spikes are rejected at once

    @property
    def _name(self) -> str:
        return f"{self.file.path}: {self.inside}"

    def __getitem__(self, selection: Selection) -> NDArray[np.uint8]:
        """Read a range of planes, or ``[planes, rows, bytes of a row]`` of them."""
        whole = selection if isinstance(selection, tuple) else (selection, slice(None), slice(None))
        start, stop, _ = whole[0].indices(self.shape[0])
        # whole chunks along time
        edges = [start, *range(start - start % self._step + self._step, stop, self._step), stop]
        parts = []
        with hdf5_errors(self.file.path, self.inside):
            dataset = self.file.dataset(self.inside)
            for first, last in itertools.pairwise(edges):
                spikes = dataset[first : max(first, last)]
                spikes = spikes.swapaxes(1, 2) if self.swaps_sides else spikes
                parts.append(pack_checked(spikes, self._name))
        return np.concatenate(parts)[:, whole[1], whole[2]]


def read_plain(file: Hdf5File, name: str | None) -> SpikeRecording | None:
    """Open a data set of spikes of a file that is not an archive; planes are read on demand.

    The path of the data set may be omitted if only one has three axes. Returns None if the file is
    an archive, or has no such data set.
    """
    if _is_archive(file):
        return None
    shapes = _shapes(file)
    cubes = [inside for inside, shape in shapes.items() if len(shape) == 3]
    if not cubes:
        return None
    if name is None and len(cubes) == 1:
        name = cubes[0]
    if name is None or name.strip("/") not in shapes:
        what = "several data sets have three axes" if name is None else f"no data set {name!r}"
        text = ", ".join(f"{inside} {shape}" for inside, shape in list(shapes.items())[:12])
        raise MissingItemError(
            f"{file.path}: {what}; the file holds {text}. Choose one with --name", path=name or ""
        )
    inside = name.strip("/")
    with hdf5_errors(file.path, inside):
        is_matlab = "MATLAB_class" in file.dataset(inside).attrs
    planes = PlainPlanes(file, inside, swaps_sides=is_matlab)
    meta = {"name": inside, "source": file.path.name, "source_format": "hdf5"}
    return SpikeRecording(planes, planes.width, meta=meta | {"source_flipped": False})


def _is_archive(file: Hdf5File) -> bool:
    return "schema" in read_attributes(file, "/") or file.holds(RECORDINGS)


def _shapes(file: Hdf5File) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all data sets by their path; links out of the file are not followed."""
    shapes: dict[str, tuple[int, ...]] = {}
    groups, visited = [""], {h5py.h5o.get_info(file.handle.id).addr}
    while groups and len(visited) < _MAX_GROUPS:
        group = groups.pop(0)
        for member in file.members(group):
            inside = f"{group}/{member}".lstrip("/")
            try:
                item = file.find(inside)
            except (FormatError, MissingItemError):  # a link out of the file or without target
                continue
            address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Group) and address not in visited:
                visited.add(address)
                groups.append(inside)
            elif isinstance(item, h5py.Dataset) and item.shape:
                shapes[inside] = item.shape
    return shapes


def check_root(file: Hdf5File) -> None:
    """Raise if a file is not an archive that this version can read."""
    attributes = read_attributes(file, "/")
    schema, version = attributes.get("schema"), attributes.get("schema_version")
    if schema != SCHEMA or not isinstance(version, int) or version < 1:
        raise FormatError(
            f'{file.path}: not a spike archive (root attributes schema="{SCHEMA}" and '
            f"schema_version are expected, found {schema!r} and {version!r})",
            code="E01",
            path="/",
        )
    if version > SCHEMA_VERSION:
        raise VersionError(
            f"{file.path}: written by schema version {version}, this package reads up to "
            f"{SCHEMA_VERSION}; update spike-zoo",
            code="E02",
            path="/",
        )


def read_attributes(file: Hdf5File, inside: str, only: Collection[str] = ()) -> dict[str, Any]:
    """Return the attributes of a group or data set, or ``only`` some, as plain Python values.

    Arrays and objects are left out; the schema has none.
    """
    values: dict[str, Any] = {}
    with hdf5_errors(file.path, inside):
        attributes = file.find(inside).attrs
        for name in [key for key in attributes if not only or key in only]:
            stored = attributes.get_id(name)
            if stored.shape == () and not holds_objects(stored.dtype) and stored.dtype.kind != "V":
                value = np.empty((), stored.dtype)
                stored.read(value)  # as attributes[name], without opening the attribute again
                item = value.item()
                values[text_of(name)] = text_of(item) if isinstance(item, bytes | str) else item
    return values


def missing_recording(path: Path, name: str | None, names: list[str]) -> MissingItemError:
    """Return the error for a missing recording, with the names of existing ones."""
    text = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    what = "several recordings, name one" if name is None else f"no recording {name!r}"
    if not names:
        what, text = "no recordings", "none"
    return MissingItemError(f"{path}: {what}; it holds {text}", path=f"{RECORDINGS}/{name or ''}")


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
        maps=read_maps(file, inside, (planes.shape[1], planes.width)),
    )


def stored_planes(file: Hdf5File, name: str, attributes: Mapping[str, Any]) -> StoredPlanes:
    """Return the planes of one group, after checking type, shape and size of its data set."""
    inside = f"{RECORDINGS}/{name}/{SPIKES}"
    try:
        dataset = file.dataset(inside)
    except MissingItemError as error:
        raise file.error(inside, "is missing", "E03") from error
    if dataset.dtype != np.uint8 or len(dataset.shape) != 3 or min(dataset.shape) < 1:
        raise file.error(
            inside,
            f"is {dataset.dtype} {dataset.shape}, expected uint8 "
            "(planes, height, bytes), each at least 1",
            "E03",
        )
    sides = [attributes.get(key) for key in ("frames", "height", "width")]
    layout = attributes.get("layout", "wpack")
    if not all(type(side) is int and side > 0 for side in sides):
        raise file.error(inside, f"frames, height, width are {sides}", "E04")
    frames, height, width = (int(side) for side in sides if side)
    expected = {
        "wpack": (frames, height, packed_width(width)),
        "tpack": (height, width, packed_width(frames)),
    }.get(str(layout))
    if expected != dataset.shape:
        problem = f"shape {dataset.shape} is not {expected}, which the attributes state"
        raise file.error(inside, problem, "E04")
    if not is_complete(file, inside, dataset):
        raise file.error(inside, "part of the declared data was never written", "E04")
    return StoredPlanes(file, inside, (frames, height, packed_width(width)), width, str(layout))


def read_maps(file: Hdf5File, inside: str, size: tuple[int, int]) -> PixelMaps | None:
    """Return the calibration maps in a recording's group; None without any.

    Raises FormatError if a map does not have the recording's height and width, was never written,
    or has invalid values.
    """
    where = f"{inside}/{CALIBRATION}"
    stored = file.members(where) if file.holds(where) else []
    maps = {"gain": np.ones(size), "dark": np.zeros(size), "defective": np.zeros(size, bool)}
    for name in (names := [name for name in MAPS if name in stored]):
        dataset = file.dataset(f"{where}/{name}")
        if dataset.shape != size or dataset.dtype.kind not in "biuf":
            what = f"is {dataset.dtype} {dataset.shape}, expected numbers {size}"
            raise file.error(f"{where}/{name}", what, "E04")
        if not is_complete(file, f"{where}/{name}", dataset):
            raise file.error(f"{where}/{name}", "part of the map was never written", "E04")
        with hdf5_errors(file.path, f"{where}/{name}"):
            maps[name] = dataset[...]
    try:
        return PixelMaps(**maps) if names else None
    except ValueError as error:
        raise file.error(where, f"{error}", "E04") from error


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
        raise file.error(inside, f"attribute {key} is {value!r}, expected a number > 0")
    return number


def _further_meta(file: Hdf5File, inside: str, text: object) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        further = json.loads(str(text))
    except (ValueError, RecursionError):
        further = None
    if not isinstance(further, dict):
        raise file.error(inside, "attribute meta is not a JSON object")
    return further


def _label(file: Hdf5File, inside: str) -> dict[str, Any]:
    """Return the class index and the class name of a recording, if they are stored."""
    where = f"{inside}/{LABEL}"
    try:
        dataset = file.dataset(where)
    except MissingItemError:
        return {}
    with hdf5_errors(file.path, where):
        if dataset.shape != () or dataset.dtype.kind not in "iu":
            raise file.error(where, "is not a whole number")
        label = {"label": int(dataset[()])}
    name = read_attributes(file, where, {"name"}).get("name")
    return label | ({} if name is None else {"label_name": name})
