"""Chunks of ``.sci`` and ``.spl`` files, and recovery of intact chunks from damaged files."""

from __future__ import annotations

import struct
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from spike_zoo.coding.errors import (
    BitstreamError,
    CorruptBitstreamError,
    TruncatedBitstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from mmap import mmap

    from numpy.typing import NDArray

_HEAD: Final = struct.Struct("<II")  # length of the payload, checksum
_NUMBERED: Final = struct.Struct("<II")  # number of the group, length: part of the checksum
HEAD_BYTES: Final = _HEAD.size
LEAST_PAYLOAD: Final = 8
MAX_PAYLOAD: Final = 1 << 28
_BLOCKS: Final = (1 << 12, 1 << 20)  # first and largest block of the search, in bytes
_FOLLOWING: Final = 6  # consecutive plausible lengths that distinguish a chunk from random bytes
_POLYNOMIAL, _ONE, _ORDER = 0xEDB88320, 1 << 31, (1 << 32) - 1  # of CRC-32, lowest power first
# Limits of the search in a damaged file: searches, candidates and bytes of checksums without a
# match. They bound the search to some seconds for any content.
_MOST_SEARCHES, _MOST_CANDIDATES, _MOST_BYTES = 1 << 12, 1 << 15, 1 << 32


class Chunk(NamedTuple):
    """A group of pictures in a file.

    Attributes:
        gop: Number of the group, counted from 0.
        start: Offset of the first byte in the file.
        length: Bytes of the payload.
        checksum: CRC-32 of number, length and payload, continued from the file's seed.
    """

    gop: int
    start: int
    length: int
    checksum: int

    @property
    def end(self) -> int:
        """Offset after the last byte in the file."""
        return self.start + HEAD_BYTES + self.length

    def payload(self, data: bytes | mmap) -> bytes:
        """Return the payload from the file, unchecked."""
        return data[self.start + HEAD_BYTES : self.end]

    @property
    def is_possible(self) -> bool:
        """Whether the length is valid for a payload."""
        return _is_length(self.length)

    def is_inside(self, data: bytes | mmap) -> bool:
        """Return whether the length is valid and the chunk ends inside the file."""
        return self.is_possible and self.end <= len(data)

    def fits(self, data: bytes | mmap, seed: int = 0) -> bool:
        """Return whether the chunk ends inside the file and its checksum matches."""
        if not self.is_inside(data):
            return False
        return _checksum(self.gop, self.payload(data), seed) == self.checksum


def pack_chunk(gop: int, payload: bytes, seed: int = 0) -> bytes:
    """Return the bytes of a chunk.

    Args:
        gop: Number of the group.
        payload: Coded symbols of the group.
        seed: Initial value of the checksum. The header's checksum makes chunks of other files
            invalid.

    Raises:
        ValueError: If the length of the payload is invalid.
    """
    if not _is_length(len(payload)):
        raise ValueError(
            f"a payload of {len(payload)} bytes: its length must be even, from {LEAST_PAYLOAD} to "
            f"{MAX_PAYLOAD}"
        )
    return _HEAD.pack(len(payload), _checksum(gop, payload, seed)) + payload


def read_chunk(data: bytes | mmap, gop: int, start: int) -> Chunk | None:
    """Return the chunk at an offset, unchecked; None if the file ends within the chunk's head."""
    if start + HEAD_BYTES > len(data):
        return None
    return Chunk(gop, start, *_HEAD.unpack_from(data, start))


class Salvage:
    """Intact chunks of a damaged file, and errors for the rest.

    If a chunk is damaged, the file is searched for the next intact one. Chunks may be out of
    order.

    Args:
        data: The file.
        begin: Expected offset of the first chunk.
        groups: Expected number of chunks.
        path: Name of the file, for errors.
        seed: Initial value of the checksums, as for :func:`pack_chunk`.

    Attributes:
        chunks: Intact chunks by number of the group, sorted.
        errors: One for each damaged range of bytes and each missing range of groups.
    """

    def __init__(
        self, data: bytes | mmap, begin: int, groups: int, path: str | None, seed: int = 0
    ) -> None:
        self.errors: list[BitstreamError] = []
        self._data, self._groups, self._path = data, groups, path
        self._gaps: list[tuple[int, range]] = []  # expected group and bytes without a chunk
        search, intact = ChunkSearch(data, groups, seed), dict[int, Chunk]()
        place, gop = begin, 0
        while place < len(data) and len(intact) < groups:
            chunk = search.at(place, gop) or search.next(place, gop)
            if chunk is None:
                break
            if chunk.start > place:
                self._gaps.append((gop, range(place, chunk.start)))
            if chunk.gop in intact:
                self._gaps.append((groups, range(chunk.start, chunk.end)))
            intact.setdefault(chunk.gop, chunk)
            place, gop = chunk.end, chunk.gop + 1
        self.chunks = dict(sorted(intact.items()))
        self._report_missing()
        if max(self.chunks, default=-1) < groups - 1:
            self._report_rest(place, max(self.chunks, default=-1) + 1)
        elif place < len(data):
            self.errors.append(trailing_bytes_error(place, data, path))

    def _report_missing(self) -> None:
        """Report spare bytes, and groups before the last intact one that are damaged or missing."""
        before, gaps = -1, dict(self._gaps)
        for gop in self.chunks:
            if gop > before + 1:
                lost = range(before + 1, gop)
                self.errors.append(damaged_error(lost, gaps.pop(lost.start, None), self._path))
            before = gop
        gaps = {gop: gap for gop, gap in gaps.items() if gop <= before or gop == self._groups}
        self.errors += [spare_bytes_error(gap, self._path) for gap in gaps.values()]

    def _report_rest(self, place: int, gop: int) -> None:
        """Report the rest of the file, which has no intact chunk."""
        start, first = place, gop
        chunk = read_chunk(self._data, gop, place)
        while chunk is not None and chunk.is_inside(self._data) and gop < self._groups:
            if gop - first == _MOST_CANDIDATES:
                break
            place, gop = chunk.end, gop + 1
            chunk = read_chunk(self._data, gop, place)
        if gop > first:
            self.errors.append(damaged_error(range(first, gop), range(start, place), self._path))
        if gop < self._groups:
            last = max(self.chunks, default=-1)
            self.errors.append(incomplete_chunk_error(chunk, (gop, last), self._data, self._path))


class ChunkSearch:
    """Search a damaged file for intact chunks, in bounded time for any content.

    Args:
        data: The file.
        groups: Expected number of groups.
        seed: Initial value of the checksums, as for :func:`pack_chunk`.
    """

    def __init__(self, data: bytes | mmap, groups: int, seed: int = 0) -> None:
        self._data, self._groups, self._seed = data, groups, seed
        self._searches, self._candidates, self._bytes = (
            _MOST_SEARCHES,
            _MOST_CANDIDATES,
            _MOST_BYTES,
        )
        self._no_anchor_from = len(data)

    def at(self, place: int, gop: int) -> Chunk | None:
        """Return the intact chunk at an offset, of the expected group or any other; else None."""
        chunk = read_chunk(self._data, gop, place)
        if chunk is None or not chunk.is_inside(self._data):
            return None
        return chunk if self._fits(chunk) else self._first_intact([place], range(self._groups))

    def next(self, place: int, gop: int) -> Chunk | None:
        """Return the next intact chunk after a damaged one.

        Args:
            place: Offset of the damaged chunk.
            gop: Expected number of the damaged chunk's group.

        Returns:
            The following chunk if the damaged chunk's length is correct; else the first chunk of
            this or a later group whose length and checksum are valid; None if none exists or a
            limit of the search is reached.
        """
        chunk = read_chunk(self._data, gop, place)
        if chunk is not None and gop + 1 < self._groups:
            following = read_chunk(self._data, gop + 1, chunk.end)
            if following is not None and self._fits(following):
                return following
        if not self._searches:
            return None
        self._searches -= 1
        # In a large file many offsets look like lengths, and checksums of all candidates take
        # minutes. So first search for a chunk that several others follow (the anchor), then
        # the short range before the anchor.
        later, anchor = range(gop, self._groups), None
        if place < self._no_anchor_from:
            anchor = self._first_intact(self._starts(place, len(self._data), _FOLLOWING), later)
            if anchor is None:
                self._no_anchor_from = place
        limit = len(self._data) if anchor is None else anchor.start
        return self._first_intact(self._starts(place, limit), later) or anchor

    def _fits(self, chunk: Chunk) -> bool:
        """Return whether a chunk is intact; False if the limit of checked bytes is reached."""
        if chunk.length > self._bytes:
            return False
        if chunk.fits(self._data, self._seed):
            return True
        self._bytes -= chunk.length if chunk.is_inside(self._data) else 0
        return False

    def _first_intact(self, starts: Iterable[int], gops: range) -> Chunk | None:
        """Return the first intact chunk at the given offsets whose group is in ``gops``."""
        for start in starts:
            length, checksum = _HEAD.unpack_from(self._data, start)
            if not self._candidates or length > self._bytes:
                return None
            self._candidates, self._bytes = self._candidates - 1, self._bytes - length
            chunk = Chunk(0, start, length, checksum)
            of_group_0 = _checksum(0, chunk.payload(self._data), self._seed)
            gop = _product(checksum ^ of_group_0, _number_factor(length))
            if gop in gops:
                return chunk._replace(gop=gop)
        return None

    def _starts(self, begin: int, limit: int, following: int = 0) -> Iterator[int]:
        """Yield every offset whose bytes are a valid length of a chunk that ends before a limit.

        Args:
            begin: The first offset.
            limit: The end of the last chunk.
            following: Number of consecutive chunks with valid lengths that must start there;
                fewer if they end at the end of the file.
        """
        last, size = limit - HEAD_BYTES - LEAST_PAYLOAD, _BLOCKS[0]
        data = np.frombuffer(self._data, np.uint8)
        while begin <= last:
            starts = np.arange(begin, min(begin + size, last + 1))
            ends = _chunk_ends(data, starts, limit)
            for step in range(max(1, following)):
                if step:
                    ends = np.where(ends == len(data), ends, _chunk_ends(data, ends, limit))
                starts, ends = starts[ends > 0], ends[ends > 0]
            yield from starts.tolist()
            begin, size = begin + size, min(2 * size, _BLOCKS[1])


def damaged_error(groups: range, gap: range | None, path: str | None) -> CorruptBitstreamError:
    """Return the error for groups that are damaged, or missing if ``gap`` is None.

    Args:
        groups: The expected groups.
        gap: Bytes between the neighbouring intact chunks; None if there are none.
        path: Name of the file.
    """
    name = f"group of pictures {groups.start}"
    if len(groups) > 1:
        name = f"groups of pictures {groups.start} to {groups.stop - 1}"
    state = f"damaged (bytes {gap.start} to {gap.stop - 1})" if gap else "missing"
    return CorruptBitstreamError(
        f"{path or 'the bitstream'}: {name} {state}; copy the file again, or decode the others "
        "(--salvage)",
        gop=groups.start,
        byte_range=(gap.start, gap.stop) if gap else (0, 0),
        path=path,
    )


def spare_bytes_error(gap: range, path: str | None) -> CorruptBitstreamError:
    """Return the error for bytes that belong to no group or repeat a group; no group is lost."""
    return CorruptBitstreamError(
        f"{path or 'the bitstream'}: bytes {gap.start} to {gap.stop - 1} are no group of pictures "
        "of this file, or repeat one; no group is lost",
        byte_range=(gap.start, gap.stop),
        path=path,
    )


def incomplete_chunk_error(
    chunk: Chunk | None, groups: tuple[int, int], data: bytes | mmap, path: str | None
) -> BitstreamError:
    """Return the error for a file without a complete chunk after some offset.

    Args:
        chunk: The chunk at the offset, unchecked.
        groups: The expected group, and the last intact one (-1 if none exists).
        data: The file.
        path: Name of the file.
    """
    gop, last = groups
    if chunk is not None and not chunk.is_possible:
        return damaged_error(range(gop, gop + 1), range(chunk.start, len(data)), path)
    complete = f"groups up to {last} are complete" if last >= 0 else "no group is complete"
    return TruncatedBitstreamError(
        f"{path or 'the bitstream'}: ends after {len(data)} bytes, within group of pictures {gop}; "
        f"{complete}. Copy the file again, or decode the complete groups (--salvage)",
        last_complete_gop=last,
        path=path,
    )


def trailing_bytes_error(place: int, data: bytes | mmap, path: str | None) -> CorruptBitstreamError:
    """Return the error for bytes after the last group."""
    return CorruptBitstreamError(
        f"{path or 'the bitstream'}: {len(data) - place} bytes follow the last group of pictures; "
        "copy the file again, or decode the groups before them (--salvage)",
        byte_range=(place, len(data)),
        path=path,
    )


def _is_length(length: int) -> bool:
    return LEAST_PAYLOAD <= length <= MAX_PAYLOAD and length % 2 == 0


def _checksum(gop: int, payload: bytes, seed: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_NUMBERED.pack(gop, len(payload)), seed))


def _chunk_ends(data: NDArray[np.uint8], starts: NDArray[Any], limit: int) -> NDArray[Any]:
    """Return the ends of the chunks whose lengths are at ``starts``; 0 for invalid lengths."""
    is_inside = starts + HEAD_BYTES + LEAST_PAYLOAD <= limit
    places = np.where(is_inside, starts, 0)
    lengths = sum(data[places + k].astype(np.int64) << 8 * k for k in range(4))
    ends = starts + HEAD_BYTES + lengths
    is_length = (lengths >= LEAST_PAYLOAD) & (lengths <= MAX_PAYLOAD) & (lengths % 2 == 0)
    return np.where(is_inside & is_length & (ends <= limit), ends, 0)


@lru_cache(maxsize=1 << 16)
def _number_factor(length: int) -> int:
    """Return the factor that turns a difference of two checksums into the number of the group.

    A CRC is linear over GF(2). The leading number contributes itself times ``x`` to the power of
    the bits from there to the end. Dividing by that power yields the number without trying all.
    """
    power, factor = -8 * (4 + 4 + length) % _ORDER, _ONE
    for bit in range(power.bit_length()):
        if power >> bit & 1:
            factor = _product(factor, _power_of_x(bit))
    return factor


@cache
def _power_of_x(exponent: int) -> int:
    """Return ``x`` to the power of ``2**exponent``, modulo the polynomial of CRC-32."""
    if exponent == 0:
        return _ONE >> 1
    return _product(_power_of_x(exponent - 1), _power_of_x(exponent - 1))


def _product(left: int, right: int) -> int:
    """Return the product of two polynomials over GF(2), modulo the polynomial of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product
