"""Groups of pictures as chunks of a ``.sci`` file, and where they are when the file is damaged."""

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
_NUMBERED: Final = struct.Struct("<II")  # number of the group, length: what is summed up as well
HEAD_BYTES: Final = _HEAD.size
LEAST_PAYLOAD: Final = 8
MAX_PAYLOAD: Final = 1 << 28
_BLOCKS: Final = (1 << 12, 1 << 20)  # bytes that are searched at once, first and at most
_FOLLOWING: Final = 6  # lengths that lead from one chunk to the next are no coincidence
_POLYNOMIAL, _ONE, _ORDER = 0xEDB88320, 1 << 31, (1 << 32) - 1  # of CRC-32, lowest power first
# A search for chunks of a damaged file ends after so many searches, candidates and bytes of
# checksums in vain: some seconds, whatever the file contains.
_MOST_SEARCHES, _MOST_CANDIDATES, _MOST_BYTES = 1 << 12, 1 << 15, 1 << 32


class Chunk(NamedTuple):
    """A group of pictures in a file.

    Attributes:
        gop: Number of the group, counted from 0.
        start: Its first byte in the file.
        length: Bytes of its payload.
        checksum: CRC-32 of number, length and payload, continued from the file's seed.
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

    def fits(self, data: bytes | mmap, seed: int = 0) -> bool:
        """Return whether it lies in the file whole, and its checksum is that of its payload."""
        if not self.is_inside(data):
            return False
        return _checksum(self.gop, self.payload(data), seed) == self.checksum


def pack_chunk(gop: int, payload: bytes, seed: int = 0) -> bytes:
    """Return a chunk's bytes.

    Args:
        gop: Number of the group.
        payload: Its coded symbols.
        seed: Start of the checksum, such as that of the header: chunks of another file do not fit.

    Raises:
        ValueError: If no payload can have this length.
    """
    if not _is_length(len(payload)):
        raise ValueError(
            f"a payload of {len(payload)} bytes; it is even, from {LEAST_PAYLOAD} to {MAX_PAYLOAD}"
        )
    return _HEAD.pack(len(payload), _checksum(gop, payload, seed)) + payload


def read_chunk(data: bytes | mmap, gop: int, start: int) -> Chunk | None:
    """Return what lies at a place of the file; None where it ends before a chunk's length."""
    if start + HEAD_BYTES > len(data):
        return None
    return Chunk(gop, start, *_HEAD.unpack_from(data, start))


class Salvage:
    """All chunks of a file whose checksums fit, and what is wrong with the rest.

    Where a chunk's length cannot be trusted the file is searched for the next one. A group that
    lies elsewhere in the file is taken from there.

    Args:
        data: The file.
        begin: Where its first chunk should be.
        groups: How many there should be.
        path: The file's name, for errors.
        seed: See :func:`pack_chunk`.

    Attributes:
        chunks: The intact ones by the number of their group, in order.
        errors: One for each place that is damaged, and each range of groups that is missing.
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
            self.errors.append(trailing(place, data, path))

    def _report_missing(self) -> None:
        """Report groups before the last intact one that are damaged or missing, and spare bytes."""
        before, gaps = -1, dict(self._gaps)
        for gop in self.chunks:
            if gop > before + 1:
                lost = range(before + 1, gop)
                self.errors.append(damaged(lost, gaps.pop(lost.start, None), self._path))
            before = gop
        gaps = {gop: gap for gop, gap in gaps.items() if gop <= before or gop == self._groups}
        self.errors += [spare(gap, self._path) for gap in gaps.values()]

    def _report_rest(self, place: int, gop: int) -> None:
        """Report the rest of the file, in which no chunk is intact."""
        start, first = place, gop
        chunk = read_chunk(self._data, gop, place)
        while chunk is not None and chunk.is_inside(self._data) and gop < self._groups:
            if gop - first == _MOST_CANDIDATES:
                break
            place, gop = chunk.end, gop + 1
            chunk = read_chunk(self._data, gop, place)
        if gop > first:
            self.errors.append(damaged(range(first, gop), range(start, place), self._path))
        if gop < self._groups:
            last = max(self.chunks, default=-1)
            self.errors.append(cut_or_corrupt(chunk, (gop, last), self._data, self._path))


class ChunkSearch:
    """Find intact chunks of a damaged file, in time that is limited whatever the file contains.

    Args:
        data: The file.
        groups: How many groups it should have.
        seed: See :func:`pack_chunk`.
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
        """Return the intact chunk at a place, of the expected group or of another one."""
        chunk = read_chunk(self._data, gop, place)
        if chunk is None or not chunk.is_inside(self._data):
            return None
        return chunk if self._fits(chunk) else self._first_intact([place], range(self._groups))

    def next(self, place: int, gop: int) -> Chunk | None:
        """Return the next intact chunk after a damaged one.

        Args:
            place: Where the damaged chunk is.
            gop: The number of the group that should be there.

        Returns:
            The chunk that follows where the damaged one's own length is right, else the first one
            of this or a later group whose length and checksum fit; None if there is none, or the
            search is given up.
        """
        chunk = read_chunk(self._data, gop, place)
        if chunk is not None and gop + 1 < self._groups:
            following = read_chunk(self._data, gop + 1, chunk.end)
            if following is not None and self._fits(following):
                return following
        if not self._searches:
            return None
        self._searches -= 1
        # In a large file many places could be lengths, and checksums of all that they span take
        # minutes. So first comes what several others follow; what lies before that is short.
        later, anchor = range(gop, self._groups), None
        if place < self._no_anchor_from:
            anchor = self._first_intact(self._starts(place, len(self._data), _FOLLOWING), later)
            if anchor is None:
                self._no_anchor_from = place
        limit = len(self._data) if anchor is None else anchor.start
        return self._first_intact(self._starts(place, limit), later) or anchor

    def _fits(self, chunk: Chunk) -> bool:
        """Return whether a chunk is intact; False if too many bytes were checked in vain."""
        if chunk.length > self._bytes:
            return False
        if chunk.fits(self._data, self._seed):
            return True
        self._bytes -= chunk.length if chunk.is_inside(self._data) else 0
        return False

    def _first_intact(self, starts: Iterable[int], gops: range) -> Chunk | None:
        """Return the first chunk that is intact and of one of some groups."""
        for start in starts:
            length, checksum = _HEAD.unpack_from(self._data, start)
            if not self._candidates or length > self._bytes:
                return None
            self._candidates, self._bytes = self._candidates - 1, self._bytes - length
            chunk = Chunk(0, start, length, checksum)
            of_first = _checksum(0, chunk.payload(self._data), self._seed)
            gop = _times(checksum ^ of_first, _number_factor(length))
            if gop in gops:
                return chunk._replace(gop=gop)
        return None

    def _starts(self, begin: int, limit: int, following: int = 0) -> Iterator[int]:
        """Yield every place at which a chunk of its length would end before a limit.

        Args:
            begin: The first place.
            limit: The end of the last chunk.
            following: Number of chunks, or the end of the file, to which lengths must lead.
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


def damaged(groups: range, gap: range | None, path: str | None) -> CorruptBitstreamError:
    """Return the error of groups that are damaged, or missing where no bytes lie between others.

    Args:
        groups: The groups that were expected.
        gap: The bytes between the intact chunks around them; None without any.
        path: Name of the file.
    """
    named = f"group of pictures {groups.start}"
    if len(groups) > 1:
        named = f"groups of pictures {groups.start} to {groups.stop - 1}"
    state = f"damaged (bytes {gap.start} to {gap.stop - 1})" if gap else "missing"
    return CorruptBitstreamError(
        f"{path or 'the bitstream'}: {named} {state}; copy the file again, or decode the others "
        "(--salvage)",
        gop=groups.start,
        byte_range=(gap.start, gap.stop) if gap else (0, 0),
        path=path,
    )


def spare(gap: range, path: str | None) -> CorruptBitstreamError:
    """Return the error of bytes that belong to no group, or repeat one; no group is lost."""
    return CorruptBitstreamError(
        f"{path or 'the bitstream'}: bytes {gap.start} to {gap.stop - 1} are no group of pictures "
        "of this file, or repeat one; no group is lost",
        byte_range=(gap.start, gap.stop),
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
        return damaged(range(gop, gop + 1), range(chunk.start, len(data)), path)
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


def _checksum(gop: int, payload: bytes, seed: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_NUMBERED.pack(gop, len(payload)), seed))


def _chunk_ends(data: NDArray[np.uint8], starts: NDArray[Any], limit: int) -> NDArray[Any]:
    """Return where chunks of the lengths at some places end; 0 where there can be no chunk."""
    is_inside = starts + HEAD_BYTES + LEAST_PAYLOAD <= limit
    places = np.where(is_inside, starts, 0)
    lengths = sum(data[places + k].astype(np.int64) << 8 * k for k in range(4))
    ends = starts + HEAD_BYTES + lengths
    is_length = (lengths >= LEAST_PAYLOAD) & (lengths <= MAX_PAYLOAD) & (lengths % 2 == 0)
    return np.where(is_inside & is_length & (ends <= limit), ends, 0)


@lru_cache(maxsize=1 << 16)
def _number_factor(length: int) -> int:
    """Return what turns a difference of checksums into the number of the group that caused it.

    A checksum is a remainder of polynomials, so the number in front counts ``x`` to the power of
    the bits from there to the end, which can be divided out again: no number has to be tried.
    """
    power, factor = -8 * (4 + 4 + length) % _ORDER, _ONE
    for bit in range(power.bit_length()):
        if power >> bit & 1:
            factor = _times(factor, _squared(bit))
    return factor


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
