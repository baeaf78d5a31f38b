"""Range coder: exact decoding, code length and detection of errors."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spike_zoo.coding import BitstreamError
from spike_zoo.coding.errors import CorruptBitstreamError, DecodeMismatchError
from spike_zoo.coding.rans import GroupDecoder, GroupEncoder, ideal_bits
from spike_zoo.coding.tables import from_frequencies, gaussian_tables, quantised
from tests.helpers.bitstreams import decode_symbols, encode_symbols, random_symbols


@pytest.mark.parametrize("escapes", [0.0, 0.1])
def test_symbols_are_decoded_and_cost_at_most_half_a_percent_above_the_ideal(
    escapes: float,
) -> None:
    symbols, table = random_symbols(200_000, escapes=escapes)
    assert set(np.unique(table)) == set(range(64))
    payload = encode_symbols((symbols, table))
    np.testing.assert_array_equal(decode_symbols(payload, table), symbols)
    least = ideal_bits(symbols, table, gaussian_tables()) / 8
    assert len(payload) - 4 <= 1.005 * least + 6  # 4 bytes are the symbols' checksum


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(
        st.lists(st.tuples(st.integers(-32_767, 32_767), st.integers(0, 63)), max_size=30),
        max_size=5,
    )
)
def test_parts_of_a_group_are_decoded_one_by_one(parts: list[list[tuple[int, int]]]) -> None:
    arrays = [np.array(part, np.int64).reshape(-1, 2).T for part in parts]
    encoder = GroupEncoder()
    for symbols, table in arrays:
        encoder.push(symbols, table, gaussian_tables())
    decoder = GroupDecoder(encoder.finish(), gop=3)
    for symbols, table in arrays:
        np.testing.assert_array_equal(decoder.pull(table, gaussian_tables()), symbols)
    decoder.finish()


def test_parts_with_different_tables_share_one_stream() -> None:
    draws = np.random.default_rng(5)
    side = from_frequencies(quantised(draws.dirichlet(np.ones(32), 20)))
    values, channel = draws.integers(-20, 21, 500), np.repeat(np.arange(20), 25)
    symbols, table = random_symbols(300, escapes=0.05)
    encoder = GroupEncoder()
    encoder.push(values, channel, side)
    encoder.push(symbols, table, gaussian_tables())
    decoder = GroupDecoder(encoder.finish(), gop=0)
    np.testing.assert_array_equal(decoder.pull(channel, side), values)
    np.testing.assert_array_equal(decoder.pull(table, gaussian_tables()), symbols)
    decoder.finish()


def test_the_payload_equals_that_of_a_reference_coder() -> None:
    symbols, table = random_symbols(400, seed=2, escapes=0.1)
    assert encode_symbols((symbols, table)) == _reference_payload(symbols, table)


def _reference_payload(symbols: NDArray[np.int32], table: NDArray[np.int32]) -> bytes:
    """Return the payload of symbols, coded with Python integers from last to first."""
    tables = gaussian_tables()
    steps: list[tuple[int, int]] = []
    for symbol, level in zip(symbols.tolist(), table.tolist(), strict=True):
        radius = int(tables.radius[level])
        inside = -radius <= symbol <= radius
        place = int(tables.offset[level]) + (symbol + radius if inside else 2 * radius + 1)
        start, end = (int(tables.cumulative[place + step]) for step in (0, 1))
        steps += [(start, end - start)] if inside else [(start, end - start), (symbol % 65_536, 1)]
    return _payload_of(steps, zlib.crc32(symbols.astype("<i4").tobytes()))


def _payload_of(steps: list[tuple[int, int]], checksum: int) -> bytes:
    """Return the payload of symbols that are given by their start and frequency."""
    state, words = 65_536, []
    for start, frequency in reversed(steps):
        if state >= frequency << 16:
            words.append(state & 0xFFFF)
            state >>= 16
        state = (state // frequency << 16) + start + state % frequency
    return struct.pack(f"<II{len(words)}H", checksum, state, *reversed(words))


def test_an_escape_costs_its_symbol_and_sixteen_bits() -> None:
    tables = from_frequencies(np.full((1, 32), 2_048, np.uint16))
    symbols, table = np.array([0, -15, 16, -700]), np.zeros(4, int)
    assert ideal_bits(symbols, table, tables) == pytest.approx(4 * 5 + 2 * 16)


def test_a_flipped_bit_is_found_by_the_end() -> None:
    symbols, table = random_symbols(500, escapes=0.01)
    payload = encode_symbols((symbols, table))
    for bit in np.random.default_rng(0).integers(0, 8 * len(payload), 100).tolist():
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError, match="pictures 5") as caught:
            decode_symbols(bytes(damaged), table, gop=5)
        assert isinstance(caught.value, DecodeMismatchError | CorruptBitstreamError)
        assert caught.value.gop == 5


def test_missing_and_extra_words_and_one_wrong_table_are_found() -> None:
    symbols, table = random_symbols(1_000)
    payload = encode_symbols((symbols, table))
    for changed in (payload[:-2], payload + bytes(2)):
        with pytest.raises(DecodeMismatchError, match=r"used up|left over"):
            decode_symbols(changed, table)
    table[700] ^= 1
    with pytest.raises(DecodeMismatchError):
        decode_symbols(payload, table)


def test_symbols_swapped_within_a_table_are_found_by_the_checksum() -> None:
    tables = from_frequencies(np.full((1, 32), 2_048, np.uint16))
    encoder = GroupEncoder()
    encoder.push(np.array([3]), np.array([0]), tables)
    payload = bytearray(encoder.finish())
    payload[0] ^= 1
    decoder = GroupDecoder(bytes(payload), gop=0)
    decoder.pull(np.array([0]), tables)
    with pytest.raises(DecodeMismatchError, match="checksum"):
        decoder.finish()


@pytest.mark.parametrize("value", [1, -32_768])
def test_an_escape_of_a_symbol_within_the_table_is_rejected(value: int) -> None:
    tables = gaussian_tables()
    escape = int(tables.offset[10]) + 2 * int(tables.radius[10]) + 1
    start = int(tables.cumulative[escape])
    payload = _payload_of([(start, 65_536 - start), (value % 65_536, 1)], checksum=0)
    with pytest.raises(CorruptBitstreamError, match="needs no escape"):
        GroupDecoder(payload, gop=0).pull(np.array([10]), tables)


def test_payloads_of_invalid_length_are_rejected() -> None:
    for payload in (b"", bytes(7), bytes(9)):
        with pytest.raises(CorruptBitstreamError, match=f"{len(payload)} bytes"):
            GroupDecoder(payload, gop=0)


@settings(max_examples=60, deadline=None)
@given(payload=st.binary(min_size=8, max_size=60).filter(lambda data: len(data) % 2 == 0))
def test_any_bytes_are_decoded_or_rejected(payload: bytes) -> None:
    table = np.arange(64, dtype=np.int32)
    try:
        symbols = decode_symbols(payload, table)
    except BitstreamError:
        return
    assert encode_symbols((symbols, table)) == payload


def _zeros(count: int) -> NDArray[np.int64]:
    return np.zeros(count, np.int64)


@pytest.mark.parametrize(
    ("symbols", "table", "problem"),
    [
        (np.array([32_768]), _zeros(1), "symbols are 32768 to 32768"),
        (np.array([-32_768]), _zeros(1), "symbols are -32768"),
        (np.array([0.5]), _zeros(1), "symbols are integers, got float64"),
        (_zeros(2), _zeros(3), r"\(2,\) symbols, but tables of \(3,\)"),
        (_zeros(1), np.array([64]), "table indices are 64 to 64.* 0 to 63"),
        (_zeros(1), np.array([-1]), "table indices are -1 to -1"),
        (_zeros(1), np.array([0.0]), r"integers \(N,\), got float64"),
        (np.zeros((1, 1), int), np.zeros((1, 1), int), r"\(N,\), got int64 \(1, 1\)"),
    ],
)
def test_input_that_cannot_be_coded_is_rejected(
    symbols: NDArray[np.int64], table: NDArray[np.int64], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        GroupEncoder().push(symbols, table, gaussian_tables())
    with pytest.raises(ValueError, match=r"(?s).*"):
        ideal_bits(symbols, table, gaussian_tables())
