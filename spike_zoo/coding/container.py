"""Reader and writer of ``.sci`` files: a header, then one chunk per group of pictures."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from spike_zoo.coding.chunks import Chunks, mapped_file, pack_chunk
from spike_zoo.coding.errors import BitstreamError
from spike_zoo.coding.header import HEADER_BYTES, Header
from spike_zoo.utils.files import new_file


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
        """Write the header."""
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
        """Write the next group of pictures."""
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
        """Move the file to its final path unless an error occurred."""
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
    """

    def __init__(self, source: bytes | str | Path, strict: bool = True) -> None:
        self.path = None if isinstance(source, bytes) else str(source)
        data = source if isinstance(source, bytes) else mapped_file(Path(source))
        self.size, self.strict = len(data), strict
        self.header = Header.parse(data, self.path)
        groups, seed = self.header.groups, self.header.checksum
        self._chunks = Chunks(data, HEADER_BYTES, groups, self.path, seed=seed)
        self.errors: list[BitstreamError] = [] if strict else self._chunks.salvage()

    def payload(self, k: int) -> bytes:
        """Return the payload of one group of pictures."""
        if not 0 <= k < self.header.groups:
            raise IndexError(
                f"group of pictures {k} does not exist; there are {self.header.groups}"
            )
        return self._chunks.payload(k)

    def payload_bytes(self) -> dict[int, int]:
        """Return the bytes of the payload of each group; of intact groups if not strict."""
        return {k: self._chunks.locate(k).length for k in self._chunks}

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the payload of each group, in order."""
        for k in self._chunks:
            yield k, self.payload(k)
        if self.strict:
            self._chunks.check_end()
