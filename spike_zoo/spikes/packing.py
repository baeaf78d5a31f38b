"""Packing and unpacking of planes: eight pixels of a row per byte, leftmost in the lowest bit."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor


#: Smallest number of bytes unpacked by the compiled kernel; numpy unpacks fewer in microseconds.
_MIN_COMPILED_BYTES: Final = 1 << 18
_MIN_BYTES_TO_LOAD_NUMBA: Final = 1 << 26  # half a second of numpy, or of loading Numba
_EIGHT_COPIES: Final = np.uint64(0x0101010101010101)
_BIT_OF_EACH: Final = np.uint64(0x8040201008040201)
_TO_THE_TOP: Final = np.uint64(0x007F7F7F7F7F7F7F)


def packed_width(width: int) -> int:
    """Return the number of bytes that hold one row of ``width`` pixels."""
    return -(-width // 8)


def pack_bits(spikes: NDArray[Any]) -> NDArray[np.uint8]:
    """Pack planes ``(..., W)`` of zeros and ones into bytes ``(..., ceil(W/8))``.

    Bits of the last byte beyond W are 0.

    Raises:
        ValueError: If a value is neither 0 nor 1.

    Example:
        >>> pack_bits(np.array([[1, 0, 0, 1, 0, 0, 0, 0, 1]]))
        array([[9, 1]], dtype=uint8)
    """
    if spikes.dtype != np.bool_:
        bits = spikes != 0
        if (wrong := spikes != bits).any():  # NaN differs from everything
            found = np.unique(spikes[wrong])[:3].tolist()
            raise ValueError(f"spikes must be 0 or 1, found {found}")
        spikes = bits
    return np.packbits(spikes, axis=-1, bitorder="little")


def unpack_bits(packed: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Unpack bytes ``(..., ceil(W/8))`` into planes ``(..., W)`` of bool.

    Example:
        >>> unpack_bits(np.array([[9, 1]], np.uint8), width=9).astype(int)
        array([[1, 0, 0, 1, 0, 0, 0, 0, 1]])
    """
    if packed.shape[-1] * 8 == width and packed.flags.c_contiguous:  # a third faster than by rows
        if not uses_kernel(packed.size):
            flat = np.unpackbits(packed.reshape(-1), bitorder="little").view(np.bool_)
            return flat.reshape(*packed.shape[:-1], width)
        planes = np.empty((*packed.shape[:-1], width), np.bool_)
        unpack_into(packed.reshape(1, 1, -1), planes.reshape(1, 1, -1))
        return planes
    bits = np.unpackbits(packed, axis=-1, count=width, bitorder="little")
    return bits.view(np.bool_)


def uses_kernel(size: int) -> bool:
    """Return whether ``size`` packed bytes are unpacked by the compiled kernel.

    It is three times as fast as numpy, but a large array is needed to make up for loading Numba.
    """
    least = _MIN_COMPILED_BYTES if "numba" in sys.modules else _MIN_BYTES_TO_LOAD_NUMBA
    return size >= least and sys.byteorder == "little"


def unpack_into(
    packed: NDArray[np.uint8], planes: NDArray[np.bool_], *, is_flipped: bool = False
) -> None:
    """Unpack rows of whole bytes ``(T, H, B)`` into contiguous planes with the kernel.

    ``is_flipped`` writes the rows of each plane in reverse order.
    """
    _compiled_kernel()(np.ascontiguousarray(packed), planes.view(np.uint64), is_flipped)


@functools.cache
def _compiled_kernel() -> Callable[[NDArray[np.uint8], NDArray[np.uint64], bool], None]:
    """Return the kernel, three times as fast as numpy. Numba is imported at the first call."""
    from spike_zoo.spikes.compiling import compiled

    return compiled(_spread_bits)


def _spread_bits(packed: NDArray[np.uint8], spread: NDArray[np.uint64], is_flipped: bool) -> None:
    """Write bit k of each byte as byte k of a word, 0 or 1, on little-endian processors.

    Arithmetic instead of a table, so that the compiler can vectorise: of eight copies of the byte,
    each keeps a different bit, which an addition carries to the highest bit of the copy. Arguments
    are those of :func:`unpack_into`.
    """
    planes, height, row_bytes = packed.shape
    for plane in range(planes):
        for row in range(height):
            source = height - 1 - row if is_flipped else row
            for index in range(row_bytes):
                copies = (np.uint64(packed[plane, source, index]) * _EIGHT_COPIES) & _BIT_OF_EACH
                bits = ((copies + _TO_THE_TOP) >> np.uint64(7)) & _EIGHT_COPIES
                spread[plane, row, index] = bits


@functools.cache
def _byte_table(device: torch.device) -> Tensor:
    """Return the eight bits of every byte value, packed in one int64 for look-up by one gather."""
    import torch

    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return torch.from_numpy(bits).view(torch.int64).squeeze(1).to(device)


def unpack_tensor(packed: Tensor, width: int) -> Tensor:
    """Unpack bytes ``(..., ceil(W/8))`` into uint8 planes ``(..., W)`` on the same device."""
    import torch

    table = _byte_table(packed.device)
    bits = table.index_select(0, packed.reshape(-1).int()).view(torch.uint8)
    return bits.view(*packed.shape[:-1], packed.shape[-1] * 8)[..., :width]
