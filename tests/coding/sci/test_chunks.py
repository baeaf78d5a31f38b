"""Recovery of intact chunks from damaged ``.sci`` files."""

from __future__ import annotations

import itertools
import struct
import time

import numpy as np
import pytest

from spike_zoo.coding.sci.chunks import ChunkSearch, Salvage, pack_chunk

DRAWS = np.random.default_rng(0)
PAYLOADS = [DRAWS.bytes(2 * int(half)) for half in DRAWS.integers(4, 60, 6)]
PARTS = [pack_chunk(gop, payload) for gop, payload in enumerate(PAYLOADS)]


def _with_length(part: bytes, length: int) -> bytes:
    return struct.pack("<I", length) + part[4:]


@pytest.mark.parametrize("gop", [0, 1, 255, 70_000, 2**31 + 5, 2**32 - 1])
def test_a_chunk_between_noise_is_found_with_its_number(gop: int) -> None:
    noise = DRAWS.bytes(301)
    data = noise + pack_chunk(gop, PAYLOADS[0]) + noise
    chunk = ChunkSearch(data, 2**32).next(0, 0)
    assert chunk is not None
    assert (chunk.gop, chunk.start, chunk.payload(data)) == (gop, 301, PAYLOADS[0])
    assert ChunkSearch(data, 2**32).next(0, gop + 1) is None, "group numbers increase"
    assert ChunkSearch(data, gop).next(0, 0) is None, "the number is beyond the last group"


@pytest.mark.parametrize("length", [0, 6, 10, 2**27, 2**32 - 1])
def test_wrong_lengths_lose_only_their_groups(length: int) -> None:
    indices = range(len(PARTS))
    for lost in itertools.chain(*(itertools.combinations(indices, n) for n in range(7))):
        data = b"".join(_with_length(p, length) if k in lost else p for k, p in enumerate(PARTS))
        salvage = Salvage(data, 0, len(PARTS), None)
        payloads = {gop: chunk.payload(data) for gop, chunk in salvage.chunks.items()}
        assert payloads == {gop: payload for gop, payload in enumerate(PAYLOADS) if gop not in lost}
        assert bool(salvage.errors) == bool(lost)


def test_missing_or_extra_bytes_lose_no_other_group() -> None:
    for data, whole in (
        (PARTS[0] + PARTS[1][:-5] + b"".join(PARTS[2:]), {0, 2, 3, 4, 5}),
        (PARTS[0] + PARTS[4] + PARTS[5], {0, 4, 5}),
        (b"x" + b"abc".join(PARTS), {0, 1, 2, 3, 4, 5}),
        (PARTS[0] + b"".join(PARTS), {0, 1, 2, 3, 4, 5}),
    ):
        salvage = Salvage(data, 0, len(PARTS), None)
        assert set(salvage.chunks) == whole
        assert salvage.errors


def test_a_large_file_is_salvaged_within_two_seconds() -> None:
    parts = [pack_chunk(gop, DRAWS.bytes(20_000)) for gop in range(1_000)]
    noise = [DRAWS.bytes(20_011) for _ in range(3)]
    data = b"".join(parts[:3] + noise + parts[6:])
    begin = time.perf_counter()
    salvage = Salvage(data, 0, len(parts), None)
    assert (
        time.perf_counter() - begin < 2
    )  # takes 0.2 s; 3.6 s with the checksum of every candidate
    assert set(salvage.chunks) == {0, 1, 2, *range(6, 1_000)}
    (error,) = salvage.errors
    assert "groups of pictures 3 to 5 damaged (bytes 60024 to 120056)" in str(error)


HOSTILE = {
    "lengths of 8": b"\x08\0\0\0",
    "lengths of 8, and what looks like other lengths": b"\x08\0\0\0\0\x10\0\0",
    "lengths of a megabyte": b"\0\0\x10\0",
    "odd lengths": b"\x09\0\0\0",
    "chunks followed by noise": PARTS[0] + b"noise",
}


@pytest.mark.parametrize("pattern", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_searched_in_limited_time(pattern: bytes) -> None:
    data = pattern * (20_000_000 // len(pattern))
    begin = time.perf_counter()
    salvage = Salvage(data, 0, 2**32 - 1, None)
    assert time.perf_counter() - begin < 20  # takes 0.1 to 3 s; an earlier version took 40 minutes
    assert salvage.errors
