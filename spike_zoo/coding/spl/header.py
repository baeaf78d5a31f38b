"""Header of ``.spl`` files (52 bytes): geometry, chunks and attributes of the recording."""

import contextlib
import math
import struct
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Final, Self

from spike_zoo.coding.chunks import MAX_PIXELS, check_header, with_checksum
from spike_zoo.coding.errors import BitstreamError
from spike_zoo.spikes.cfa import LAYOUTS, Cfa

MAGIC: Final = b"SPL1"
SUFFIX: Final = ".spl"
_FIELDS: Final = struct.Struct("<4sIIIIIddd")
_HEIGHT_BITS: Final = 28
HEADER_BYTES: Final = _FIELDS.size + 4  # the checksum
MAX_SYMBOLS: Final = MAX_PIXELS
"""Largest number of pixels times planes in a chunk, which is decoded in memory."""


@dataclass(frozen=True, slots=True)
class LosslessHeader:
    """Header of a ``.spl`` bitstream."""

    planes: int  #: number of planes
    height: int  #: rows of a plane
    width: int  #: columns of a plane
    depth: int  #: planes of every chunk but the last
    restart: int  #: chunks between restarts of the model
    fps: float = 0.0  #: planes per second; 0 if unknown
    threshold: float | None = None  #: charge at which a pixel fires; None if unknown
    rate_scale: float | None = None  #: spikes per plane at white; None if unknown
    #: Layout of the Bayer filters; None without filters. Stored as a number from 1 in the four
    #: highest bits of the height.
    cfa: Cfa | None = None

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.planes // self.depth)

    def planes_of(self, chunks: range) -> range:
        """Return the planes of a range of chunks."""
        return range(chunks.start * self.depth, min(chunks.stop * self.depth, self.planes))

    def name_of(self, chunks: range) -> str:
        """Return the name of the planes of a range of chunks, for errors."""
        planes = self.planes_of(chunks)
        return f"planes {planes.start} to {planes.stop - 1}"

    def bits_per_pixel(self, size: float) -> float:
        """Return the bits per pixel and plane of ``size`` bytes; raw spikes have 1."""
        return 8 * size / (self.planes * self.height * self.width)

    def pack(self) -> bytes:
        """Return the header's bytes."""
        problem = self._problem()
        if problem:
            raise ValueError(f"no lossless bitstream can have {problem}")
        layout = 0 if self.cfa is None else LAYOUTS.index(self.cfa) + 1
        height = layout << _HEIGHT_BITS | self.height
        fields = _FIELDS.pack(
            *(MAGIC, self.planes, height, self.width, self.depth, self.restart, self.fps),
            *(math.nan if value is None else value for value in (self.threshold, self.rate_scale)),
        )
        return with_checksum(fields)

    @classmethod
    def parse(cls, data: bytes | mmap, path: str | None = None) -> Self:
        """Parse a bitstream, or its first 52 bytes; ``path`` names the file in errors."""
        head, where = data[:HEADER_BYTES], path or "the bitstream"
        if not MAGIC.startswith(head[: len(MAGIC)]):
            raise BitstreamError(
                f"{where}: no lossless bitstream of this version: it begins with "
                f"{head[: len(MAGIC)]!r}, not {MAGIC!r}; name a file of 'compress --out X.spl'",
                path=path,
            )
        check_header(head, HEADER_BYTES, path)
        fields = _FIELDS.unpack_from(head)
        threshold, rate_scale = (None if math.isnan(value) else value for value in fields[7:])
        planes, height, width, depth, restart, fps = fields[1:7]
        layout, height = height >> _HEIGHT_BITS, height & ((1 << _HEIGHT_BITS) - 1)
        cfa = (None, *LAYOUTS)[min(layout, len(LAYOUTS))]
        header = cls(planes, height, width, depth, restart, fps, threshold, rate_scale, cfa)
        problem = header._problem()
        if layout > len(LAYOUTS):
            problem = f"layout {layout} of colour filters; they have the numbers 1 to 4"
        if problem:
            raise BitstreamError(
                f"{where}: no lossless bitstream can have {problem}; compress the recording again",
                path=path,
            )
        return header

    def _problem(self) -> str | None:
        """Return a description of the first invalid field; None if all are valid."""
        for name in ("planes", "height", "width", "depth", "restart"):
            if not 1 <= getattr(self, name) <= 0xFFFFFFFF:
                return f"{name} {getattr(self, name)}; it is 1 to {0xFFFFFFFF}"
        if self.height * self.width > MAX_PIXELS:
            return f"{self.width} x {self.height} pixels; at most {MAX_PIXELS} are coded"
        if self.depth * self.height * self.width > MAX_SYMBOLS:
            return f"chunks of {self.depth} planes; at most {MAX_SYMBOLS} spikes are in one"
        if not 0 <= self.fps < math.inf:
            return f"fps {self.fps:g}; it is finite, and 0 if unknown"
        for name in ("threshold", "rate_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                return f"{name} {value:g}; it is above 0 and finite"
        return None


def is_lossless(path: str | Path) -> bool:
    """Return whether a file has the magic bytes of any ``.spl`` version or the suffix ``.spl``."""
    begin = b""
    with contextlib.suppress(OSError):  # the reader reports the error
        if Path(path).is_file():  # opening a pipe would wait for a program that writes
            with Path(path).open("rb") as file:
                begin = file.read(len(MAGIC))
    return has_lossless_magic(begin) or Path(path).suffix.lower() == SUFFIX


def has_lossless_magic(begin: bytes) -> bool:
    """Return whether bytes, at least 4, start with the magic bytes of any ``.spl`` version."""
    return begin[:3] == MAGIC[:3] and begin[3:4].isdigit()
