"""Reader of headerless ``.dat`` recordings: bit layouts, mirroring and rotation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import FormatError, GeometryError, UsageError
from spike_zoo.formats.dat_sizes import incomplete_planes
from spike_zoo.formats.remote import missing_file
from spike_zoo.spikes.packing import pack_bits, packed_width, unpack_bits, unpack_into, uses_kernel
from spike_zoo.spikes.recording import Selection, SpikeRecording
from spike_zoo.utils.files import memory_map

_BLOCK_PIXELS = 1 << 23  # per block: little memory, negligible overhead of calls
_BYTES = np.arange(256, dtype=np.uint8)
_REVERSED_BYTES = np.packbits(np.unpackbits(_BYTES[:, None], axis=1), axis=1, bitorder="little")[
    :, 0
]


@dataclass(frozen=True)
class DatLayout:
    """Bit layout of the planes in a ``.dat`` file.

    Stored rows follow each other without padding. Pixel ``8 j + k`` of a plane is bit k of its
    byte j. Bit 0 is the lowest bit of a byte, or with ``bit_order`` ``"big"`` the highest.
    """

    height: int  #: rows H
    width: int  #: stored columns, including columns outside the image
    #: if ``H * width`` is not a multiple of 8: ``"byte"`` starts every plane on a byte and pads its
    #: last byte with zeros; ``"bit"`` stores planes without padding
    frame_align: str | None = None
    #: half-open ranges of the stored columns in the image, left to right; None: all
    columns: tuple[tuple[int, int], ...] | None = None
    flip: bool = True  #: stored rows run bottom to top, as the sensors write them
    offset: int = 0  #: bytes before the first complete plane
    bit_order: str = "little"  #: ``"little"`` or ``"big"``
    mirror: bool = False  #: stored columns run right to left
    rotate: int = 0  #: clockwise rotation in degrees, after flip and mirror

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise GeometryError(
                f"height and width must be at least 1, got {self.height}x{self.width}"
            )
        if self.offset < 0:
            raise GeometryError(f"offset must be a number of bytes >= 0, got {self.offset}")
        if self.frame_align not in (None, "byte", "bit"):
            raise UsageError(f"frame_align must be byte or bit, got {self.frame_align!r}")
        if self.bit_order not in ("little", "big"):
            raise UsageError(f"bit_order must be little or big, got {self.bit_order!r}")
        self._check_columns()
        if self.pixels % 8 and self.frame_align is None:
            raise GeometryError(
                f"a plane of {self.height}x{self.width} pixels is not a whole number of bytes. If "
                "this size is right, state where the next plane begins: --frame-align byte (on the "
                "next byte, as this package writes) or --frame-align bit (on the next bit)"
            )
        if self.pixels < 8 and self.frame_align == "bit":
            raise GeometryError(
                f"planes of {self.pixels} pixels with frame_align bit cannot be counted: the last "
                "byte may contain one more; use frame_align byte"
            )

    def _check_columns(self) -> None:
        past = 0
        for first, last in self.columns or ():
            if not past <= first < last <= self.width:
                raise GeometryError(
                    f"columns {self.columns} must be rising ranges (first, past the last) within "
                    f"the {self.width} stored columns"
                )
            past = last
        if self.columns is not None and not self.columns:
            raise GeometryError("columns selects nothing; omit it to select all columns")

    @property
    def pixels(self) -> int:
        """Stored pixels of one plane."""
        return self.height * self.width

    @property
    def image_width(self) -> int:
        """Columns W of the image."""
        return sum(last - first for first, last in self.columns or ((0, self.width),))

    @property
    def runs_on(self) -> bool:
        """Whether planes may start inside a byte."""
        return self.frame_align == "bit" and self.pixels % 8 != 0

    @cached_property
    def byte_columns(self) -> slice | None:
        """The bytes of a stored row in the image; None if rows or columns are not whole bytes."""
        columns = self.columns or ((0, self.width),)
        first, past = columns[0]
        if len(columns) > 1 or any(side % 8 for side in (self.width, first, past)):
            return None
        return slice(first // 8, past // 8)

    def lowest_first(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return bytes whose lowest bit is the first pixel."""
        return stored if self.bit_order == "little" else _REVERSED_BYTES[stored]

    def bytes_for(self, planes: int) -> int:
        """Return the number of bytes of ``planes`` planes, without the offset."""
        return -(-planes * self.pixels // 8) if self.runs_on else planes * -(-self.pixels // 8)

    def planes_in(self, size: int) -> tuple[int, int]:
        """Return the number of complete planes in ``size`` bytes, and the number of other bytes."""
        size = max(0, size - self.offset)
        planes = size * 8 // self.pixels if self.runs_on else size // -(-self.pixels // 8)
        return planes, size - self.bytes_for(planes)

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def open_dat(path: Path, layout: DatLayout, *, allow_partial: bool = False) -> DatPlanes:
    """Open a ``.dat`` file, whose planes are read on demand.

    ``allow_partial`` drops an incomplete last plane with a warning.
    """
    size = path.stat().st_size
    planes, left = layout.planes_in(size)
    if not planes or (left and not allow_partial):
        raise GeometryError(_partial_message(path, layout, size, planes, left), path=str(path))
    opened = DatPlanes(path, layout, planes)
    if not allow_partial and opened.has_bits_after():  # in a layout without padding
        raise opened.bits_after("the last plane")
    if left or opened.has_bits_after():
        warnings.warn(
            f"{path}: dropped the last {f'{left} bytes' if left else 'bits'}, an incomplete plane "
            f"of {layout} after {planes} whole planes",
            stacklevel=3,
        )
    return opened


def _partial_message(path: Path, layout: DatLayout, size: int, planes: int, left: int) -> str:
    per_plane = f"{layout.pixels / 8:g}" if layout.runs_on else str(layout.bytes_for(1))
    skipped = f" after an offset of {layout.offset}" if layout.offset else ""
    cure = incomplete_planes(path, layout.height, layout.width, layout.offset, left)
    return (
        f"{path}: {size} bytes{skipped} is not a whole number of planes ({per_plane} per plane at "
        f"{layout}: {planes} planes and {left} bytes over). {cure}"
    )


class DatPlanes:
    """Packed planes of a ``.dat`` file, read on demand. No file stays open."""

    def __init__(self, path: Path, layout: DatLayout, planes: int) -> None:
        self.path = path
        self.layout = layout
        self.shape = (planes, layout.height, packed_width(layout.image_width))

    @property
    def mapped(self) -> NDArray[np.uint8] | None:
        """Memory map of the file as packed planes, with a negative stride for a flip.

        None if rows are not whole bytes, or the file system has no memory maps.
        """
        columns = self.layout.byte_columns
        if columns is None or self.layout.bit_order == "big":
            return None
        shape = (self.shape[0], self.layout.height, self.layout.width // 8)
        with self.path.open("rb") as stream:
            file_map = memory_map(stream.fileno())
        if file_map is None:
            return None
        stored = np.ndarray(shape, np.uint8, file_map, self.layout.offset)
        return self._upright(stored)[:, :, columns]

    def __getitem__(self, selection: Selection) -> NDArray[np.uint8]:
        """Read a range of planes, or ``[planes, rows, bytes of a row]`` of them."""
        whole = selection if isinstance(selection, tuple) else (selection, slice(None), slice(None))
        start, stop, _ = whole[0].indices(self.shape[0])
        rows = np.arange(self.shape[1])[whole[1]]
        row_bytes = range(self.shape[2])[whole[2]]
        packed = np.empty((max(stop - start, 0), rows.size, len(row_bytes)), np.uint8)
        block = max(1, _BLOCK_PIXELS // self.layout.pixels)
        for first in range(start, stop, block):
            last = min(first + block, stop)
            part = packed[first - start : last - start]
            if self.layout.byte_columns is None:
                part[...] = pack_bits(self._planes(first, last))[:, whole[1], whole[2]]
            else:
                self._copy_rows(first, last, rows, whole[2], part)
        return packed

    def unpacked(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Read planes ``[start, stop)`` as bool ``(stop - start, H, W)``."""
        layout, columns = self.layout, self.layout.byte_columns
        if columns is not None and not uses_kernel((stop - start) * layout.pixels // 8):
            return unpack_bits(self[start:stop], layout.image_width)
        planes = np.empty((stop - start, layout.height, layout.image_width), np.bool_)
        # rows that start inside a byte are unpacked into temporary planes that fit the CPU cache
        pixels = _BLOCK_PIXELS if columns is not None else _BLOCK_PIXELS >> 3
        block = max(1, pixels // layout.pixels)
        for first in range(start, stop, block):
            last = min(first + block, stop)
            part = planes[first - start : last - start]
            if columns is None:
                part[...] = self._planes(first, last)
            else:
                stored = self._read(first, last).reshape(last - first, layout.height, -1)
                unpack_into(stored[:, :, columns], part, is_flipped=layout.flip)
        return planes

    def _copy_rows(
        self,
        first: int,
        last: int,
        rows: NDArray[np.intp],
        row_bytes: slice,
        out: NDArray[np.uint8],
    ) -> None:
        """Copy rows of whole bytes; ``take`` is twice as fast as a reversed slice."""
        stored = self._read(first, last).reshape(last - first, self.layout.height, -1)
        rows_of_crop = stored[:, :, self.layout.byte_columns][:, :, row_bytes]
        if self.layout.flip:
            rows = self.layout.height - 1 - rows
        np.take(rows_of_crop, rows, axis=1, out=out, mode="clip")

    def has_bits_after(self) -> bool:
        """Return whether the last byte of the last plane has bits of a following plane."""
        spare = -self.shape[0] * self.layout.pixels % 8
        if not (self.layout.runs_on and spare):
            return False
        return bool(self._read(self.shape[0] - 1, self.shape[0])[-1] >> (8 - spare))

    def stored_bits(self, start: int, count: int) -> NDArray[np.uint8]:
        """Read the stored bits of some planes, with their padding and without a flip.

        ``start`` is a multiple of 8, so that its first plane starts on a byte.
        """
        return np.unpackbits(self._read(start, start + count), bitorder="little")

    def _read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read the bytes of planes ``[start, stop)``.

        Compared with a memory map, fewer bytes are loaded, and truncation of the open file is an
        error instead of a signal.
        """
        layout = self.layout
        if layout.runs_on:
            first, past = start * layout.pixels // 8, -(-stop * layout.pixels // 8)
        else:
            first, past = layout.bytes_for(start), layout.bytes_for(stop)
        data = np.empty(past - first, np.uint8)
        try:
            stream = self.path.open("rb")
        except FileNotFoundError as error:
            raise missing_file(self.path) from error
        with stream:
            stream.seek(layout.offset + first)
            if stream.readinto(data.data) != data.size:
                raise FormatError.at(self.path, "was truncated after it was opened")
        return layout.lowest_first(data)

    def _upright(self, stored: NDArray[Any]) -> NDArray[Any]:
        return stored[:, ::-1] if self.layout.flip else stored

    def _planes(self, first: int, last: int) -> NDArray[np.bool_]:
        layout = self.layout
        stored = self._read(first, last)
        if layout.runs_on:
            begin = first * layout.pixels % 8
            # planes start inside a byte: unpack all bits, then drop those of other planes
            bits = unpack_bits(stored, stored.size * 8)[begin:][: (last - first) * layout.pixels]
        else:
            stored = stored.reshape(last - first, -1)
            if layout.pixels % 8 and (stored[:, -1] >> layout.pixels % 8).any():
                raise self.bits_after(f"a plane between {first} and {last}")
            bits = unpack_bits(stored, layout.pixels)
        planes = bits.reshape(last - first, layout.height, layout.width)
        if layout.columns is not None:
            planes = np.concatenate([planes[..., a:b] for a, b in layout.columns], axis=-1)
        return self._upright(planes)

    def bits_after(self, where: str) -> FormatError:
        """Return the error for bits of a following plane."""
        return FormatError.at(
            self.path,
            f"the bits after {where} are not zero, so the size is not {self.layout} "
            f"or the planes are not aligned by {self.layout.frame_align}",
        )


def dat_recording(planes: DatPlanes) -> SpikeRecording:
    """Return the recording of a ``.dat`` file, mirrored and rotated as its layout states."""
    layout = planes.layout
    meta: dict[str, Any] = {"source_flipped": layout.flip}
    if not layout.mirror and not layout.rotate:
        return SpikeRecording(planes, layout.image_width, meta=meta)
    turned = TurnedPlanes(planes)
    meta |= {"source_mirrored": layout.mirror, "source_rotated": layout.rotate}
    return SpikeRecording(turned, turned.width, meta=meta)


class TurnedPlanes:
    """Packed planes that are mirrored and then rotated by clockwise quarter turns when read."""

    def __init__(self, planes: DatPlanes) -> None:
        self._stored, self._turns = planes, planes.layout.rotate // 90
        sides = planes.shape[1], planes.layout.image_width
        height, self.width = sides[::-1] if self._turns % 2 else sides
        self.shape = (planes.shape[0], height, packed_width(self.width))

    def unpacked(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Read planes ``[start, stop)`` as bool ``(stop - start, H, W)``."""
        planes = self._stored.unpacked(start, stop)
        if self._stored.layout.mirror:
            planes = planes[..., ::-1]
        return np.ascontiguousarray(np.rot90(planes, -self._turns, axes=(1, 2)))

    def __getitem__(self, selection: Selection) -> NDArray[np.uint8]:
        """Read a range of planes, or ``[planes, rows, bytes of a row]`` of them."""
        whole = selection if isinstance(selection, tuple) else (selection, slice(None), slice(None))
        start, stop, _ = whole[0].indices(self.shape[0])
        stop = max(start, stop)
        step = max(1, _BLOCK_PIXELS // (self.shape[1] * self.width))
        parts = [
            pack_bits(self.unpacked(first, min(first + step, stop)))[:, whole[1], whole[2]]
            for first in range(start, max(stop, start + 1), step)
        ]
        return np.concatenate(parts)


def stored_bytes(recording: SpikeRecording, layout: DatLayout) -> Iterator[NDArray[np.uint8]]:
    """Yield the bytes of a ``.dat`` file in blocks, as the exact inverse of reading."""
    planes, height, width = recording.shape
    if (height, width) != (layout.height, layout.image_width):
        raise GeometryError(
            f"a recording of {height}x{width} does not fill an image of "
            f"{layout.height}x{layout.image_width}"
        )
    block = max(1, _BLOCK_PIXELS // layout.pixels)
    block = -(-block // 8) * 8  # so that blocks are whole bytes without padding too
    for first in range(0, planes, block):
        stored = recording.read(first, min(first + block, planes))
        if layout.columns is not None:
            stored = _among_stored_columns(stored, layout)
        flat = (stored[:, ::-1] if layout.flip else stored).reshape(len(stored), -1)
        if layout.runs_on:
            flat = flat.reshape(1, -1)
        yield np.packbits(flat, axis=-1, bitorder="little").reshape(-1)


def _among_stored_columns(image: NDArray[np.bool_], layout: DatLayout) -> NDArray[np.bool_]:
    """Return planes with all stored columns; columns outside the image are zero."""
    stored = np.zeros((*image.shape[:2], layout.width), np.bool_)
    column = 0
    for first, last in layout.columns or ():
        stored[..., first:last] = image[..., column : column + last - first]
        column += last - first
    return stored
