"""Bits spread over bytes by arithmetic."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from spike_zoo.spikes.kernels import spread_bits


@pytest.mark.skipif(sys.byteorder == "big", reason="made for little-endian processors")
def test_every_byte_becomes_its_eight_bits() -> None:
    packed = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    spread = np.empty(packed.shape, np.uint64)
    bits = np.unpackbits(packed, axis=-1, bitorder="little")
    spread_bits(packed, spread)
    np.testing.assert_array_equal(spread.view(np.uint8), bits)
    spread_bits(packed, spread, True)
    np.testing.assert_array_equal(spread.view(np.uint8), bits[:, ::-1])
