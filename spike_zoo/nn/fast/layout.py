"""Where faster layers apply, and the memory layout of images: channels-last or contiguous."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


def lay_out(module: nn.Module, layout: torch.memory_format) -> None:
    """Let the convolutions of a module compute in a layout, as their weights are laid out then.

    Args:
        module: Any.
        layout: ``torch.channels_last``, in which CPUs convolve faster where pixels are many, or
            ``torch.contiguous_format``.
    """
    module.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack this form


def is_channels_last(layer: nn.Conv2d) -> bool:
    """Return whether a convolution computes channels-last; unknown for 1x1."""
    return layer.weight.is_contiguous(memory_format=torch.channels_last)


def has_rows(x: Tensor) -> bool:
    """Return whether the channels of every pixel of ``(B, C, H, W)`` lie together in memory."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def laid_out_for(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return ``(B, C, H, W)`` as a convolution's weights are laid out, as their gradient will be.

    PyTorch computes channels-last if either is; gradients of another layout than the weights' are
    copied over and over.
    """
    is_last = is_channels_last(layer)
    return x.contiguous(memory_format=torch.channels_last if is_last else torch.contiguous_format)


def join_channels(parts: Sequence[Tensor], consumer: nn.Conv2d | None = None) -> Tensor:
    """Join ``(B, C_i, H, W)`` along the channels, in the precision and layout of their consumer.

    Args:
        parts: Of one size.
        consumer: The convolution that reads them; the layout of the last part by default.
    """
    if consumer is None:
        rows = has_rows(parts[-1])
    else:
        rows, parts = is_channels_last(consumer), _as_computed(parts)
    if not rows:
        # Whole channels one after the other: the plain copy is already as the consumer wants it.
        return torch.cat(list(parts), dim=1)
    # The copy that joins interleaves the channels at once. Joining channel after channel and
    # copying takes 3.5 times as long, as much as a tenth of a forward pass of STIR.
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=-1).permute(0, 3, 1, 2)


def _as_computed(parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return tensors in the precision that autocast computes in: a cast first halves the copy."""
    device = parts[0].device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return parts
    return [part.to(torch.get_autocast_dtype(device)) for part in parts]


def is_eager_cpu(x: Tensor) -> bool:
    """Return whether what is computed of ``x`` is computed on a CPU, operation by operation.

    A compiler finds better ways by itself, and accelerators have none of the CPU's weak spots.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def only_makes_pictures(x: Tensor) -> bool:
    """Return whether what is computed of ``x`` is not learned from either.

    Then layers may write over their input and take weights together that are learned apart.
    """
    return is_eager_cpu(x) and not torch.is_grad_enabled()
