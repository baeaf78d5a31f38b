"""Reader and writer of ``.sci`` files: a header, then one chunk per group of pictures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from spike_zoo.coding.sci.chunks import (
    Chunk,
    ChunkSearch,
    Salvage,
    damaged_error,
    incomplete_chunk_error,
    pack_chunk,
    read_chunk,
    trailing_bytes_error,
)
from spike_zoo.coding.sci.header import HEADER_BYTES, Header
from spike_zoo.errors import FormatError, MissingFileError
from spike_zoo.files import memory_map, new_file

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator
    from types import TracebackType

    from spike_zoo.coding.errors import BitstreamError

__all__ = ["HEADER_BYTES", "BitstreamReader", "BitstreamWriter", "Header"]


class BitstreamWriter:
    """Write a bitstream group by group; the file is created after the last group is written.

    Args:
        target: A new file, or a binary stream, which is written directly.
        header: Header of the bitstream.
        overwrite: Replace an existing file.

    Attributes:
        header: Header of the bitstream.
        groups: Number of groups written.
        size: Number of bytes written.
    """

    def __init__(
        self, target: str | Path | BinaryIO, header: Header, *, overwrite: bool = False
    ) -> None:
        self.header = header
        self.groups = self.size = 0
        self._target = Path(target) if isinstance(target, str) else target
        self._overwrite = overwrite
        self._stack = ExitStack()
        self._stream: BinaryIO

    def __enter__(self) -> Self:
        """Write the header.

        Raises:
            ValueError: If a field of the header is invalid.
            ExistingFileError: If the file exists and ``overwrite`` is False.
        """
        head = self.header.pack()
        with ExitStack() as stack:
            if isinstance(self._target, Path):
                place = stack.enter_context(new_file(self._target, overwrite=self._overwrite))
                self._stream = stack.enter_context(place.open("wb"))
            else:
                self._stream = self._target
            stack.push(self._check_finished)
            self._write(head)
            self._stack = stack.pop_all()
        return self

    def append(self, payload: bytes) -> None:
        """Write the next group of pictures.

        Raises:
            ValueError: If all groups are written, or the length of the payload is invalid.
        """
        if self.groups == self.header.groups:
            raise ValueError(f"all {self.groups} groups of pictures are written")
        self._write(pack_chunk(self.groups, payload, self.header.checksum))
        self.groups += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Move the file to its final path unless an error occurred.

        Raises:
            ValueError: If groups are missing.
        """
        self._stack.__exit__(kind, error, trace)

    def _write(self, part: bytes) -> None:
        self._stream.write(part)
        self.size += len(part)

    def _check_finished(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.groups < self.header.groups:
            raise ValueError(
                f"{self.groups} of {self.header.groups} groups of pictures are written"
            )


class BitstreamReader:
    """Read the groups of pictures of a bitstream, in any order.

    Args:
        source: The bitstream, or a file.
        strict: Raise an error for damage. Otherwise return the intact groups only.

    Attributes:
        header: Header of the bitstream.
        path: The file; None for bytes.
        size: Total number of bytes.
        errors: Errors of the omitted groups if ``strict`` is False.

    Raises:
        MissingFileError: If the file does not exist.
        BitstreamError: If the header is invalid or damaged, also if ``strict`` is False.
    """

    def __init__(self, source: bytes | str | Path, strict: bool = True) -> None:
        self.path = None if isinstance(source, bytes) else str(source)
        self._data = source if isinstance(source, bytes) else mapped_file(Path(source))
        self.size = len(self._data)
        self.header = Header.parse(self._data, self.path)
        self.strict = strict
        self.errors: list[BitstreamError] = []
        self._chunks: dict[int, Chunk] = {}
        if not strict:
            groups, seed = self.header.groups, self.header.checksum
            salvage = Salvage(self._data, HEADER_BYTES, groups, self.path, seed)
            self._chunks, self.errors = salvage.chunks, salvage.errors

    def payload(self, k: int) -> bytes:
        """Return the payload of one group of pictures.

        Raises:
            IndexError: If the bitstream has no such group.
            CorruptBitstreamError: If the group is damaged.
            TruncatedBitstreamError: If the file ends within the group.
        """
        if not 0 <= k < self.header.groups:
            raise IndexError(
                f"group of pictures {k} does not exist; there are {self.header.groups}"
            )
        chunk = self._locate(k)
        if self.strict and not chunk.fits(self._data, self.header.checksum):
            raise damaged_error(range(k, k + 1), range(chunk.start, chunk.end), self.path)
        return chunk.payload(self._data)

    def payload_bytes(self) -> dict[int, int]:
        """Return the length of the payload of each group in bytes; of intact groups if not strict.

        Raises:
            BitstreamError: If the file is damaged and ``strict`` is True.
        """
        groups = range(self.header.groups) if self.strict else self._chunks
        return {k: self._locate(k).length for k in groups}

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the payload of each group, in order.

        Raises:
            BitstreamError: If the file is damaged and ``strict`` is True.
        """
        for k in range(self.header.groups) if self.strict else self._chunks:
            yield k, self.payload(k)
        if self.strict and self._chunks[self.header.groups - 1].end < self.size:
            raise trailing_bytes_error(
                self._chunks[self.header.groups - 1].end, self._data, self.path
            )

    def _locate(self, k: int) -> Chunk:
        """Return the chunk of a group by following the lengths of the chunks before it."""
        if not self.strict and k not in self._chunks:
            raise damaged_error(range(k, k + 1), None, self.path)
        while k not in self._chunks:
            following = len(self._chunks)
            start = self._chunks[following - 1].end if self._chunks else HEADER_BYTES
            self._chunks[following] = self._read_chunk(following, start)
        return self._chunks[k]

    def _read_chunk(self, k: int, start: int) -> Chunk:
        """Return the chunk at an offset; raise if its length is invalid or the file too short."""
        chunk = read_chunk(self._data, k, start)
        if chunk is not None and chunk.is_inside(self._data):
            return chunk
        search = ChunkSearch(self._data, self.header.groups, self.header.checksum)
        following = search.next(start, k)
        if following is not None:
            raise damaged_error(range(k, k + 1), range(start, following.start), self.path)
        raise incomplete_chunk_error(chunk, (k, k - 1), self._data, self.path)


def mapped_file(path: Path) -> bytes | mmap.mmap:
    """Return the bytes of a file, as a memory map if its file system supports this."""
    try:
        with path.open("rb") as file:
            file_map = memory_map(file.fileno())
            return file.read() if file_map is None else file_map
    except FileNotFoundError as error:
        raise MissingFileError.at(path, "there is no such file") from error
    except OSError as error:
        raise FormatError.at(path, f"cannot be read ({error.strerror or error})") from error
