"""Recovery of intact chunks from damaged ``.sci`` files."""

import itertools
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.coding.chunks import Chunks, mapped_file, pack_chunk
from spike_zoo.coding.errors import TruncatedBitstreamError

DRAWS = np.random.default_rng(0)
PAYLOADS = [DRAWS.bytes(2 * int(half)) for half in DRAWS.integers(4, 60, 6)]
PARTS = [pack_chunk(gop, payload) for gop, payload in enumerate(PAYLOADS)]


def _with_length(part: bytes, length: int) -> bytes:
    return struct.pack("<I", length) + part[4:]


def test_a_chunk_between_noise_is_found_with_its_number() -> None:
    for gop in (0, 255, 70_000, 2**32 - 1):
        noise = DRAWS.bytes(301)
        data = noise + pack_chunk(gop, PAYLOADS[0]) + noise
        chunks = Chunks(data, 0, 2**32, None)
        chunks.salvage()
        assert list(chunks) == [gop]
        assert (chunks.locate(gop).start, chunks.payload(gop)) == (301, PAYLOADS[0])
        beyond = Chunks(data, 0, gop, None)
        beyond.salvage()
        assert list(beyond) == [], "the number is beyond the last chunk"


@pytest.mark.parametrize("length", [6, 10, 2**32 - 1])
def test_wrong_lengths_lose_only_their_groups(length: int) -> None:
    indices = range(len(PARTS))
    for lost in itertools.chain(*(itertools.combinations(indices, n) for n in range(7))):
        data = b"".join(_with_length(p, length) if k in lost else p for k, p in enumerate(PARTS))
        chunks = Chunks(data, 0, len(PARTS), None)
        errors = chunks.salvage()
        payloads = {gop: chunks.payload(gop) for gop in chunks}
        assert payloads == {gop: payload for gop, payload in enumerate(PAYLOADS) if gop not in lost}
        assert bool(errors) == bool(lost)


def test_missing_or_extra_bytes_lose_no_other_group() -> None:
    for data, whole in (
        (PARTS[0] + PARTS[1][:-5] + b"".join(PARTS[2:]), {0, 2, 3, 4, 5}),
        (PARTS[0] + PARTS[4] + PARTS[5], {0, 4, 5}),
        (b"x" + b"abc".join(PARTS), {0, 1, 2, 3, 4, 5}),
        (PARTS[0] + b"".join(PARTS), {0, 1, 2, 3, 4, 5}),
    ):
        chunks = Chunks(data, 0, len(PARTS), None)
        assert chunks.salvage()
        assert set(chunks) == whole


def test_a_file_that_is_truncated_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.spl"
    path.write_bytes(b"".join(PARTS))
    chunks = Chunks(mapped_file(path), 0, len(PARTS), str(path))
    assert chunks.payload(0) == PAYLOADS[0]
    os.truncate(path, 100)
    with pytest.raises(TruncatedBitstreamError, match=r"a\.spl: was truncated to 100 of"):
        chunks.payload(1)


def test_a_large_file_is_salvaged_within_two_seconds() -> None:
    parts = [pack_chunk(gop, DRAWS.bytes(20_000)) for gop in range(1_000)]
    noise = [DRAWS.bytes(20_011) for _ in range(3)]
    data = b"".join(parts[:3] + noise + parts[6:])
    begin = time.perf_counter()
    chunks = Chunks(data, 0, len(parts), None)
    (error,) = chunks.salvage()
    assert time.perf_counter() - begin < 2  # takes 0.1 s
    assert set(chunks) == {0, 1, 2, *range(6, 1_000)}
    assert "groups of pictures 3 to 5 damaged (bytes 60024 to 120056)" in str(error)


HOSTILE = {
    "lengths of 8": b"\x08\0\0\0",
    "lengths of 8, and what looks like other lengths": b"\x08\0\0\0\0\x10\0\0",
    "lengths of a megabyte": b"\0\0\x10\0",
    "odd lengths": b"\x09\0\0\0",
    "chunks followed by noise": PARTS[0] + b"noise",
}


@pytest.mark.slow
@pytest.mark.parametrize("pattern", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_searched_in_limited_time(pattern: bytes) -> None:
    data = pattern * (20_000_000 // len(pattern))
    begin = time.perf_counter()
    assert Chunks(data, 0, 2**32 - 1, None).salvage()
    assert time.perf_counter() - begin < 20  # takes 0.1 to 3 s; an earlier version took 40 minutes
