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


_WORTH_COMPILED: Final = 1 << 18
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
        return _unpack_flat(packed.reshape(-1)).reshape(*packed.shape[:-1], width)
    bits = np.unpackbits(packed, axis=-1, count=width, bitorder="little")
    return bits.view(np.bool_)


def _unpack_flat(packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if packed.size < _WORTH_COMPILED or sys.byteorder == "big":
        return np.unpackbits(packed, bitorder="little").view(np.bool_)
    from spike_zoo.spikes.kernels import spread_bits

    spread = np.empty(packed.size, np.uint64)
    spread_bits(packed, spread)
    return spread.view(np.bool_)


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
