"""The names of an archive's classes, kept once for all of its takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spike_zoo.archive import schema
from spike_zoo.errors import FormatError, UsageError
from spike_zoo.formats.hdf5 import hdf5_errors, read_attributes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import h5py

    from spike_zoo.formats.hdf5 import Hdf5File


def read_label_names(file: Hdf5File) -> tuple[str, ...]:
    """Return the names of the classes by class index; empty where the archive has none.

    Raises:
        FormatError: E13, if they are no JSON list of different names.
    """
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
    """Write the names of the classes into an archive's root, or find them there.

    Raises:
        UsageError: If they cannot be names of classes, or the archive has others.
    """
    if problem := schema.label_names_problem(list(names)):
        raise UsageError(problem)
    text = json.dumps(list(names), ensure_ascii=False)
    there = file.attrs.get(schema.LABEL_NAMES, text)
    if there != text:
        raise UsageError(
            f"the archive has classes of other names: {there}, not {text}; write another archive"
        )
    file.attrs[schema.LABEL_NAMES] = text
