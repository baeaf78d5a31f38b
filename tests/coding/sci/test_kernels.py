"""The compiled loops and the same functions as plain Python make the same bytes."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from spike_zoo.coding import gaussian_tables
from spike_zoo.coding.sci import kernels
from tests.helpers.bitstreams import coded, decoded, random_symbols


def _as_python(kernel: object) -> Any:
    return cast("Any", kernel).py_func


def test_plain_python_writes_what_the_compiled_coder_writes() -> None:
    symbols, table = random_symbols(3_000, escapes=0.02)
    words = np.empty(2 * symbols.size, np.uint16)
    encode = _as_python(kernels.encode)
    state, free = encode(symbols, table, gaussian_tables(), words, (65_536, words.size))
    payload = coded((symbols, table))
    assert int(state).to_bytes(4, "little") == payload[4:8]
    assert words[free:].astype("<u2").tobytes() == payload[8:]


def test_plain_python_reads_what_the_compiled_coder_wrote() -> None:
    symbols, table = random_symbols(3_000, escapes=0.02)
    payload, tables = coded((symbols, table)), gaussian_tables()
    nearest = np.empty((64, 256), np.uint16)
    _as_python(kernels.index_symbols)(tables, nearest)
    words = np.frombuffer(payload, "<u2", offset=8).astype(np.uint16)
    place, found = (int.from_bytes(payload[4:8], "little"), 0), np.empty_like(symbols)
    ending = _as_python(kernels.decode)(table, tables, nearest, words, place, found)
    assert ending == (65_536, words.size, kernels.DONE)
    np.testing.assert_array_equal(found, symbols)
    np.testing.assert_array_equal(decoded(payload, table), symbols)
