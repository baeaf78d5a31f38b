"""Random symbols of the range coder, and small bitstreams."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spike_zoo.coding import BitstreamWriter, Header
from spike_zoo.coding.rans import GroupDecoder, GroupEncoder
from spike_zoo.coding.tables import SIGMAS, gaussian_tables

Symbols = tuple["NDArray[np.int32]", "NDArray[np.int32]"]


def random_symbols(count: int, seed: int = 0, escapes: float = 0.0) -> Symbols:
    """Return symbols and the table index of each, in 0..63; ``escapes`` is the share of escapes."""
    draws = np.random.default_rng(seed)
    table = draws.integers(0, 64, count, dtype=np.int32)
    symbols = np.round(draws.normal(size=count) * SIGMAS[table]).astype(np.int32)
    far = draws.random(count) < escapes
    symbols[far] = draws.integers(-32767, 32768, np.count_nonzero(far))
    return symbols, table


def encode_symbols(*parts: Symbols) -> bytes:
    """Encode symbols with the Gaussian tables and return the payload."""
    encoder = GroupEncoder()
    for symbols, table in parts:
        encoder.push(symbols, table, gaussian_tables())
    return encoder.finish()


def decode_symbols(payload: bytes, table: NDArray[np.int32], gop: int = 0) -> NDArray[np.int32]:
    """Decode a payload with the Gaussian tables; raise if its checksum is wrong."""
    decoder = GroupDecoder(payload, gop)
    symbols = decoder.pull(table, gaussian_tables())
    decoder.finish()
    return symbols


def small_header(groups: int, gop: int = 2) -> Header:
    """Return the header of a bitstream of ``groups`` groups; the last group has one frame."""
    planes = 13 + 7 * ((groups - 1) * gop)
    return Header(bytes(range(12)), 24, 32, planes, gop=gop, fps=20_000.0, rate_scale=0.5)


def bitstream(header: Header, payloads: Sequence[bytes]) -> bytes:
    """Return the bytes of a bitstream."""
    stream = io.BytesIO()
    with BitstreamWriter(stream, header) as writer:
        for payload in payloads:
            writer.append(payload)
    return stream.getvalue()
