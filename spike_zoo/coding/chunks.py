"""Numbered chunks of coded data with lengths and checksums, the body of ``.sci`` and ``.spl``."""

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from mmap import mmap
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from spike_zoo.coding.errors import BitstreamError, CorruptBitstreamError, TruncatedBitstreamError
from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.utils.files import memory_map

_HEAD: Final = struct.Struct("<II")  # length of the payload, checksum
_NUMBERED: Final = struct.Struct("<II")  # number of the chunk, length: part of the checksum
_CHECKSUM: Final = struct.Struct("<I")
HEAD_BYTES: Final = _HEAD.size
MIN_PAYLOAD: Final = 8
MAX_PAYLOAD: Final = 1 << 28
MAX_PIXELS: Final = 1 << 24
"""Largest number of pixels of a plane in a bitstream."""
_POLYNOMIAL, _ONE, _ORDER = 0xEDB88320, 1 << 31, (1 << 32) - 1  # of CRC-32, lowest power first
# Limits of the search in a damaged file: longest payload, bytes per block, cost of a candidate, and
# the sum of all costs and checked bytes. They bound the search to some seconds for any content.
_MAX_SEARCHED, _BLOCK, _CANDIDATE, _BUDGET = 1 << 22, 1 << 16, 1 << 16, 1 << 31


class Chunk(NamedTuple):
    """A chunk of a file; for ``.sci`` a group of pictures."""

    number: int  # counted from 0
    start: int  # offset of the first byte in the file
    length: int  # bytes of the payload
    checksum: int  # CRC-32 of number, length and payload, continued from the file's seed

    @property
    def end(self) -> int:
        """Offset after the last byte in the file."""
        return self.start + HEAD_BYTES + self.length

    @property
    def is_possible(self) -> bool:
        """Whether the length is valid for a payload."""
        return MIN_PAYLOAD <= self.length <= MAX_PAYLOAD and self.length % 2 == 0

    def is_inside(self, data: bytes | mmap) -> bool:
        """Return whether the length is valid and the chunk ends inside the file."""
        return self.is_possible and self.end <= len(data)

    def payload(self, data: bytes | mmap) -> bytes:
        """Return the payload from the file, unchecked."""
        return data[self.start + HEAD_BYTES : self.end]


class Chunks:
    """The chunks of a file.

    They are located by the lengths of the chunks before them; :meth:`salvage` also finds those
    behind a damaged length.

    Args:
        data: The file.
        begin: Offset of the first chunk.
        count: Number of chunks.
        path: Name of the file, for errors.
        seed: Initial value of the checksums, as for :func:`pack_chunk`.
        name: Return the name of a range of chunks, for errors.
    """

    def __init__(
        self,
        data: bytes | mmap,
        begin: int,
        count: int,
        path: str | None,
        *,
        seed: int = 0,
        name: Callable[[range], str] | None = None,
    ) -> None:
        self._bytes, self._begin, self._count = data, begin, count
        self._path, self._where, self._seed = path, path or "the bitstream", seed
        self._name = name or group_name
        self._chunks: dict[int, Chunk] = {}
        self._is_salvaged, self._budget = False, _BUDGET

    @property
    def _data(self) -> bytes | mmap:
        """The file, after checking that it was not truncated.

        Reading a map beyond the end of its file kills the process with a signal.
        """
        if isinstance(self._bytes, mmap) and self._bytes.size() < len(self._bytes):
            raise TruncatedBitstreamError(
                f"{self._where}: was truncated to {self._bytes.size()} of {len(self._bytes)} bytes "
                "while it was read; copy the file again",
                path=self._path,
            )
        return self._bytes

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of all chunks in order; after :meth:`salvage` of the intact ones."""
        return iter(self._chunks if self._is_salvaged else range(self._count))

    def locate(self, number: int) -> Chunk:
        """Return a chunk, unchecked."""
        while number not in self._chunks:
            following = len(self._chunks)
            if self._is_salvaged:
                raise self._lost(range(number, number + 1), None)
            start = self._chunks[following - 1].end if self._chunks else self._begin
            chunk = read_chunk(self._data, following, start)
            if chunk is None or not chunk.is_inside(self._data):
                raise self._rest(range(following, following + 1), start)
            self._chunks[following] = chunk
        return self._chunks[number]

    def payload(self, number: int) -> bytes:
        """Return the payload of a chunk."""
        chunk = self.locate(number)
        payload = chunk.payload(self._data)
        if _checksum(number, payload, self._seed) != chunk.checksum:
            raise self._lost(range(number, number + 1), range(chunk.start, chunk.end))
        return payload

    def check_end(self) -> None:
        """Raise unless the file ends with the last chunk."""
        end = self.locate(self._count - 1).end
        if end < len(self._data):
            raise self._trailing(end)

    def salvage(self) -> list[BitstreamError]:
        """Locate the intact chunks of a damaged file, and return the errors of the rest.

        A chunk is found behind a damaged payload by the length of that payload, and behind a
        damaged length by the next valid checksum. Chunks must be in order.
        """
        errors: list[BitstreamError] = []
        self._chunks, self._is_salvaged = {}, True
        position, expected = self._begin, 0
        while expected < self._count:
            chunk = self._next_intact(position, expected)
            if chunk is None:
                return [*errors, self._rest(range(expected, self._count), position)]
            if chunk.start > position or chunk.number > expected:
                lost, gap = range(expected, chunk.number), range(position, chunk.start)
                errors.append(self._lost(lost, gap) if lost else self._spare(gap))
            self._chunks[chunk.number] = chunk
            position, expected = chunk.end, chunk.number + 1
        return [*errors, self._trailing(position)] if position < len(self._data) else errors

    def _next_intact(self, position: int, expected: int) -> Chunk | None:
        """Return the first intact chunk from an offset on, with the expected number or a later."""
        here = read_chunk(self._data, expected, position)
        near = [] if here is None else [position, here.end]
        for start in chain(near, self._starts(position)):
            chunk = read_chunk(self._data, expected, start)
            if chunk is None or not chunk.is_inside(self._data):
                continue
            cost = chunk.length + _CANDIDATE
            if cost > self._budget:
                return None
            number = self._number_of(chunk)
            if expected <= number < self._count:
                return chunk._replace(number=number)
            self._budget -= cost
        return None

    def _number_of(self, chunk: Chunk) -> int:
        """Return the number with which the checksum is valid."""
        payload = chunk.payload(self._data)
        if _checksum(chunk.number, payload, self._seed) == chunk.checksum:
            return chunk.number
        difference = chunk.checksum ^ _checksum(0, payload, self._seed)
        return _product(difference, _number_factor(chunk.length))

    def _starts(self, begin: int) -> Iterator[int]:
        """Yield every offset whose bytes are the length of a chunk that ends inside the file."""
        stop = len(self._data) - HEAD_BYTES - MIN_PAYLOAD + 1
        for first in range(begin, stop, _BLOCK):
            self._budget -= _BLOCK
            starts = np.arange(first, min(first + _BLOCK, stop))
            overlapping = np.ndarray(len(starts), "<u4", self._data, first, strides=(1,))
            lengths = overlapping.astype(np.int64)
            is_length = (lengths >= MIN_PAYLOAD) & (lengths <= _MAX_SEARCHED) & (lengths % 2 == 0)
            is_inside = starts + HEAD_BYTES + lengths <= len(self._data)
            yield from starts[is_length & is_inside].tolist()

    def _lost(self, chunks: range, gap: range | None) -> CorruptBitstreamError:
        """Return the error for chunks that are damaged, or missing if the gap has no bytes."""
        state = f"damaged (bytes {gap.start} to {gap.stop - 1})" if gap else "missing"
        advice = "copy the file again, or decode the rest (decompress --salvage)"
        return self._corrupt(f"{self._name(chunks)} {state}; {advice}", gap, chunks.start)

    def _spare(self, gap: range) -> CorruptBitstreamError:
        """Return the error for bytes that belong to no chunk or repeat one; no chunk is lost."""
        what = "belong to no part of this file, or repeat one; nothing is lost"
        return self._corrupt(f"bytes {gap.start} to {gap.stop - 1} {what}", gap)

    def _trailing(self, end: int) -> CorruptBitstreamError:
        """Return the error for bytes after the last chunk."""
        gap = range(end, len(self._data))
        advice = "copy the file again, or decode the parts before them (decompress --salvage)"
        return self._corrupt(f"{len(gap)} bytes follow the last part of the file; {advice}", gap)

    def _rest(self, chunks: range, start: int) -> BitstreamError:
        """Return the error for the rest of a file without another intact chunk."""
        size, chunk = len(self._data), read_chunk(self._data, chunks.start, start)
        if chunk is not None and not (chunk.is_possible and chunk.end > size):
            return self._lost(chunks, range(start, size))
        advice = "copy the file again, or decode what is complete (decompress --salvage)"
        return TruncatedBitstreamError(
            f"{self._where}: ends after {size} bytes, within {self._name(chunks[:1])}; {advice}",
            last_complete_gop=chunks.start - 1,
            path=self._path,
        )

    def _corrupt(self, text: str, gap: range | None, number: int = -1) -> CorruptBitstreamError:
        return CorruptBitstreamError(
            f"{self._where}: {text}",
            gop=number,
            byte_range=(gap.start, gap.stop) if gap else (0, 0),
            path=self._path,
        )


def pack_chunk(number: int, payload: bytes, seed: int = 0) -> bytes:
    """Return the bytes of a chunk.

    ``seed`` is the initial value of the checksum. With the header's checksum, chunks of other files
    are invalid.
    """
    if not Chunk(number, 0, len(payload), 0).is_possible:
        raise ValueError(
            f"a payload of {len(payload)} bytes: its length must be even, from {MIN_PAYLOAD} to "
            f"{MAX_PAYLOAD}"
        )
    return _HEAD.pack(len(payload), _checksum(number, payload, seed)) + payload


def read_chunk(data: bytes | mmap, number: int, start: int) -> Chunk | None:
    """Return the chunk at an offset, unchecked; None if the file ends within the chunk's head."""
    if start + HEAD_BYTES > len(data):
        return None
    return Chunk(number, start, *_HEAD.unpack_from(data, start))


def group_name(chunks: range) -> str:
    """Return the name of a range of groups of pictures."""
    if len(chunks) == 1:
        return f"group of pictures {chunks.start}"
    return f"groups of pictures {chunks.start} to {chunks.stop - 1}"


def with_checksum(fields: bytes) -> bytes:
    """Return the fields of a header, followed by their CRC-32."""
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def check_header(head: bytes, size: int, path: str | None) -> None:
    """Raise if a header of ``size`` bytes is truncated or its checksum, the last 4, is wrong."""
    where = path or "the bitstream"
    if len(head) < size:
        raise TruncatedBitstreamError(
            f"{where}: ends after {len(head)} bytes, within the header of {size}; copy the file "
            "again",
            path=path,
        )
    if head != with_checksum(head[: -_CHECKSUM.size]):
        raise CorruptBitstreamError(
            f"{where}: the header is damaged (bytes 0 to {size - 1}: its checksum is wrong), and "
            "nothing can be decoded without it; copy the file again",
            byte_range=(0, size),
            path=path,
        )


def mapped_file(path: Path) -> bytes | mmap:
    """Return the bytes of a file, as a memory map if its file system supports this."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FormatError.at(path, "no regular file; save the content of a pipe as a file")
    try:
        with path.open("rb") as file:
            file_map = memory_map(file.fileno())
            return file.read() if file_map is None else file_map
    except FileNotFoundError as error:
        raise MissingFileError.at(path, "there is no such file") from error
    except OSError as error:
        raise FormatError.at(path, f"cannot be read ({error.strerror or error})") from error


def _checksum(number: int, payload: bytes, seed: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_NUMBERED.pack(number, len(payload)), seed))


@lru_cache(maxsize=1 << 16)
def _number_factor(length: int) -> int:
    """Return the factor that turns a difference of two checksums into the number of the chunk.

    A CRC is linear over GF(2). The leading number contributes itself times ``x`` to the power of
    the bits from there to the end. Dividing by that power yields the number without trying all.
    """
    power, factor, square = -8 * (4 + 4 + length) % _ORDER, _ONE, _ONE >> 1
    while power:
        if power & 1:
            factor = _product(factor, square)
        square, power = _product(square, square), power >> 1
    return factor


def _product(left: int, right: int) -> int:
    """Return the product of two polynomials over GF(2), modulo the polynomial of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product
