"""Detection of fast bf16, and layers in full precision within autocast."""

import contextlib
import functools
import time
from typing import Final

import torch
from torch import Tensor, nn

#: Types of devices with autocast. Asking PyTorch within a network would break compiled graphs.
AUTOCAST_DEVICES: Final = frozenset(
    device for device in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(device)
)
_WITHOUT_FLOAT64 = {"mps"}  # types of devices
_SIDE, _REPEATS = 256, 8
_MIN_GAIN = 0.8  # bf16 is used if it takes less than this fraction of float32's time


def has_fast_bf16(*, gpu: bool = True) -> bool:
    """Return whether bf16 is faster than float32 on this machine; with ``gpu``, on its GPU if any.

    On a GPU the answer is whether it supports bf16; on a CPU the speed is measured.
    """
    if gpu and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _is_faster_in_bf16()


@functools.cache
def _is_faster_in_bf16() -> bool:
    """Compare the times of matrix products: some CPUs with bf16 instructions are slow in bf16."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        single, half = (_product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    finally:
        torch.set_num_threads(threads)
    return half < _MIN_GAIN * single


def _product_seconds(dtype: torch.dtype) -> float:
    matrix, seconds = torch.ones(_SIDE, _SIDE, dtype=dtype), []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def exact_device(device: torch.device) -> torch.device:
    """Return the device that computes in float64: the CPU if the device has no float64."""
    return torch.device("cpu") if device.type in _WITHOUT_FLOAT64 else device


def fast_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context that computes in bf16 on a CPU on which it is faster, without gradients.

    Elsewhere the context changes nothing.
    """
    if device.type != "cpu" or torch.is_grad_enabled() or not has_fast_bf16(gpu=False):
        return contextlib.nullcontext()
    return torch.autocast("cpu", torch.bfloat16)


def without_autocast(device: str) -> contextlib.AbstractContextManager[object]:
    """Return a context that disables autocast of a device type, as ``"cpu"``."""
    if device not in AUTOCAST_DEVICES:
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def in_full_precision(layer: nn.Module, *inputs: Tensor) -> Tensor:
    """Apply a layer in the precision of its parameters, also within autocast.

    Use it for cheap layers whose output is a flow or an image: bfloat16 keeps 8 bits, a rounding of
    0.06 pixels at a flow of 16 and a visible step in an image.
    """
    dtype = next(layer.parameters()).dtype
    with without_autocast(inputs[0].device.type):
        return layer(*(x.to(dtype) for x in inputs))
