"""Tests of arrays written in parts against numpy."""

from pathlib import Path

import numpy as np
import pytest

from spike_zoo.errors import MediaError
from spike_zoo.media.arrays import ArraysWriter


def test_parts_are_concatenated_to_one_array_per_name(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    parts = [draws.random((count, 3, 4)).astype(np.float32) for count in (2, 0, 5)]
    turned = [part.swapaxes(1, 2) for part in parts]  # not contiguous
    with ArraysWriter(tmp_path / "new" / "a.npz") as arrays:
        for part, other in zip(parts, turned, strict=True):
            arrays.append(values=part, turned=other)
        arrays.append(index=np.arange(3))
    with np.load(tmp_path / "new" / "a.npz") as stored:
        np.testing.assert_array_equal(stored["values"], np.concatenate(parts))
        np.testing.assert_array_equal(stored["turned"], np.concatenate(turned))
        assert stored["index"].tolist() == [0, 1, 2]
        assert stored["values"].dtype == np.float32
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.npz"]


def test_a_part_of_another_size_or_type_is_rejected_and_nothing_is_written(tmp_path: Path) -> None:
    for other in (np.zeros((1, 5)), np.zeros((1, 4), np.float32)):
        with pytest.raises(MediaError, match=r"a part of 'values' is float"):
            _write(tmp_path / "a.npz", np.zeros((2, 4)), other)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(MediaError, match="no array"):
        _write(tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def _write(path: Path, *parts: np.ndarray) -> None:
    with ArraysWriter(path) as arrays:
        for part in parts:
            arrays.append(values=part)
