"""Memory layout of images (channels-last or contiguous), and conditions of the fast layers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spike_zoo.nn.precision import AUTOCAST_DEVICES


def set_memory_format(module: nn.Module, layout: torch.memory_format) -> None:
    """Set the memory format of a module's weights, and so that of its convolutions' outputs.

    Args:
        module: Any module.
        layout: ``torch.channels_last``, which is faster on CPUs for large images, or
            ``torch.contiguous_format``.
    """
    module.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack this form


def is_channels_last(layer: nn.Conv2d) -> bool:
    """Return whether a convolution computes channels-last; undefined for 1x1 kernels."""
    return layer.weight.is_contiguous(memory_format=torch.channels_last)


def has_rows(x: Tensor) -> bool:
    """Return whether ``(B, C, H, W)`` is channels-last, and not also contiguous."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def to_layer_format(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return ``(B, C, H, W)`` in the memory format of a convolution's weights.

    PyTorch computes channels-last if either the input or the weights are. Gradients in another
    format than the weights would be copied at every step.
    """
    is_last = is_channels_last(layer)
    return x.contiguous(memory_format=torch.channels_last if is_last else torch.contiguous_format)


def join_channels(parts: Sequence[Tensor], consumer: nn.Conv2d | None = None) -> Tensor:
    """Concatenate ``(B, C_i, H, W)`` along the channels, in precision and layout of their consumer.

    Args:
        parts: Tensors of equal height and width.
        consumer: Convolution that takes the result; by default the layout is that of the last part.
    """
    if consumer is None:
        rows = has_rows(parts[-1])
    else:
        rows, parts = is_channels_last(consumer), _as_computed(parts)
    if not rows:
        return torch.cat(list(parts), dim=1)
    # This copy interleaves the channels. Concatenation of contiguous channels with a second copy to
    # channels-last takes 3.5 times as long, a tenth of a forward pass of STIR.
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=-1).permute(0, 3, 1, 2)


def _as_computed(parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """Cast tensors to autocast's precision, if active, which halves the size of the copy."""
    device = parts[0].device.type
    if not (device in AUTOCAST_DEVICES and torch.is_autocast_enabled(device)):
        return parts
    return [part.to(torch.get_autocast_dtype(device)) for part in parts]


def is_eager_cpu(x: Tensor) -> bool:
    """Return whether operations on ``x`` run eagerly on a CPU.

    The fast layers are not used with compilers, which optimise these operations, or on
    accelerators.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def is_eager_inference(x: Tensor) -> bool:
    """Return whether operations on ``x`` run eagerly on a CPU without gradients.

    Then layers may overwrite their input and fuse weights.
    """
    return is_eager_cpu(x) and not torch.is_grad_enabled()
