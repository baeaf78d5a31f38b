"""Custom operator of deformable convolution: compiled kernels on CPUs, torchvision's on CUDA.

It is registered as an operator so that PyTorch's flop counter uses its formula. The counter would
miss matrix products computed in bands and torchvision's operator.
"""

import functools
import importlib.util
import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import conv_flop_count, register_flop_formula

from spike_zoo.nn.fast.bands import convolve, convolve_backwards


def has_operator(device: str) -> bool:
    """Return whether :func:`deform_conv2d_operator` supports a device type."""
    return device == "cpu" or (device == "cuda" and has_torchvision("CUDA"))


@functools.cache
def has_torchvision(key: str) -> bool:
    """Return whether torchvision's operator has a kernel for a dispatch key, as ``"CUDA"``.

    The result is cached. torchvision is not imported, because builds for another version of torch
    fail to load.
    """
    if "torchvision" not in sys.modules:
        importlib.util.find_spec("torchvision")  # the package's guard loads the library if it can
    if not hasattr(torch.ops.torchvision, "deform_conv2d"):
        return False
    return torch._C._dispatch_has_kernel_for_dispatch_key("torchvision::deform_conv2d", key)


@torch.library.custom_op("spike_zoo::deform_conv2d", mutates_args=(), device_types="cpu")
def deform_conv2d_operator(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None
) -> Tensor:
    """Compute :func:`spike_zoo.nn.deform_conv2d` for arguments that have been checked."""
    output = convolve(input, offset, weight, mask)
    return output if bias is None else output.add_(bias[:, None, None])


@torch.library.custom_op("spike_zoo::deform_conv2d_backward", mutates_args=(), device_types="cpu")
def _backward(
    gradient: Tensor,
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    of_samples: bool,
    of_weight: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of input, offset, weight and mask.

    The flags ``of_samples`` and ``of_weight`` are only used by the flop formula.
    """
    return convolve_backwards(gradient, input, offset, weight, mask)


@deform_conv2d_operator.register_kernel("cuda")
def _by_torchvision(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None
) -> Tensor:
    arguments = _for_torchvision(input, offset, weight, bias, mask)
    return torch.ops.torchvision.deform_conv2d(*arguments)


@_backward.register_kernel("cuda")
def _back_by_torchvision(
    gradient: Tensor,
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    of_samples: bool,
    of_weight: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    arguments = _for_torchvision(input, offset, weight, None, mask)
    gradients = torch.ops.torchvision._deform_conv2d_backward(gradient, *arguments)
    # torchvision's order is input, weight, offset, mask.
    return gradients[0], gradients[2], gradients[1], gradients[3]


def _for_torchvision(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None
) -> tuple[Tensor | int | bool, ...]:
    """Return the arguments of torchvision's operator, with placeholders for missing tensors."""
    kernel = weight.shape[-1]
    unused_mask, no_bias = input.new_zeros(len(input), 1), weight.new_zeros(len(weight))
    tensors = (
        *(input, weight, offset),
        unused_mask if mask is None else mask,
        no_bias if bias is None else bias,
    )
    geometry = 1, 1, kernel // 2, kernel // 2, 1, 1  # stride, padding, dilation
    groups = 1, offset.shape[1] // (2 * kernel**2)  # of the weight, of the offset
    return *tensors, *geometry, *groups, mask is not None


@deform_conv2d_operator.register_fake
def _fake_output(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None
) -> Tensor:
    return input.new_empty(len(input), len(weight), *input.shape[2:])


@_backward.register_fake
def _fake_gradients(
    gradient: Tensor,
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    of_samples: bool,
    of_weight: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    of_mask = input.new_empty(0) if mask is None else torch.empty_like(mask)
    return torch.empty_like(input), torch.empty_like(offset), torch.empty_like(weight), of_mask


def _save_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401  # torch's own
    input, offset, weight, _, mask = inputs
    ctx.save_for_backward(input, offset, weight, mask)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401  # torch's own
    tensors = ctx.saved_tensors
    wanted = ctx.needs_input_grad  # input, offset, weight, bias, mask
    of_samples = wanted[0] or wanted[1] or wanted[4]
    gradients: list[Tensor | None] = [None] * 4
    if of_samples or wanted[2]:
        gradients = list(_backward(gradient, *tensors, of_samples, wanted[2]))
    gradients.insert(3, gradient.sum(dim=(0, 2, 3)) if wanted[3] else None)
    return tuple(x if is_wanted else None for x, is_wanted in zip(gradients, wanted, strict=True))


deform_conv2d_operator.register_autograd(_differentiate, setup_context=_save_context)


@register_flop_formula(torch.ops.spike_zoo.deform_conv2d)
def _flops(
    input: list[int], offset: list[int], weight: list[int], *others: object, out_shape: list[int]
) -> int:
    """Return the flops of a standard convolution of this size; sampling is not counted."""
    return conv_flop_count(input, weight, out_shape)


@register_flop_formula(torch.ops.spike_zoo.deform_conv2d_backward)
def _backward_flops(
    gradient: list[int],
    input: list[int],
    offset: list[int],
    weight: list[int],
    mask: list[int] | None,
    of_samples: bool,
    of_weight: bool,
    *,
    out_shape: object,
) -> int:
    """Return the flops of the backward pass: one product each for the samples and the weight."""
    return (of_samples + of_weight) * conv_flop_count(input, weight, gradient)
