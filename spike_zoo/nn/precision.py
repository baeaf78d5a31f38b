"""Where half precision pays, and layers that must not be rounded to it."""

from __future__ import annotations

import contextlib
import functools
import time

import torch
from torch import Tensor, nn

_SIDE, _REPEATS = 256, 8
_LEAST_GAIN = 0.8  # of the time in single precision


def has_fast_bf16(*, gpu: bool = True) -> bool:
    """Return whether bf16 is faster here: on a GPU that has it, or on this processor as measured.

    Args:
        gpu: Whether a GPU would be taken where there is one.
    """
    if gpu and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _is_faster_in_bf16()


@functools.cache
def _is_faster_in_bf16() -> bool:
    """Time a small matrix product: on some processors bf16 is slow despite its instructions."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        single, half = (_product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    finally:
        torch.set_num_threads(threads)
    return half < _LEAST_GAIN * single


def _product_seconds(dtype: torch.dtype) -> float:
    """Return the least time of a few matrix products."""
    matrix, taken = torch.ones(_SIDE, _SIDE, dtype=dtype), []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - start)
    return min(taken)


def without_autocast(device: str) -> contextlib.AbstractContextManager[object]:
    """Return a context in which nothing is cast to half precision.

    Args:
        device: Type of the device that computes, as ``"cpu"``.
    """
    if not torch.amp.is_autocast_available(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def in_full_precision(layer: nn.Module, *inputs: Tensor) -> Tensor:
    """Apply a layer in the precision of its parameters, also within autocast.

    For the few cheap layers whose output is a flow or an image: bfloat16 keeps 8 bits, which is
    0.06 pixels at a flow of 16 and a visible step in an image.
    """
    dtype = next(layer.parameters()).dtype
    with without_autocast(inputs[0].device.type):
        return layer(*(x.to(dtype) for x in inputs))
