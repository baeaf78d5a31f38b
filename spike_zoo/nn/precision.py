"""Where half precision pays, and layers that must not be rounded to it."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn


def has_fast_bf16(*, gpu: bool = True) -> bool:
    """Return whether bf16 is faster here: on a GPU that has it, or a CPU with instructions for it.

    Args:
        gpu: Whether a GPU would be taken where there is one.
    """
    if gpu and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


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
