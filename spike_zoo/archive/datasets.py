"""Validated reading of integers, labels, splits and names of an archive."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h5py
import numpy as np

from spike_zoo.archive import schema
from spike_zoo.errors import FormatError, MissingItemError, UsageError
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors, read_attributes
from spike_zoo.formats.hdf5_recording import is_complete

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def checked_datasets(file: Hdf5File, inside: str) -> list[str]:
    """Return the data sets of a recording with separate checksums.

    These are its images, their motion, and all data sets directly below labels and calibration.
    """
    members = file.members(inside)  # listed once: looking up a missing part costs as much
    pictures = [f"{inside}/{part}" for part in schema.OF_IMAGES if part in members]
    further = [
        f"{inside}/{group}/{name}"
        for group in (schema.LABELS, schema.CALIBRATION)
        if group in members
        for name in sorted(file.members(f"{inside}/{group}"))
    ]
    return [
        *(part for part in pictures if file.holds(part)),
        *(part for part in further if isinstance(file.find(part), h5py.Dataset)),
    ]


def read_integers(file: Hdf5File, inside: str, dimensions: int) -> NDArray[np.int64]:
    """Read a small data set of integers; raise FormatError for other types or dimensions."""
    stored = file.dataset(inside)
    with hdf5_errors(file.path, inside):
        if stored.dtype.kind not in "iu" or len(stored.shape) != dimensions:
            raise FormatError(
                f"{file.path}: {inside} is {stored.dtype} {stored.shape}, expected int64 with "
                f"{dimensions} dimensions",
                path=inside,
            )
        if not is_complete(file, inside, stored):
            raise FormatError(f"{file.path}: {inside} was never written", path=inside)
        return stored[...].astype(np.int64)


def read_label(file: Hdf5File, name: str) -> int | None:
    """Return the class index of a recording; None without a label."""
    where = f"{schema.RECORDINGS}/{name}/{schema.LABEL}"
    return int(read_integers(file, where, 0)) if file.holds(where) else None


def check_pictures(file: Hdf5File, inside: str) -> None:
    """Raise FormatError (E09) if a data set of images or motion is invalid or incomplete."""
    part = inside.rpartition("/")[2]
    dimensions = {schema.MOTION: (4,), schema.AROUND: (5,)}.get(part, (3, 4))
    stored, problem = file.dataset(inside), None
    if stored.dtype.kind not in "uf" or len(stored.shape) not in dimensions:
        problem = f"{stored.dtype} {stored.shape} are no {part}"
    elif not is_complete(file, inside, stored):
        problem = f"part of the {part} was never written"
    if problem:
        raise FormatError(f"{file.path}: {inside}: {problem}", code="E09", path=inside)


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
            raise FormatError(
                f"{file.path}: {inside} is {stored.dtype} {stored.shape}, expected names",
                code="E10",
                path=inside,
            )
        if not is_complete(file, inside, stored):
            raise FormatError(f"{file.path}: {inside} was never written", code="E10", path=inside)
        try:
            return [bytes(name).decode("utf-8") for name in stored[...]]
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{file.path}: {inside} has a name that is not UTF-8", code="E10", path=inside
            ) from error


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
