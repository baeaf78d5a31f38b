"""rANS encoder and decoder of the symbols of one group of pictures, with fixed tables."""

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.coding.errors import CorruptBitstreamError, DecodeMismatchError
from spike_zoo.coding.tables import FrequencyTables

MAX_VALUE: Final = 32767
"""Largest magnitude of a symbol."""
_FIRST_STATE: Final = 1 << 16
_HEAD: Final = struct.Struct("<II")  # the checksum of the symbols, the coder's state
HEAD_BYTES: Final = _HEAD.size


class GroupEncoder:
    """Collect the symbols of one group of pictures in decoding order and encode them together."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.int32], NDArray[np.int32], FrequencyTables]] = []
        self._checksum = 0

    def push(
        self, symbols: NDArray[np.integer], table: NDArray[np.integer], tables: FrequencyTables
    ) -> None:
        """Append symbols ``(N,)`` from -32767 to 32767, each with the index of its table."""
        indices = _checked_indices(table, tables)
        if np.shape(symbols) != indices.shape:
            raise ValueError(f"{np.shape(symbols)} symbols, but tables of {indices.shape}")
        self._checksum = zlib.crc32(
            _checked_symbols(symbols).astype("<i4").tobytes(), self._checksum
        )
        self._parts.append((symbols.astype(np.int32), indices, tables))

    def finish(self) -> bytes:
        """Return the payload: the symbols' CRC-32, the last state, then words of 16 bits."""
        from spike_zoo.coding import kernels

        free = 2 * sum(symbols.size for symbols, _, _ in self._parts)
        words, state = np.empty(free, np.uint16), _FIRST_STATE
        for symbols, indices, tables in reversed(self._parts):
            state, free = kernels.encode(symbols, indices, tables, words, (state, free))
        return _HEAD.pack(self._checksum, state) + words[free:].astype("<u2").tobytes()


class GroupDecoder:
    """Decode the symbols of one group of pictures in the order in which they were pushed.

    Args:
        payload: Output of :meth:`GroupEncoder.finish`.
        gop: Number of the group, for errors.
    """

    def __init__(self, payload: bytes, gop: int) -> None:
        if len(payload) < HEAD_BYTES or len(payload) % 2:
            raise CorruptBitstreamError(
                f"group of pictures {gop}: a payload of {len(payload)} bytes; its length must be "
                f"even and at least {HEAD_BYTES}",
                gop=gop,
            )
        self._gop = gop
        self._expected, self._state = _HEAD.unpack_from(payload)
        self._words = np.frombuffer(payload, "<u2", offset=HEAD_BYTES).astype(np.uint16)
        self._read = self._checksum = 0
        self._indexed: dict[int, tuple[FrequencyTables, NDArray[np.uint16]]] = {}

    def pull(self, table: NDArray[np.integer], tables: FrequencyTables) -> NDArray[np.int32]:
        """Return the next symbols ``(N,)``, for the table index of each."""
        from spike_zoo.coding import kernels

        indices = _checked_indices(table, tables)
        symbols = np.empty(indices.size, np.int32)
        initial = self._state, self._read
        self._state, self._read, ending = kernels.decode(
            indices, tables, self._index_of(tables), self._words, initial, symbols
        )
        if ending == kernels.OUT_OF_WORDS:
            raise self._mismatch("its words are used up before all symbols are read")
        if ending == kernels.NEEDLESS_ESCAPE:
            raise CorruptBitstreamError(
                f"group of pictures {self._gop} is damaged: it contains an escaped symbol that "
                "needs no escape; decode without this group (--salvage)",
                gop=self._gop,
            )
        self._checksum = zlib.crc32(symbols.astype("<i4").tobytes(), self._checksum)
        return symbols

    def finish(self) -> None:
        """Check that all words are read, and the final state and the checksum of the symbols."""
        left = len(self._words) - self._read
        if left:
            raise self._mismatch(f"{left} words are left over")
        if self._state != _FIRST_STATE:
            raise self._mismatch(f"the coder ends in state {self._state}, not {_FIRST_STATE}")
        if self._checksum != self._expected:
            raise self._mismatch("the checksum of its symbols is wrong")

    def _index_of(self, tables: FrequencyTables) -> NDArray[np.uint16]:
        """Return the cached output of ``index_symbols`` for tables."""
        from spike_zoo.coding import kernels

        cached = self._indexed.get(id(tables))
        if cached is None:
            nearest = np.empty((len(tables.radius), 256), np.uint16)
            kernels.index_symbols(tables, nearest)
            cached = self._indexed[id(tables)] = tables, nearest  # keeps the tables and their id
        return cached[1]

    def _mismatch(self, why: str) -> DecodeMismatchError:
        return DecodeMismatchError(
            f"group of pictures {self._gop}: {why}; the decoded symbols are not those that were "
            "encoded. Use the model that encoded the file, or decode without this group "
            "(--salvage)",
            gop=self._gop,
        )


def ideal_bits(
    symbols: NDArray[np.integer], table: NDArray[np.integer], tables: FrequencyTables
) -> float:
    """Return the ideal code length of symbols in bits, with 16 bits for each escaped value."""
    indices = _checked_indices(table, tables)
    values = _checked_symbols(symbols).astype(np.int64)
    reach = tables.radius[indices].astype(np.int64)
    escaped = np.abs(values) > reach
    slot = tables.offset[indices] + np.where(escaped, 2 * reach + 1, values + reach)
    cumulative = tables.cumulative.astype(np.int64)
    frequencies = cumulative[slot + 1] - cumulative[slot]
    return float((16 - np.log2(frequencies)).sum() + 16 * np.count_nonzero(escaped))


def _checked_indices(table: NDArray[np.integer], tables: FrequencyTables) -> NDArray[np.int32]:
    """Return table indices as contiguous int32; raise if an index is out of range."""
    if table.ndim != 1 or not np.issubdtype(table.dtype, np.integer):
        raise ValueError(f"tables are integers (N,), got {table.dtype} {table.shape}")
    if table.size and not (table.min() >= 0 and table.max() < len(tables.radius)):
        raise ValueError(
            f"table indices are {table.min()} to {table.max()}; expected 0 to "
            f"{len(tables.radius) - 1}"
        )
    return np.ascontiguousarray(table, np.int32)


def _checked_symbols(symbols: NDArray[Any]) -> NDArray[Any]:
    """Return symbols; raise if they are not integers in the range of the coder."""
    if not np.issubdtype(symbols.dtype, np.integer):
        raise ValueError(f"symbols are integers, got {symbols.dtype}")
    if symbols.size and not (symbols.min() >= -MAX_VALUE and symbols.max() <= MAX_VALUE):
        raise ValueError(
            f"symbols are {symbols.min()} to {symbols.max()}; expected -{MAX_VALUE} to {MAX_VALUE}"
        )
    return symbols
