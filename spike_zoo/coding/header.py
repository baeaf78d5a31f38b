"""Header of ``.sci`` files (48 bytes): geometry, coding parameters and digest of the model."""

import math
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Final, Self

from spike_zoo.coding.chunks import HEAD_BYTES, MAX_PIXELS, check_header, with_checksum
from spike_zoo.coding.errors import BitstreamError

MAGIC: Final = b"SCI2"
MAX_GROUP_PIXELS: Final = 1 << 26
"""Pixels of all frames of a group of pictures; a decoder holds 20 bytes for each."""
MAX_SIDE: Final = 0xFFFF
QUALITIES: Final = 4
_FIELDS: Final = struct.Struct("<4s12sHHIBBBBHHffI")
HEADER_BYTES: Final = _FIELDS.size + 4  # the checksum
_SIDE = (1, MAX_SIDE)
_BYTE = (1, 0xFF)
_LIMITS: Final = {
    "height": _SIDE,
    "width": _SIDE,
    "planes": (1, 0xFFFFFFFF),
    "window": _BYTE,
    "step": _BYTE,
    "channels": _BYTE,
    "quality": (0, QUALITIES - 1),
    "gop": (1, 0xFFFF),
    "source": (0, 0xFFFFFFFF),
}


@dataclass(frozen=True, slots=True)
class Header:
    """Header of a ``.sci`` bitstream."""

    digest: bytes  #: the first 12 bytes of the model's SHA-256
    height: int  #: rows of a plane
    width: int  #: columns of a plane
    planes: int  #: number of coded planes
    window: int = 13  #: planes that contribute to one frame of features
    step: int = 7  #: planes from one frame to the next
    channels: int = 3  #: channels of the features
    quality: int = 2  #: 0 to 3; 3 is the best
    gop: int = 8  #: frames of every group of pictures but the last
    fps: float | None = None  #: planes per second; None if unknown
    rate_scale: float | None = None  #: spikes per plane at white; None if unknown
    #: CRC-32 of some planes of the recording, which makes the header's checksum specific to the
    #: file; 0 if unknown
    source: int = 0

    @property
    def checksum(self) -> int:
        """Checksum of the header, the initial value of the chunks' checksums."""
        return zlib.crc32(self.pack()[: _FIELDS.size])

    @property
    def frames(self) -> int:
        """Number of frames of features."""
        return (self.planes - self.window) // self.step + 1

    @property
    def groups(self) -> int:
        """Number of groups of pictures."""
        return -(-self.frames // self.gop)

    def bits_per_pixel(self, size: float) -> float:
        """Return the bits per pixel and plane of ``size`` bytes; raw spikes have 1."""
        return 8 * size / (self.planes * self.height * self.width)

    def plane(self, index: int) -> int:
        """Return the plane in the middle of a frame's window."""
        return self.window // 2 + self.step * index

    def group_length(self, k: int) -> int:
        """Return the number of frames of a group of pictures."""
        if not 0 <= k < self.groups:
            raise IndexError(f"group of pictures {k} does not exist; there are {self.groups}")
        return min(self.gop, self.frames - k * self.gop)

    def pack(self) -> bytes:
        """Return the 48 bytes."""
        problem = self._problem()
        if problem:
            raise ValueError(f"no bitstream can have {problem}")
        fields = _FIELDS.pack(
            *(MAGIC, self.digest, self.height, self.width, self.planes, self.window, self.step),
            *(self.channels, self.quality, self.gop, 0),
            *(math.nan if value is None else value for value in (self.fps, self.rate_scale)),
            self.source,
        )
        return with_checksum(fields)

    @classmethod
    def parse(cls, data: bytes | mmap, path: str | None = None) -> Self:
        """Parse the header of a bitstream.

        Args:
            data: The bitstream, or its first 48 bytes.
            path: Name of the file, for errors.
        """
        head, where = data[:HEADER_BYTES], path or "the bitstream"
        begin = head[: len(MAGIC)]
        if not MAGIC.startswith(begin):
            is_other_version = begin[:3] == MAGIC[:3] and begin[3:].isdigit()
            raise BitstreamError(
                f"{where}: version {begin[3:].decode()} of .sci, this is version "
                f"{MAGIC[3:].decode()}; decode it with the version that wrote it"
                if is_other_version
                else f"{where}: no .sci bitstream: it begins with {begin!r}, not {MAGIC!r}",
                path=path,
            )
        check_header(head, HEADER_BYTES, path)
        *fields, flags, fps, rate_scale, source = _FIELDS.unpack_from(head)
        if flags:
            raise BitstreamError(
                f"{where}: uses features (flags {flags:#06x}) that this version does not support; "
                "decode it with a newer version",
                path=path,
            )
        fps, rate_scale = (None if math.isnan(value) else value for value in (fps, rate_scale))
        header = cls(*(*fields[1:], fps, rate_scale, source))
        problem = header._problem()
        if problem:
            raise BitstreamError(f"{where}: no bitstream can have {problem}", path=path)
        return header

    def _problem(self) -> str | None:
        """Return a description of the first invalid field; None if all are valid."""
        if len(self.digest) != 12:
            return f"a digest of {len(self.digest)} bytes; it has 12"
        for name, (least, most) in _LIMITS.items():
            if not least <= getattr(self, name) <= most:
                return f"{name} {getattr(self, name)}; it is {least} to {most}"
        if self.height * self.width > MAX_PIXELS:
            return f"{self.width} x {self.height} pixels; at most {MAX_PIXELS} are decoded"
        if self.planes < self.window:
            return f"{self.planes} planes, fewer than a window's {self.window}"
        most = max(1, MAX_GROUP_PIXELS // (self.height * self.width))
        if min(self.gop, self.frames) > most:
            return (
                f"groups of {self.gop} frames of {self.width} x {self.height} pixels; at most "
                f"{most} frames of this size are decoded"
            )
        for name in ("fps", "rate_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                return f"{name} {value:g}; it is above 0 and finite"
        return None


def file_bytes(payloads: Iterable[bytes]) -> int:
    """Return the size of a ``.sci`` file with the given payloads."""
    return HEADER_BYTES + sum(HEAD_BYTES + len(payload) for payload in payloads)


def is_bitstream(path: str | Path) -> bool:
    """Return whether a file exists and has the magic bytes of ``.sci`` or the suffix ``.sci``."""
    try:
        if not Path(path).is_file():  # opening a pipe would wait for a program that writes
            return False
        with Path(path).open("rb") as file:
            begin = file.read(len(MAGIC))
    except OSError:
        return False  # the reader reports the error
    return begin[:3] == MAGIC[:3] or Path(path).suffix.lower() == ".sci"
