"""Reader and writer of ``.npy`` and ``.npz`` recordings, which are never unpickled."""

import contextlib
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from spike_zoo.errors import (
    FormatError,
    MissingItemError,
    NotSpikesError,
    SpikeZooError,
    first_line,
)
from spike_zoo.formats.dat_sizes import COMMON_SIZES
from spike_zoo.spikes.packing import pack_bits, packed_width
from spike_zoo.spikes.recording import Selection, SpikeRecording, positive_number

_SPIKE_KEYS = ("spikes", "spike", "spk")
_ATTRIBUTES = ("fps", "threshold", "rate_scale")
_PLAIN = (bool, int, float, str, np.bool_, np.integer, np.floating)
_NOT_SCALARS = (*_SPIKE_KEYS, "file", "allow_pickle")  # the last two are arguments of np.savez
_BLOCK_BYTES = 1 << 22
_MAX_ASPECT, _MIN_SIDE = 4, 32  # limits for the plane of a camera


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayPlanes:
    """Packed planes of a ``.npy`` file, read and checked on demand. No file stays open."""

    def __init__(self, path: Path, header: _Header, offset: int) -> None:
        self.path, self.header, self.offset = path, header, offset
        planes, height, width = header.shape
        self.shape = (planes, height, packed_width(width))
        self._block = max(1, _BLOCK_BYTES // (header.size // planes))
        self[: self._block]  # most arrays that are no spikes are rejected at once

    def __getitem__(self, selection: Selection) -> NDArray[np.uint8]:
        """Read a range of planes, or ``[planes, rows, bytes of a row]`` of them."""
        whole = selection if isinstance(selection, tuple) else (selection, slice(None), slice(None))
        start, stop, _ = whole[0].indices(self.shape[0])
        parts = [
            pack_checked(self._values(first, min(first + self._block, stop)), str(self.path))
            for first in range(start, max(stop, start + 1), self._block)
        ]
        return np.concatenate(parts)[:, whole[1], whole[2]]

    def _values(self, start: int, stop: int) -> NDArray[Any]:
        header = self.header
        with format_errors(self.path), self.path.open("rb") as stream:
            if header.fortran:  # planes are not contiguous
                mapped = np.memmap(stream, header.dtype, "r", self.offset, header.shape, order="F")
                return _as_numbers(np.array(mapped[start:stop], order="C"))
            stream.seek(self.offset + start * (header.size // self.shape[0]))
            return _as_numbers(_read_block(stream, header, max(stop - start, 0)))


def read_npy(path: Path) -> SpikeRecording:
    """Open ``(T, H, W)`` of zeros and ones; planes are read on demand."""
    with format_errors(path), path.open("rb") as stream:
        header = _read_header(stream, str(path))
        check_spikes(header.shape, header.dtype, str(path))
        _check_size(header, path.stat().st_size - stream.tell(), str(path))
        return SpikeRecording(ArrayPlanes(path, header, stream.tell()), header.shape[2])


def read_npz(path: Path, key: str | None = None, *, most: int | None = None) -> SpikeRecording:
    """Read the spikes and the scalars of an ``.npz`` file.

    The spikes are the array ``key``; else ``spikes``, ``spike``, ``spk``; else the only 3-D array.
    With a scalar ``width`` they may be packed along W. Other scalars are stored in ``meta``.
    ``most`` limits the number of planes.
    """
    with format_errors(path), zipfile.ZipFile(path) as archive:
        members = _members(path, archive)
        headers = {name: _member_header(path, archive, info) for name, info in members.items()}
        scalars = {
            name: _scalar(path, archive, members[name], header)
            for name, header in headers.items()
            if header.shape == () and header.dtype.kind in "biufU"
        }
        name = _find_spikes(path, headers, key)
        width = scalars.pop("width", None)
        with archive.open(members[name]) as stream:
            header = _read_header(stream, f"{path}: {name}")
            left = members[name].file_size - stream.tell()
            packed, columns = _spikes(stream, header, left, f"{path}: {name}", width, most)
    attributes = {name: _number(path, name, scalars.pop(name, None)) for name in _ATTRIBUTES}
    return SpikeRecording(
        packed,
        columns,
        fps=attributes["fps"] or 0.0,
        threshold=attributes["threshold"],
        rate_scale=attributes["rate_scale"],
        meta=scalars,
    )


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of an ``.npz`` by name; raise FormatError if there are none."""
    members = {
        info.filename.removesuffix(".npy"): info
        for info in archive.infolist()
        if info.filename.endswith(".npy")
    }
    if not members:
        raise FormatError.at(path, "a zip file without numpy arrays, not an .npz of spikes")
    return members


def write_npy(recording: SpikeRecording, path: Path) -> None:
    """Write all planes as one bool array ``(T, H, W)``, block by block, without attributes."""
    planes, height, width = recording.shape
    header = {"descr": "|b1", "fortran_order": False, "shape": recording.shape}
    block = max(1, _BLOCK_BYTES // (height * width))
    with path.open("wb") as stream:
        npy.write_array_header_1_0(stream, header)
        for first in range(0, planes, block):
            values = recording.read(first, min(first + block, planes))
            # not tofile: its error does not state why a write failed
            stream.write(np.ascontiguousarray(values).data)


def write_npz(recording: SpikeRecording, path: Path) -> None:
    """Write the packed planes as ``spikes``, and ``width``, attributes and metadata as scalars."""
    _, _, width = recording.shape
    fields: dict[str, Any] = {
        name: value
        for name, value in recording.meta.items()
        if isinstance(value, _PLAIN) and name not in _NOT_SCALARS
    }
    spikes = cleared_pad_bits(recording.packed, width)
    fields |= {"spikes": spikes, "width": np.int64(width), "fps": float(recording.fps)}
    for name in ("threshold", "rate_scale"):
        value = getattr(recording, name)
        fields.pop(name, None)
        if value is not None:
            fields[name] = float(value)
    with path.open("wb") as stream:
        np.savez(stream, **fields)


def cleared_pad_bits(packed: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Set the bits beyond ``width`` of packed planes to 0; copy them only if necessary."""
    if width % 8 == 0 or not (packed[..., -1] >> width % 8).any():
        return packed
    cleared = packed.copy()
    cleared[..., -1] &= (1 << width % 8) - 1
    return cleared


@contextlib.contextmanager
def format_errors(path: Path) -> Iterator[None]:
    """Convert errors of zipfile and numpy for damaged files to a FormatError of one line."""
    try:
        yield
    except SpikeZooError:
        raise
    except MemoryError as error:
        raise FormatError.at(path, "declares more data than fit into memory") from error
    except (
        zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, EOFError,
        OSError, ValueError, RuntimeError, LookupError, TypeError, OverflowError,
    ) as error:  # fmt: skip
        raise FormatError.at(path, f"damaged or cut short ({first_line(error)})") from error


def _read_header(stream: IO[bytes], name: str) -> _Header:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise FormatError.at(name, f"numpy format {version} is not supported, expected 1.0 or 2.0")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    header = _Header(*read(stream))
    if any(not isinstance(side, int) or side < 0 for side in header.shape):
        raise FormatError.at(name, f"declares the invalid shape {header.shape}")
    return header


def _member_header(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    with archive.open(info) as stream:
        return _read_header(stream, f"{path}: {info.filename}")


def _scalar(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: _Header) -> object:
    if header.dtype.itemsize > _BLOCK_BYTES:
        raise FormatError(
            f"{path}: {info.filename}: the scalar has {header.dtype.itemsize} bytes, expected at "
            f"most {_BLOCK_BYTES}"
        )
    with archive.open(info) as stream:
        return npy.read_array(stream, allow_pickle=False).item()


def _find_spikes(path: Path, headers: Mapping[str, _Header], key: str | None) -> str:
    cubes = [name for name, header in headers.items() if len(header.shape) == 3]
    keys = (key,) if key is not None else _SPIKE_KEYS
    candidates = [name for name in keys if name in headers]
    if key is None and not candidates and len(cubes) == 1:
        candidates = cubes
    if candidates:
        return candidates[0]
    members = ", ".join(f"{name} {header.shape}" for name, header in headers.items())
    lacks = (
        f"no array is named {', '.join(_SPIKE_KEYS)}, and {len(cubes) or 'none'} have three axes"
        if key is None
        else f"no array is named {key}"
    )
    raise MissingItemError.at(path, f"{lacks}. The file holds {members}; choose one with --name")


def _spikes(
    stream: IO[bytes], header: _Header, left: int, name: str, width: object, most: int | None
) -> tuple[NDArray[np.uint8], int]:
    """Read spikes, packed in the file if ``width`` fits the array; return packed planes and W."""
    packed = (
        isinstance(width, int)
        and width > 0
        and len(header.shape) == 3
        and header.dtype == np.uint8
        and header.shape[2] == packed_width(width)
        and header.shape[2] != width
    )
    if not packed or not isinstance(width, int):
        return _pack_stream(stream, header, left, name, most), header.shape[2]
    _check_size(header, left, name)
    data = _read_block(stream, header, min(header.shape[0], most or header.shape[0]))
    if cleared_pad_bits(data, width) is not data:
        raise FormatError.at(name, f"bits beyond column {width} are not zero")
    return np.ascontiguousarray(data), width


def check_spikes(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Raise if an array cannot be spikes ``(T, H, W)``; warn if the order of axes looks wrong."""
    if len(shape) != 3 or min(shape) < 1 or dtype.kind not in "biuf":
        raise NotSpikesError.at(
            name,
            f"an array {shape} of {dtype} is not a spike stream; expected numbers 0 or 1 of shape "
            "(planes, height, width)",
        )
    planes, height, width = shape
    if _is_transposed(planes, height, width):
        warnings.warn(
            f"{name}: the shape {shape} is read as {planes} planes of {height}x{width}, an unusual "
            "size. If its axes are (height, width, planes), save array.transpose(2, 0, 1)",
            stacklevel=3,
        )


def _is_transposed(planes: int, height: int, width: int) -> bool:
    """Return whether a shape ``(T, H, W)`` is more plausible as ``(H, W, T)``."""
    if (height, width) in COMMON_SIZES:
        return False
    is_narrow = max(height, width) > _MAX_ASPECT * min(height, width)
    is_image = max(planes, height) <= _MAX_ASPECT * min(planes, height)
    return (planes, height) in COMMON_SIZES or (
        is_narrow and is_image and min(planes, height) >= _MIN_SIDE
    )


def pack_checked(data: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Pack planes; raise NotSpikesError if a value is neither 0 nor 1."""
    try:
        return pack_bits(data)
    except ValueError as error:
        hint, found = "", np.unique(data)
        if found[-1] > 0 and not np.setdiff1d(found, (0, found[-1])).size:
            hint = f". Divide by {found[-1]:g}: np.save('clip.npy', array > 0)"
        elif data.dtype == np.uint8 and found.size > 2:
            width = 8 * data.shape[2]
            hint = (
                f". The array looks packed, with 8 pixels in each byte of the last axis; then save "
                f"it with the width W of a plane, {width - 7} to {width}: np.savez('clip.npz', "
                "spikes=array, width=W). The leftmost pixel is the lowest bit: "
                "np.packbits(planes, axis=-1, bitorder='little')"
            )
        raise NotSpikesError.at(name, f"{error}{hint}") from error


def _check_size(header: _Header, left: int, name: str) -> None:
    if header.size > left:
        raise FormatError.at(
            name, f"truncated, the header states {header.size} bytes but {left} follow"
        )


def _pack_stream(
    stream: IO[bytes], header: _Header, left: int, name: str, most: int | None
) -> NDArray[np.uint8]:
    check_spikes(header.shape, header.dtype, name)
    _check_size(header, left, name)
    planes, height, width = header.shape
    per_plane = height * width * header.dtype.itemsize
    block = planes if header.fortran else max(1, _BLOCK_BYTES // per_plane)
    planes = planes if header.fortran else min(planes, most or planes)
    parts = []
    for first in range(0, planes, block):
        data = _read_block(stream, header, min(block, planes - first))
        parts.append(pack_checked(_as_numbers(data), name))
    return np.ascontiguousarray(np.concatenate(parts))  # of arrays in Fortran order too


def _as_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return bools as bytes, because a damaged bool may hold another value than 0 or 1."""
    return values.view(np.uint8) if values.dtype == np.bool_ else values


def _read_block(stream: IO[bytes], header: _Header, planes: int) -> NDArray[Any]:
    shape = (planes, *header.shape[1:])
    size = math.prod(shape) * header.dtype.itemsize
    data = stream.read(size)
    if len(data) != size:
        raise EOFError(f"{size - len(data)} bytes of the spikes are missing")
    values = np.frombuffer(data, dtype=header.dtype)
    return values.reshape(shape[::-1]).T if header.fortran else values.reshape(shape)


def _number(path: Path, name: str, value: object) -> float | None:
    number = positive_number(name, value)
    if number is None and value is not None:
        raise FormatError.at(path, f"{name} is {value!r}, expected a number > 0")
    return number
