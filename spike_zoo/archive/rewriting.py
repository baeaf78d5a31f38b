"""Copying of parts outside the takes when an archive is rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py

from spike_zoo.archive import schema
from spike_zoo.archive.datasets import checked_datasets, read_label
from spike_zoo.archive.validate import foreign_objects
from spike_zoo.errors import FormatError
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors, read_attributes
from spike_zoo.formats.hdf5_recording import CHECKSUM, dataset_sha256
from spike_zoo.spikes.take import Take

if TYPE_CHECKING:
    from pathlib import Path


#: Data sets that are attributes of a take; if the take has none, they were removed on purpose.
_OF_TAKES = (
    schema.SPIKES,
    *schema.OF_IMAGES,
    schema.IMAGE_INDEX,
    schema.BLUR_SPAN,
    schema.AROUND_INDEX,
)


@dataclass(frozen=True)
class StoredTake(Take):
    """A take read from an archive, with the place of its remaining parts.

    Attributes:
        path: The archive.
        name: Name of the recording in it.
    """

    path: Path | None = None
    name: str = ""


def copy_rest(group: h5py.Group, take: StoredTake) -> None:
    """Copy label maps, calibration, and parts and attributes outside the schema, as stored.

    Changes of the take are kept, for example another label or removed images. If the recording has
    another size than the stored one, nothing is copied, because maps and calibration do not fit.
    """
    if take.path is None:
        return
    inside = f"{schema.RECORDINGS}/{take.name}"
    with Hdf5File(take.path) as file:
        if not _has_size(file, inside, take.recording.shape):
            return
        _check_foreign(file, inside)
        if schema.LABEL in group and take.label == read_label(file, take.name):
            del group[schema.LABELS]  # the class is copied too, with its stored type
        with hdf5_errors(file.path, inside):
            _copy_missing(file.group(inside), group)
        for part in checked_datasets(file, inside):
            copied = group.get(part.removeprefix(f"{inside}/"))
            if copied is not None and CHECKSUM not in copied.attrs:
                copied.attrs[CHECKSUM] = dataset_sha256(file, part)


def _has_size(file: Hdf5File, inside: str, shape: tuple[int, int, int]) -> bool:
    """Return whether a stored recording has the shape ``(T, H, W)``."""
    attributes = read_attributes(file, inside)
    return tuple(attributes.get(side) for side in ("frames", "height", "width")) == shape


def copy_unknown_root(target: h5py.File, path: Path) -> None:
    """Copy class names, and the members of an archive's root outside the schema, as stored."""
    with Hdf5File(path) as file:
        for name in set(file.members("/")) - set(schema.KNOWN_ROOT):
            _check_foreign(file, name)
            with hdf5_errors(path, name):
                file.handle.copy(name, target, name=name, expand_soft=True)
        with hdf5_errors(path):
            _copy_attributes(file.handle, target)


def _check_foreign(file: Hdf5File, inside: str) -> None:
    for finding in foreign_objects(file, inside):
        raise FormatError(
            f"{file.path}: {finding.path} cannot be copied, remove it first: {finding.message}",
            code=finding.code,
            path=finding.path,
        )


def _copy_missing(source: h5py.Group, target: h5py.Group) -> None:
    for name in source:
        if name in target and isinstance(source[name], h5py.Group):
            _copy_missing(source[name], target[name])
        elif name in target:
            _copy_attributes(source[name], target[name])
        elif name not in _OF_TAKES:
            source.copy(name, target, name=name, expand_soft=True)
    _copy_attributes(source, target)


def _copy_attributes(source: h5py.Group | h5py.Dataset, target: h5py.Group | h5py.Dataset) -> None:
    for name in source.attrs:
        if name not in target.attrs:
            target.attrs.create(name, source.attrs[name], dtype=source.attrs.get_id(name).dtype)
