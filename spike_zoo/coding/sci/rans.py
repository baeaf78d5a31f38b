"""Symbols of a group of pictures to bytes and back, by tables that both sides know."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spike_zoo.coding.errors import CorruptBitstreamError, DecodeMismatchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.coding.sci.tables import FrequencyTables

LARGEST: Final = 32767
"""Largest magnitude of a symbol."""
_FIRST_STATE: Final = 1 << 16
_HEAD: Final = struct.Struct("<II")  # the checksum of the symbols, the coder's state
HEAD_BYTES: Final = _HEAD.size


class GroupEncoder:
    """Gather the symbols of one group of pictures, in reading order, and code them at its end."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.int32], NDArray[np.int32], FrequencyTables]] = []
        self._checksum = 0

    def push(
        self, symbols: NDArray[np.integer], table: NDArray[np.integer], tables: FrequencyTables
    ) -> None:
        """Add symbols behind those before.

        Args:
            symbols: ``(N,)``, from -32767 to 32767.
            table: ``(N,)``, which of the tables each is coded with.
            tables: The tables.

        Raises:
            ValueError: If a symbol is beyond that, a table is not there, or there are not as many
                of both.
        """
        chosen = _chosen(table, tables)
        if np.shape(symbols) != chosen.shape:
            raise ValueError(f"{np.shape(symbols)} symbols, but tables of {chosen.shape}")
        self._checksum = zlib.crc32(_in_range(symbols).astype("<i4").tobytes(), self._checksum)
        self._parts.append((symbols.astype(np.int32), chosen, tables))

    def finish(self) -> bytes:
        """Return the payload: the symbols' CRC-32, the last state, then words of 16 bits."""
        from spike_zoo.coding.sci import kernels

        free = 2 * sum(symbols.size for symbols, _, _ in self._parts)
        words, state = np.empty(free, np.uint16), _FIRST_STATE
        for symbols, chosen, tables in reversed(self._parts):
            state, free = kernels.encode(symbols, chosen, tables, words, (state, free))
        return _HEAD.pack(self._checksum, state) + words[free:].astype("<u2").tobytes()


class GroupDecoder:
    """Take the symbols of one group of pictures, in the order in which they were pushed.

    Args:
        payload: What the encoder made.
        gop: Number of the group, for errors.

    Raises:
        CorruptBitstreamError: If it is too short for any payload, or ends within a word.
    """

    def __init__(self, payload: bytes, gop: int) -> None:
        if len(payload) < HEAD_BYTES or len(payload) % 2:
            raise CorruptBitstreamError(
                f"group of pictures {gop}: a payload of {len(payload)} bytes; it is even, and at "
                f"least {HEAD_BYTES}",
                gop=gop,
            )
        self._gop = gop
        self._expected, self._state = _HEAD.unpack_from(payload)
        self._words = np.frombuffer(payload, "<u2", offset=HEAD_BYTES).astype(np.uint16)
        self._read = self._checksum = 0
        self._indexed: dict[int, tuple[FrequencyTables, NDArray[np.uint16]]] = {}

    def pull(self, table: NDArray[np.integer], tables: FrequencyTables) -> NDArray[np.int32]:
        """Return the next symbols.

        Args:
            table: ``(N,)``, which of the tables each was coded with.
            tables: The tables.

        Returns:
            ``(N,)``.

        Raises:
            DecodeMismatchError: If there are no words left.
            CorruptBitstreamError: If a symbol was escaped that its table has.
            ValueError: If a table is not there.
        """
        from spike_zoo.coding.sci import kernels

        chosen = _chosen(table, tables)
        symbols = np.empty(chosen.size, np.int32)
        place = self._state, self._read
        self._state, self._read, ending = kernels.decode(
            chosen, tables, self._index_of(tables), self._words, place, symbols
        )
        if ending == kernels.OUT_OF_WORDS:
            raise self._mismatch("its words are used up before all symbols are read")
        if ending == kernels.NEEDLESS_ESCAPE:
            raise CorruptBitstreamError(
                f"group of pictures {self._gop}: a symbol is escaped that needs no escape; "
                "decode without this group (--salvage)",
                gop=self._gop,
            )
        self._checksum = zlib.crc32(symbols.astype("<i4").tobytes(), self._checksum)
        return symbols

    def finish(self) -> None:
        """Make sure that all was read and is what was written.

        Raises:
            DecodeMismatchError: If it is not.
        """
        left = len(self._words) - self._read
        if left:
            raise self._mismatch(f"{left} words are left over")
        if self._state != _FIRST_STATE:
            raise self._mismatch(f"the coder ends in state {self._state}, not {_FIRST_STATE}")
        if self._checksum != self._expected:
            raise self._mismatch("the checksum of its symbols is another")

    def _index_of(self, tables: FrequencyTables) -> NDArray[np.uint16]:
        """Return an index of tables, made when they are first seen."""
        from spike_zoo.coding.sci import kernels

        known = self._indexed.get(id(tables))
        if known is None:
            nearest = np.empty((len(tables.radius), 256), np.uint16)
            kernels.index_symbols(tables, nearest)
            known = self._indexed[id(tables)] = tables, nearest  # kept, so the id stays theirs
        return known[1]

    def _mismatch(self, why: str) -> DecodeMismatchError:
        return DecodeMismatchError(
            f"group of pictures {self._gop}: {why}; what was decoded is not what was coded. Make "
            "sure the model is the one that coded it, or decode without this group (--salvage)",
            gop=self._gop,
        )


def ideal_bits(
    symbols: NDArray[np.integer], table: NDArray[np.integer], tables: FrequencyTables
) -> float:
    """Return the bits that no coder with these tables can do without, 16 of each escaped value.

    Args:
        symbols: ``(N,)``.
        table: ``(N,)``, which of the tables each is coded with.
        tables: The tables.

    Raises:
        ValueError: As :meth:`GroupEncoder.push` does.
    """
    chosen = _chosen(table, tables)
    values = _in_range(symbols).astype(np.int64)
    reach = tables.radius[chosen].astype(np.int64)
    escaped = np.abs(values) > reach
    slot = tables.offset[chosen] + np.where(escaped, 2 * reach + 1, values + reach)
    cumulative = tables.cumulative.astype(np.int64)
    frequencies = cumulative[slot + 1] - cumulative[slot]
    return float((16 - np.log2(frequencies)).sum() + 16 * np.count_nonzero(escaped))


def _chosen(table: NDArray[np.integer], tables: FrequencyTables) -> NDArray[np.int32]:
    """Return indices of tables as the kernels take them, all of them known to be there."""
    if table.ndim != 1 or not np.issubdtype(table.dtype, np.integer):
        raise ValueError(f"tables are integers (N,), got {table.dtype} {table.shape}")
    if table.size and not (table.min() >= 0 and table.max() < len(tables.radius)):
        raise ValueError(
            f"tables {table.min()} to {table.max()} were asked for; there are 0 to "
            f"{len(tables.radius) - 1}"
        )
    return np.ascontiguousarray(table, np.int32)


def _in_range(symbols: NDArray[Any]) -> NDArray[Any]:
    """Return symbols that can be coded."""
    if not np.issubdtype(symbols.dtype, np.integer):
        raise ValueError(f"symbols are integers, got {symbols.dtype}")
    if symbols.size and not (symbols.min() >= -LARGEST and symbols.max() <= LARGEST):
        raise ValueError(
            f"symbols reach from {symbols.min()} to {symbols.max()}; a value of 16 bits holds "
            f"-{LARGEST} to {LARGEST}"
        )
    return symbols
