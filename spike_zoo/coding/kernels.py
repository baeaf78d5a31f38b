"""Compiled kernels of the range coder; uncompiled, they return the same values.

Range asymmetric numeral systems (rANS; Duda, 2013) with a state of 32 bits, words of 16 bits and
frequencies of 16 bits. The arithmetic is integer only, so the bytes are the same on every machine.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from spike_zoo.coding.tables import FrequencyTables
from spike_zoo.spikes.compiling import compiled

DONE: Final = 0
OUT_OF_WORDS: Final = 1
NEEDLESS_ESCAPE: Final = 2
_FIRST_STATE: Final = 1 << 16
_LOW: Final = 0xFFFF


@compiled
def encode(
    symbols: NDArray[np.int32],
    table: NDArray[np.int32],
    tables: FrequencyTables,
    words: NDArray[np.uint16],
    initial: tuple[int, int],
) -> tuple[int, int]:
    """Encode symbols from the last to the first; fill ``words`` from the end backwards.

    ``symbols`` are ``(N,)``, from -32767 to 32767; ``table`` holds the table index of each.
    ``words`` is a buffer of at least two words per symbol. ``initial`` and the result are the state
    and the number of free words.
    """
    radius, offset, cumulative = tables.radius, tables.offset, tables.cumulative
    state, free = np.int64(initial[0]), initial[1]
    for index in range(symbols.size - 1, -1, -1):
        symbol, level = np.int64(symbols[index]), table[index]
        reach = np.int64(radius[level])
        slot = offset[level] + symbol + reach
        if symbol < -reach or symbol > reach:  # the escape, followed by the value
            free -= 1
            words[free] = state & _LOW
            state = ((state >> 16) << 16) + (symbol & _LOW)
            slot = offset[level] + 2 * reach + 1
        start = np.int64(cumulative[slot])
        frequency = np.int64(cumulative[slot + 1]) - start
        if state >= frequency << 16:
            free -= 1
            words[free] = state & _LOW
            state >>= 16
        quotient = state // frequency
        state = (quotient << 16) + start + (state - quotient * frequency)
    return int(state), free


@compiled
def decode(
    table: NDArray[np.int32],
    tables: FrequencyTables,
    nearest: NDArray[np.uint16],
    words: NDArray[np.uint16],
    initial: tuple[int, int],
    symbols: NDArray[np.int32],
) -> tuple[int, int, int]:
    """Decode symbols, from the first to the last, into ``symbols``.

    ``table`` is the table index of each symbol, ``nearest`` the result of :func:`index_symbols`,
    ``words`` are all words of the payload. ``initial`` is the state and the number of words read.
    Returns the new ones and ``DONE``, ``OUT_OF_WORDS`` or ``NEEDLESS_ESCAPE``.
    """
    radius, offset, cumulative = tables.radius, tables.offset, tables.cumulative
    state, read = np.int64(initial[0]), initial[1]
    for index in range(table.size):
        level = table[index]
        rest, first = state & _LOW, np.int64(offset[level])
        slot = first + nearest[level, rest >> 8]
        while cumulative[slot + 1] <= rest:
            slot += 1
        start = np.int64(cumulative[slot])
        state = (np.int64(cumulative[slot + 1]) - start) * (state >> 16) + rest - start
        if state < _FIRST_STATE:
            if read >= words.size:
                return int(state), read, OUT_OF_WORDS
            state = (state << 16) | np.int64(words[read])
            read += 1
        reach = np.int64(radius[level])
        symbol = slot - first - reach
        if symbol > reach:  # the escape: the value follows
            if read >= words.size:
                return int(state), read, OUT_OF_WORDS
            symbol = ((state & _LOW) ^ 0x8000) - 0x8000
            if -reach <= symbol <= reach or symbol == -0x8000:
                return int(state), read, NEEDLESS_ESCAPE
            state = ((state >> 16) << 16) | np.int64(words[read])
            read += 1
        symbols[index] = symbol
    return int(state), read, DONE


@compiled
def index_symbols(tables: FrequencyTables, nearest: NDArray[np.uint16]) -> None:
    """Write the symbol of each table at every 256th cumulative frequency, ``(tables, 256)``."""
    offset, cumulative = tables.offset, tables.cumulative
    for level in range(offset.size):
        slot = offset[level]
        for part in range(nearest.shape[1]):
            while cumulative[slot + 1] <= part << 8:
                slot += 1
            nearest[level, part] = slot - offset[level]
