"""Compiled kernels of the lossless coder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo.coding.spl import kernels
from spike_zoo.coding.spl.spike_model import firing_model
from tests.helpers.firing import lit_planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLANES = lit_planes(40, 4, 5).view(np.uint8)


def _coded() -> tuple[NDArray[np.uint16], NDArray[np.uint16], int]:
    chances, words = np.empty(PLANES.size, np.uint16), np.empty(PLANES.size, np.uint16)
    kernels.predict(firing_model(4, 5), PLANES, chances)
    state, free = kernels.encode(PLANES.reshape(-1), chances, words)
    return chances, words[free:], int(state)


def test_words_that_run_out_are_told() -> None:
    _, words, state = _coded()
    planes = np.empty_like(PLANES)
    assert kernels.decode(firing_model(4, 5), words[:-1], state, planes)[1] == -1


def test_bytes_are_near_what_the_chances_promise() -> None:
    chances, words, _ = _coded()
    share = np.where(PLANES.reshape(-1) == 1, chances, 65536 - chances.astype(int)) / 65536
    assert words.size * 16 == pytest.approx(-np.log2(share).sum(), abs=32)
