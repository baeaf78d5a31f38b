"""The entropy coder: symbols per second, and bytes compared with the entropy."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from benchmarks.row import Row, alternate
from spike_zoo.coding import kernels
from spike_zoo.coding.rans import GroupDecoder, GroupEncoder, ideal_bits
from spike_zoo.coding.tables import SIGMAS, gaussian_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Calls: TypeAlias = tuple[Callable[[], object], Callable[[], object]]

SYMBOLS = 1 << 18
ESCAPED = 1 / 5_000
RATE_GOAL, SIZE_GOAL = 50.0, 1.005
#: Ratio of the frequencies of one level and the level before; most symbols of a codec are near 0.
RARER = 0.928
EQUAL = 1.0


def _drawn(rarer: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return symbols and their scale indices."""
    draws = np.random.default_rng(0)
    chances = rarer ** np.arange(64)
    table = draws.choice(64, SYMBOLS, p=chances / chances.sum()).astype(np.int32)
    symbols = np.round(draws.normal(size=SYMBOLS) * SIGMAS[table]).astype(np.int32)
    far = draws.random(SYMBOLS) < ESCAPED
    symbols[far] = draws.integers(-3_000, 3_001, np.count_nonzero(far))
    return symbols, table


def _ours(symbols: NDArray[np.int32], table: NDArray[np.int32]) -> Calls:
    """Return the functions that encode and decode."""
    tables = gaussian_tables()

    def encode() -> bytes:
        encoder = GroupEncoder()
        encoder.push(symbols, table, tables)
        return encoder.finish()

    payload = encode()

    def decode() -> None:
        decoder = GroupDecoder(payload, 0)
        decoder.pull(table, tables)
        decoder.finish()

    return encode, decode


def _of_a_library(symbols: NDArray[np.int32], table: NDArray[np.int32]) -> Calls | None:
    """Return the same functions of the package constriction if it is installed."""
    if importlib.util.find_spec("constriction") is None:
        return None
    library: Any = importlib.import_module("constriction").stream
    family, mean = library.model.QuantizedGaussian(-32_767, 32_767), np.zeros(SYMBOLS)

    def encode() -> object:
        coder = library.stack.AnsCoder()
        coder.encode_reverse(symbols, family, mean, SIGMAS[table])
        return coder.get_compressed()

    words = encode()

    def decode() -> None:
        library.stack.AnsCoder(words).decode(family, mean, SIGMAS[table])

    return encode, decode


def _rates(rarer: float, name: str, goal: float | None = None) -> list[Row]:
    """Measure encoding and decoding in millions of symbols per second."""
    arguments = _drawn(rarer)
    calls, others = _ours(*arguments), _of_a_library(*arguments)
    ways = [f"encode symbols, {name}", f"decode symbols, {name}"]
    rates = [SYMBOLS / seconds / 1e6 for seconds in alternate(calls, repeats=15)]
    results = [
        Row(way, speed, "M/s", goal=goal, at_least=True)
        for way, speed in zip(ways, rates, strict=True)
    ]
    if others is not None:
        speeds = [SYMBOLS / seconds / 1e6 for seconds in alternate(others)]
        pairs = zip(ways, speeds, strict=True)
        results += [Row(f"{way}: constriction", speed, "M/s") for way, speed in pairs]
    return results


def _size() -> Row:
    symbols, table = _drawn(RARER)
    data = cast("bytes", _ours(symbols, table)[0]())
    least = ideal_bits(symbols, table, gaussian_tables()) / 8
    return Row("bytes of symbols at 1.1 bits each", len(data), "B", least, "ideal", SIZE_GOAL)


def _as_python() -> Row:
    """Measure the coder without compilation."""
    symbols, table = (array[: SYMBOLS // 16] for array in _drawn(EQUAL))
    words, tables = np.empty(2 * symbols.size, np.uint16), gaussian_tables()
    encode = cast("Any", kernels.encode).py_func
    (seconds,) = alternate(
        [lambda: encode(symbols, table, tables, words, (1 << 16, words.size))], 3
    )
    return Row("encode symbols as plain Python", symbols.size / seconds / 1e6, "M/s")


def rows() -> list[Row]:
    """Measure symbols with frequencies like a codec's, and with uniform frequencies."""
    frequent = _rates(RARER, "1.1 bits each", RATE_GOAL)
    return [*frequent, *_rates(EQUAL, "3.6 bits each"), _size(), _as_python()]
