"""The first 52 bytes of a ``.spl`` file: which planes it holds, and how they are grouped."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from spike_zoo.coding.errors import BitstreamError
from spike_zoo.coding.sci.header import MAX_PIXELS, check_header
from spike_zoo.spikes.cfa import LAYOUTS

if TYPE_CHECKING:
    from mmap import mmap

    from spike_zoo.spikes.cfa import Cfa

MAGIC: Final = b"SPL1"
SUFFIX: Final = ".spl"
_FIELDS: Final = struct.Struct("<4sIIIIIddd")
_CHECKSUM: Final = struct.Struct("<I")
_HEIGHT_BITS: Final = 28
HEADER_BYTES: Final = _FIELDS.size + _CHECKSUM.size
MAX_SYMBOLS: Final = MAX_PIXELS
"""Spikes of one chunk, which are in memory at once."""


@dataclass(frozen=True, slots=True)
class LosslessHeader:
    """What planes were coded.

    Attributes:
        planes: How many.
        height: Rows of a plane.
        width: Columns of a plane.
        depth: Planes of every chunk but the last.
        restart: Every so many chunks one knows nothing of those before it.
        fps: Planes per second; 0 where unknown.
        threshold: Charge at which a pixel fires; None where unknown.
        rate_scale: Spikes per plane at white; None where unknown.
        cfa: Layout of the Bayer filters; None without. Its number, from 1, is in the four highest
            bits of the height.
    """

    planes: int
    height: int
    width: int
    depth: int
    restart: int
    fps: float = 0.0
    threshold: float | None = None
    rate_scale: float | None = None
    cfa: Cfa | None = None

    @property
    def chunks(self) -> int:
        """How many chunks follow."""
        return -(-self.planes // self.depth)

    def bits_per_pixel(self, size: float) -> float:
        """Return bits per pixel and plane of so many bytes; raw spikes have 1."""
        return 8 * size / (self.planes * self.height * self.width)

    def pack(self) -> bytes:
        """Return the header's bytes.

        Raises:
            ValueError: If a field is outside what they can hold.
        """
        problem = self._problem()
        if problem:
            raise ValueError(f"no lossless bitstream can have {problem}")
        layout = 0 if self.cfa is None else LAYOUTS.index(self.cfa) + 1
        height = layout << _HEIGHT_BITS | self.height
        fields = _FIELDS.pack(
            *(MAGIC, self.planes, height, self.width, self.depth, self.restart, self.fps),
            *(math.nan if value is None else value for value in (self.threshold, self.rate_scale)),
        )
        return fields + _CHECKSUM.pack(zlib.crc32(fields))

    @classmethod
    def parse(cls, data: bytes | mmap, path: str | None = None) -> Self:
        """Return what the first bytes of a lossless bitstream say.

        Args:
            data: The bitstream, or its first 52 bytes.
            path: Where it comes from, for errors.

        Raises:
            BitstreamError: If it is no lossless bitstream of this version, or its geometry is
                impossible.
            TruncatedBitstreamError: If it ends before its header does.
            CorruptBitstreamError: If the header's checksum is another.
        """
        head, where = data[:HEADER_BYTES], path or "the bitstream"
        if not MAGIC.startswith(head[: len(MAGIC)]):
            raise BitstreamError(
                f"{where}: no lossless bitstream of this version: it begins with "
                f"{head[: len(MAGIC)]!r}, not {MAGIC!r}; name a file that compress --lossless made",
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
                f"{where}: no lossless bitstream can have {problem}; its author should make "
                "it again",
                path=path,
            )
        return header

    def _problem(self) -> str | None:
        """Return what is impossible about the fields, in words; None if nothing is."""
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
    """Return whether a file begins as a lossless bitstream of any version, or is named as one."""
    try:
        with Path(path).open("rb") as file:
            begin = file.read(len(MAGIC))
    except OSError:
        return Path(path).suffix.lower() == SUFFIX  # who reads it says why
    return begins_lossless(begin) or Path(path).suffix.lower() == SUFFIX


def begins_lossless(begin: bytes) -> bool:
    """Return whether the first 4 bytes or more are those of a lossless bitstream of any version."""
    return begin[:3] == MAGIC[:3] and begin[3:4].isdigit()
