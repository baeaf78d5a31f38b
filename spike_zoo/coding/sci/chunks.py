"""Groups of pictures as chunks of a ``.sci`` file, and where they are when the file is damaged."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from spike_zoo.coding.errors import (
    BitstreamError,
    CorruptBitstreamError,
    TruncatedBitstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from mmap import mmap

_HEAD: Final = struct.Struct("<II")  # length of the payload, checksum
_NUMBERED: Final = struct.Struct("<II")  # number of the group, length: what is summed up as well
HEAD_BYTES: Final = _HEAD.size
LEAST_PAYLOAD: Final = 8
MAX_PAYLOAD: Final = 1 << 28
_BLOCK = 1 << 20  # bytes that are looked through at once
_FOLLOWING = 6  # lengths that make sense one behind the other are no coincidence
_MOST_SUMMED_UP = 1 << 33  # bytes, some seconds: after so much in vain the search is given up
_POLYNOMIAL, _ONE, _ORDER = 0xEDB88320, 1 << 31, (1 << 32) - 1  # of CRC-32, lowest power first


class Chunk(NamedTuple):
    """A group of pictures in a file.

    Attributes:
        gop: Number of the group, counted from 0.
        start: Its first byte in the file.
        length: Bytes of its payload.
        checksum: CRC-32 of number, length and payload.
    """

    gop: int
    start: int
    length: int
    checksum: int

    @property
    def end(self) -> int:
        """Past its last byte in the file."""
        return self.start + HEAD_BYTES + self.length

    def payload(self, data: bytes | mmap) -> bytes:
        """Return its payload as it is in the file."""
        return data[self.start + HEAD_BYTES : self.end]

    @property
    def is_possible(self) -> bool:
        """Whether a payload can be so long."""
        return _is_length(self.length)

    def is_inside(self, data: bytes | mmap) -> bool:
        """Return whether it can be one, and lies in the file whole."""
        return self.is_possible and self.end <= len(data)

    def fits(self, data: bytes | mmap) -> bool:
        """Return whether it lies in the file whole, and its checksum is that of its payload."""
        if not self.is_inside(data):
            return False
        return _checksum(self.gop, self.payload(data)) == self.checksum


def pack_chunk(gop: int, payload: bytes) -> bytes:
    """Return a chunk's bytes.

    Raises:
        ValueError: If no payload is so long.
    """
    if not _is_length(len(payload)):
        raise ValueError(
            f"a payload of {len(payload)} bytes; it is even, from {LEAST_PAYLOAD} to {MAX_PAYLOAD}"
        )
    return _HEAD.pack(len(payload), _checksum(gop, payload)) + payload


def read_chunk(data: bytes | mmap, gop: int, start: int) -> Chunk | None:
    """Return what lies at a place of the file; None where it ends before a chunk's length."""
    if start + HEAD_BYTES > len(data):
        return None
    return Chunk(gop, start, *_HEAD.unpack_from(data, start))


class Salvage:
    """All chunks of a file whose checksums fit, and what is wrong with the rest.

    Where a chunk's length cannot be trusted the file is searched for the next one.

    Args:
        data: The file.
        begin: Where its first chunk should be.
        groups: How many there should be.
        path: The file's name, for errors.

    Attributes:
        chunks: The whole ones by the number of their group, in order.
        errors: One for each place that is damaged.
    """

    def __init__(self, data: bytes | mmap, begin: int, groups: int, path: str | None) -> None:
        self.chunks: dict[int, Chunk] = {}
        self.errors: list[BitstreamError] = []
        self._data, self._groups, self._path = data, groups, path
        place, gop = begin, 0
        while gop < groups:
            chunk = read_chunk(data, gop, place)
            if chunk is None or not chunk.fits(data):
                found = next_chunk(data, chunk, (place, gop), groups)
                if found is None:
                    self._give_up(place, gop)
                    return
                self.errors.append(corrupt(gop, (place, found.start), path, upto=found.gop))
                chunk = found
            self.chunks[chunk.gop] = chunk
            place, gop = chunk.end, chunk.gop + 1
        if place < len(data):
            self.errors.append(trailing(place, data, path))

    def _give_up(self, place: int, gop: int) -> None:
        """Say what is wrong with the rest of the file, in which no chunk is whole."""
        while gop < self._groups:
            chunk = read_chunk(self._data, gop, place)
            if chunk is None or not chunk.is_inside(self._data):
                last = max(self.chunks, default=-1)
                self.errors.append(cut_or_corrupt(chunk, (gop, last), self._data, self._path))
                return
            self.errors.append(corrupt(gop, (place, chunk.end), self._path))
            place, gop = chunk.end, gop + 1


def next_chunk(
    data: bytes | mmap, damaged: Chunk | None, place: tuple[int, int], groups: int
) -> Chunk | None:
    """Return the next whole chunk behind a damaged one.

    Args:
        data: The file.
        damaged: What lies there.
        place: Where, and the number of the group that should be there.
        groups: How many groups the file should have.

    Returns:
        The chunk that follows where the damaged one's own length is right, else the first at any
        place whose length and checksum fit; None without one.
    """
    begin, least = place
    if damaged is not None and damaged.gop + 1 < groups:
        following = read_chunk(data, damaged.gop + 1, damaged.end)
        if following is not None and following.fits(data):
            return following
    # In a large file many places could be lengths, and to sum up all that they span takes minutes.
    # So first comes what several others follow; what lies before that can only be short.
    starts = _possible_starts(data, begin, len(data))
    followed = (start for start in starts if _is_followed(data, start))
    anchor = _first_whole(data, followed, range(least, groups))
    limit = len(data) if anchor is None else anchor.start
    return _first_whole(data, _possible_starts(data, begin, limit), range(least, groups)) or anchor


def corrupt(
    gop: int, byte_range: tuple[int, int], path: str | None, *, upto: int = 0
) -> CorruptBitstreamError:
    """Return the error of a damaged group, or of several up to one that is whole."""
    groups = f"group of pictures {gop}"
    if upto > gop + 1:
        groups = f"groups of pictures {gop} to {upto - 1}"
    return CorruptBitstreamError(
        f"{path or 'the bitstream'}: {groups} damaged (bytes {byte_range[0]} to "
        f"{byte_range[1] - 1}); copy the file again, or decode the others (--salvage)",
        gop=gop,
        byte_range=byte_range,
        path=path,
    )


def cut_or_corrupt(
    chunk: Chunk | None, groups: tuple[int, int], data: bytes | mmap, path: str | None
) -> BitstreamError:
    """Return the error of a file in which no chunk is whole from some place on.

    Args:
        chunk: What lies there.
        groups: Which group should be there, and the last intact one; -1 if there is no such group.
        data: The file.
        path: Its name.
    """
    gop, last = groups
    if chunk is not None and not chunk.is_possible:
        return corrupt(gop, (chunk.start, len(data)), path)
    whole = f"groups up to {last} are whole" if last >= 0 else "no group is whole"
    return TruncatedBitstreamError(
        f"{path or 'the bitstream'}: ends after {len(data)} bytes, within group of pictures {gop}; "
        f"{whole}. Copy the file again, or decode those (--salvage)",
        last_complete_gop=last,
        path=path,
    )


def trailing(place: int, data: bytes | mmap, path: str | None) -> CorruptBitstreamError:
    """Return the error of a file that goes on after its last group."""
    return CorruptBitstreamError(
        f"{path or 'the bitstream'}: {len(data) - place} bytes follow the last group of pictures; "
        "copy the file again, or decode what comes before (--salvage)",
        byte_range=(place, len(data)),
        path=path,
    )


def _is_length(length: int) -> bool:
    return LEAST_PAYLOAD <= length <= MAX_PAYLOAD and length % 2 == 0


def _checksum(gop: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_NUMBERED.pack(gop, len(payload))))


def _first_whole(data: bytes | mmap, starts: Iterable[int], gops: range) -> Chunk | None:
    """Return the first chunk that is whole and of one of some groups."""
    summed_up = 0
    for start in starts:
        length, checksum = _HEAD.unpack_from(data, start)
        chunk = Chunk(0, start, length, checksum)
        gop = _number(checksum ^ _checksum(0, chunk.payload(data)), length)
        if gop in gops:
            return chunk._replace(gop=gop)
        summed_up += length
        if summed_up > _MOST_SUMMED_UP:
            return None
    return None


def _possible_starts(data: bytes | mmap, begin: int, limit: int) -> Iterator[int]:
    """Yield every place at which a chunk of its length would end before a limit."""
    last = limit - HEAD_BYTES - LEAST_PAYLOAD
    for block in range(begin, last + 1, _BLOCK):
        starts = np.arange(block, min(block + _BLOCK, last + 1))
        raw = np.frombuffer(data, np.uint8, len(starts) + 3, block).astype(np.int64)
        lengths = raw[:-3] | raw[1:-2] << 8 | raw[2:-1] << 16 | raw[3:] << 24
        is_length = (lengths >= LEAST_PAYLOAD) & (lengths <= MAX_PAYLOAD) & (lengths % 2 == 0)
        yield from starts[is_length & (starts + HEAD_BYTES + lengths <= limit)].tolist()


def _is_followed(data: bytes | mmap, start: int) -> bool:
    """Return whether lengths lead from a place to several others, or to the end of the file."""
    for _ in range(_FOLLOWING):
        chunk = read_chunk(data, 0, start)
        if chunk is None or not chunk.is_inside(data):
            return False
        start = chunk.end
        if start == len(data):
            return True
    return True


def _number(difference: int, length: int) -> int:
    """Return the group whose number alone changes a chunk's checksum by so much.

    A checksum is a remainder of polynomials, so the number in front counts ``x`` to the power of
    the bits from there to the end, which can be divided out again: no number has to be tried.
    """
    power = -8 * (4 + 4 + length) % _ORDER
    for bit in range(power.bit_length()):
        if power >> bit & 1:
            difference = _times(difference, _squared(bit))
    return difference


@cache
def _squared(times: int) -> int:
    """Return ``x`` squared so many times."""
    return _ONE >> 1 if times == 0 else _times(_squared(times - 1), _squared(times - 1))


def _times(one: int, other: int) -> int:
    """Return a product of polynomials over two elements, modulo that of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product
