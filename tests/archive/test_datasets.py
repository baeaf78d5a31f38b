"""Validation of small data sets of an archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo.archive.contents import (
    checked_datasets,
    read_integers,
)
from spike_zoo.errors import FormatError
from spike_zoo.formats.hdf5 import Hdf5File
from tests.helpers.archives import add_annotations, edit_file, write_archive

TAKE = "recordings/take0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "takes.h5")


def test_pictures_labels_and_calibration_have_separate_checksums(path: Path) -> None:
    add_annotations(path, "take0")
    labels = ("boxes", "boxes_index", "class", "class_index", "flow", "mood")
    assert checked_datasets(Hdf5File(path), TAKE) == [
        f"{TAKE}/images",
        f"{TAKE}/blur",
        *(f"{TAKE}/labels/{name}" for name in labels),
        f"{TAKE}/calibration/dark",
    ]


def test_integers_of_any_width_are_read(path: Path) -> None:
    edit_file(path, lambda file: file.create_dataset("few", data=np.array([3, 1], ">u2")))
    values = read_integers(Hdf5File(path), "few", 1)
    assert values.dtype == np.int64
    assert values.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda file: file.create_dataset("few", data=np.ones(2)), "float64 .* expected int64"),
        (lambda file: file.create_dataset("few", data=3), "with 1 dimensions"),
        (lambda file: file.create_dataset("few", (4,), "i8", chunks=(2,)), "never written"),
    ],
)
def test_other_values_are_rejected(
    path: Path, make: Callable[[h5py.File], Any], problem: str
) -> None:
    edit_file(path, make)
    with pytest.raises(FormatError, match=problem):
        read_integers(Hdf5File(path), "few", 1)
