"""Compiled kernels of the lossless coder."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.coding.spl import kernels
from spike_zoo.coding.spl.spike_model import firing_model
from tests.helpers.firing import lit_planes

PLANES = lit_planes(40, 4, 5).view(np.uint8)


def _encode_planes() -> tuple[NDArray[np.uint16], NDArray[np.uint16], int]:
    probabilities, words = np.empty(PLANES.size, np.uint16), np.empty(PLANES.size, np.uint16)
    kernels.predict(firing_model(4, 5), PLANES, probabilities)
    state, free = kernels.encode(PLANES.reshape(-1), probabilities, words)
    return probabilities, words[free:], int(state)


def test_decoding_of_too_few_words_returns_an_error() -> None:
    _, words, state = _encode_planes()
    planes = np.empty_like(PLANES)
    assert kernels.decode(firing_model(4, 5), words[:-1], state, planes)[1] == -1


def test_the_number_of_bytes_is_close_to_the_ideal_code_length() -> None:
    probabilities, words, _ = _encode_planes()
    share = (
        np.where(PLANES.reshape(-1) == 1, probabilities, 65536 - probabilities.astype(int)) / 65536
    )
    assert words.size * 16 == pytest.approx(-np.log2(share).sum(), abs=32)
