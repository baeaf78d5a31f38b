"""The small parts of an archive, whole numbers and names, checked while they are read."""

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
    """Return the data sets of a recording that have checksums of their own.

    These are its pictures, their motion and everything directly below labels and calibration.
    """
    there = file.members(inside)  # once: looking up a part that is not there costs as much
    pictures = [f"{inside}/{part}" for part in schema.OF_IMAGES if part in there]
    further = [
        f"{inside}/{group}/{name}"
        for group in (schema.LABELS, schema.CALIBRATION)
        if group in there
        for name in sorted(file.members(f"{inside}/{group}"))
    ]
    return [
        *(part for part in pictures if file.holds(part)),
        *(part for part in further if isinstance(file.find(part), h5py.Dataset)),
    ]


def read_integers(file: Hdf5File, inside: str, dimensions: int) -> NDArray[np.int64]:
    """Read a small data set of whole numbers; FormatError if it is anything else."""
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
    """Return the class index of a recording, None if it has none."""
    where = f"{schema.RECORDINGS}/{name}/{schema.LABEL}"
    return int(read_integers(file, where, 0)) if file.holds(where) else None


def check_pictures(file: Hdf5File, inside: str) -> None:
    """Reject what is no complete data set of pictures or motion (FormatError, E09)."""
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
    """Return the error that lists the splits of an archive and says how to go on."""
    remedy = "name one of these"
    if split in schema.USUAL_SPLITS:
        nearest = [one for one in reversed(schema.USUAL_SPLITS) if one in there] or there
        other = f"take another with --data.init_args.{split}_split {nearest[0]}" if nearest else ""
        again = f"build it again with folders {', '.join(schema.USUAL_SPLITS)} or --split {split}"
        remedy = f"{other}, or {again}" if other else again
    return MissingItemError(
        f"{path}: no split {split!r}; it has {', '.join(there) or 'none'}. To go on, {remedy}",
        path=f"{schema.SPLITS}/{split}",
    )


def split_names(file: Hdf5File, split: str) -> list[str]:
    """Return the recordings of a split; FormatError E10 if it is no list of names in UTF-8."""
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
                f"{file.path}: {inside} holds a name that is not UTF-8", code="E10", path=inside
            ) from error


def read_label_names(file: Hdf5File) -> tuple[str, ...]:
    """Return the names of the classes by class index, empty without any; FormatError E13."""
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
    """Write the names of the classes into an archive's root; UsageError if it has others."""
    if problem := schema.label_names_problem(list(names)):
        raise UsageError(problem)
    text = json.dumps(list(names), ensure_ascii=False)
    there = file.attrs.get(schema.LABEL_NAMES, text)
    if there != text:
        raise UsageError(
            f"the archive has classes of other names: {there}, not {text}; write another archive"
        )
    file.attrs[schema.LABEL_NAMES] = text
