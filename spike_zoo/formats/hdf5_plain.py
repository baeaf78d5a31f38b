"""Reader of spikes ``(T, H, W)`` in HDF5 files that are not archives, packed while read.

Arrays of MATLAB 7.3 are spikes ``(H, W, T)``, since MATLAB stores axes in reverse order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np

from spike_zoo.errors import FormatError, MissingItemError
from spike_zoo.formats.arrays import check_spikes, pack_checked
from spike_zoo.formats.hdf5 import RECORDINGS, Hdf5File, hdf5_errors, read_attributes
from spike_zoo.spikes.recording import SpikeRecording

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 24
_MOST_GROUPS = 1000


def is_archive(path: str | Path) -> bool:
    """Return whether an HDF5 file has the schema of archives or a group of recordings."""
    with Hdf5File(path) as file:
        return _is_archive(file)


def read_plain(
    file: Hdf5File, name: str | None, *, most: int | None = None
) -> SpikeRecording | None:
    """Read a data set of spikes of a file that is not an archive.

    Args:
        file: The file.
        name: Path of the data set; it may be omitted if only one has three axes.
        most: Number of planes to read, the first ones; by default all.

    Returns:
        The recording; None if the file is an archive, or has no data set with three axes.
    """
    if _is_archive(file):
        return None
    with file:  # the planes are copied, so the file is closed
        return _read(file, name, most)


def _read(file: Hdf5File, name: str | None, most: int | None) -> SpikeRecording | None:
    shapes = _shapes(file)
    cubes = [inside for inside, shape in shapes.items() if len(shape) == 3]
    if not cubes:
        return None
    if name is None and len(cubes) == 1:
        name = cubes[0]
    if name is None or name.strip("/") not in shapes:
        what = "several data sets have three axes" if name is None else f"no data set {name!r}"
        listed = ", ".join(f"{inside} {shape}" for inside, shape in list(shapes.items())[:12])
        raise MissingItemError(
            f"{file.path}: {what}; the file holds {listed}. Choose one with --name",
            path=name or "",
        )
    inside = name.strip("/")
    dataset = file.dataset(inside)
    with hdf5_errors(file.path, inside):
        is_matlab = "MATLAB_class" in dataset.attrs
        packed = _packed(dataset, f"{file.path}: {inside}", most, swaps_sides=is_matlab)
    width = dataset.shape[1 if is_matlab else 2]
    meta = {"name": inside, "source": file.path.name, "source_format": "hdf5"}
    return SpikeRecording(packed, width, meta=meta | {"source_flipped": False})


def _is_archive(file: Hdf5File) -> bool:
    return "schema" in read_attributes(file, "/") or file.holds(RECORDINGS)


def _packed(
    dataset: h5py.Dataset, name: str, most: int | None, *, swaps_sides: bool
) -> NDArray[np.uint8]:
    """Return the packed planes of a data set, read by whole chunks along time."""
    check_spikes(dataset.shape, dataset.dtype, name)
    planes, height, width = dataset.shape
    chunk = dataset.chunks[0] if dataset.chunks else 1
    step = chunk * max(1, _BLOCK_BYTES // (chunk * height * width * dataset.dtype.itemsize))
    planes = min(planes, most or planes)
    step = min(step, planes)
    parts = []
    for first in range(0, planes, step):
        spikes = dataset[first : min(first + step, planes)]
        parts.append(pack_checked(spikes.swapaxes(1, 2) if swaps_sides else spikes, name))
    return np.concatenate(parts)


def _shapes(file: Hdf5File) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all data sets by their path; links out of the file are not followed."""
    shapes: dict[str, tuple[int, ...]] = {}
    groups, visited = [""], {h5py.h5o.get_info(file.handle.id).addr}
    while groups and len(visited) < _MOST_GROUPS:
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
