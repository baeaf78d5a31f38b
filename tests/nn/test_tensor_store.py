"""Tests of memory-mapped stores: resumed computation, order of rows, and files of another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spike_zoo.errors import UsageError
from spike_zoo.nn.tensor_store import filled_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (150, 2, 3)
VALUES = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


class Source:
    """Computes rows, and is interrupted after some calls."""

    def __init__(self, calls: int = 99) -> None:
        self.calls = calls
        self.rows: list[range] = []

    def __call__(self, rows: range) -> NDArray[np.uint8]:
        if len(self.rows) == self.calls:
            raise KeyboardInterrupt
        self.rows.append(rows)
        return VALUES[rows.start : rows.stop]


def test_an_interrupted_store_continues_after_its_last_complete_rows(tmp_path: Path) -> None:
    path, first, second = tmp_path / "new" / "x.bytes", Source(calls=1), Source()
    with pytest.raises(KeyboardInterrupt):
        filled_store(path, SHAPE, first)
    with path.open("ab") as file:
        file.write(b"a part of the next rows")
    done: list[tuple[int, int]] = []
    np.testing.assert_array_equal(
        filled_store(path, SHAPE, second, lambda *counts: done.append(counts)), VALUES
    )
    assert second.rows[0].start == first.rows[0].stop > 0
    assert done[-1] == (150, 150)
    assert [file.name for file in path.parent.iterdir()] == ["x.bytes"]


def test_a_complete_store_is_only_read_and_cannot_be_changed(tmp_path: Path) -> None:
    path, unused = tmp_path / "x.bytes", Source(calls=0)
    filled_store(path, SHAPE, Source())
    stored = filled_store(path, SHAPE, unused)
    np.testing.assert_array_equal(stored, VALUES)
    with pytest.raises(ValueError, match="read-only"):
        stored[0] = 0


def test_a_file_of_another_size_and_rows_of_another_type_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.bytes"
    path.write_bytes(bytes(7))
    with pytest.raises(UsageError, match=r"x\.bytes: 7 bytes, but the data have 900; delete"):
        filled_store(path, SHAPE, Source())
    wrong: Any = lambda rows: np.zeros((len(rows), 2, 3))  # noqa: E731
    with pytest.raises(ValueError, match=r"rows must be uint8 \(2, 3\)"):
        filled_store(tmp_path / "y.bytes", SHAPE, wrong)
