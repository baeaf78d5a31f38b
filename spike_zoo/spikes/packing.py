"""Bits to planes and back: eight pixels of a row in one byte, leftmost in the lowest bit."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor


_MIN_COMPILED_BYTES: Final = 1 << 18
"""Bytes from which numba is loaded for them; fewer are a matter of microseconds either way."""


def packed_width(width: int) -> int:
    """Return the number of bytes that hold one row of ``width`` pixels."""
    return -(-width // 8)


def pack_bits(spikes: NDArray[Any]) -> NDArray[np.uint8]:
    """Pack planes ``(..., W)`` of zeros and ones into bytes ``(..., ceil(W/8))``.

    The bits of the last byte that lie beyond W are 0.

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
    if packed.shape[-1] * 8 == width and packed.flags.c_contiguous:  # no row by row: a third faster
        if not uses_kernel(packed.size):
            flat = np.unpackbits(packed.reshape(-1), bitorder="little").view(np.bool_)
            return flat.reshape(*packed.shape[:-1], width)
        planes = np.empty((*packed.shape[:-1], width), np.bool_)
        unpack_into(packed.reshape(1, 1, -1), planes.reshape(1, 1, -1))
        return planes
    bits = np.unpackbits(packed, axis=-1, count=width, bitorder="little")
    return bits.view(np.bool_)


def uses_kernel(size: int) -> bool:
    """Return whether so many packed bytes are unpacked by the compiled kernel."""
    return size >= _MIN_COMPILED_BYTES and sys.byteorder == "little"


def unpack_into(
    packed: NDArray[np.uint8], planes: NDArray[np.bool_], *, is_flipped: bool = False
) -> None:
    """Unpack rows of whole bytes ``(T, H, B)`` into planes ``(T, H, 8 B)`` by the kernel.

    Args:
        packed: Read.
        planes: Written, contiguous.
        is_flipped: Write the rows of each plane in reverse order.
    """
    from spike_zoo.spikes.kernels import spread_bits

    spread_bits(np.ascontiguousarray(packed), planes.view(np.uint64), is_flipped)


@functools.cache
def _byte_table(device: torch.device) -> Tensor:
    """Return the eight bits of every byte as one int64 each, so that a look-up is one gather."""
    import torch

    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return torch.from_numpy(bits).view(torch.int64).squeeze(1).to(device)


def unpack_tensor(packed: Tensor, width: int) -> Tensor:
    """Unpack bytes ``(..., ceil(W/8))`` on their device into uint8 planes ``(..., W)``."""
    import torch

    table = _byte_table(packed.device)
    bits = table.index_select(0, packed.reshape(-1).int()).view(torch.uint8)
    return bits.view(*packed.shape[:-1], packed.shape[-1] * 8)[..., :width]
