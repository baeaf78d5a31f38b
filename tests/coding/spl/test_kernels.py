"""The lossless coder's loops and the same functions as plain Python make the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from spike_zoo.coding.spl import kernels
from spike_zoo.coding.spl.spike_model import firing_model
from tests.helpers.firing import lit_planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLANES = lit_planes(40, 4, 5).view(np.uint8)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module with every compiled function as plain Python."""
    for name, function in list(vars(kernels).items()):
        if hasattr(function, "py_func"):
            monkeypatch.setattr(kernels, name, cast("Any", function).py_func)
    return kernels


def _coded(loops: Any) -> tuple[NDArray[np.uint16], NDArray[np.uint16], int]:
    chances, words = np.empty(PLANES.size, np.uint16), np.empty(PLANES.size, np.uint16)
    loops.predict(firing_model(4, 5), PLANES, chances)
    state, free = loops.encode(PLANES.reshape(-1), chances, words)
    return chances, words[free:], int(state)


def test_plain_python_foresees_and_writes_the_same(request: pytest.FixtureRequest) -> None:
    chances, words, state = _coded(kernels)
    as_python = _coded(request.getfixturevalue("plain"))
    np.testing.assert_array_equal(as_python[0], chances)
    np.testing.assert_array_equal(as_python[1], words)
    assert as_python[2] == state


def test_plain_python_reads_what_compiled_loops_wrote(request: pytest.FixtureRequest) -> None:
    _, words, state = _coded(kernels)
    loops, planes = request.getfixturevalue("plain"), np.empty_like(PLANES)
    ending = loops.decode(firing_model(4, 5), words, state, planes)
    assert ending == (1 << 16, words.size)
    np.testing.assert_array_equal(planes, PLANES)


def test_words_that_run_out_are_told() -> None:
    _, words, state = _coded(kernels)
    planes = np.empty_like(PLANES)
    assert kernels.decode(firing_model(4, 5), words[:-1], state, planes)[1] == -1


def test_bytes_are_near_what_the_chances_promise() -> None:
    chances, words, _ = _coded(kernels)
    share = np.where(PLANES.reshape(-1) == 1, chances, 65536 - chances.astype(int)) / 65536
    assert words.size * 16 == pytest.approx(-np.log2(share).sum(), abs=32)
