"""PReLU computed part by part, with parts that fit a core's cache.

PyTorch's PReLU takes a twentieth of STIR's training step. For 133 channels, this one takes a fifth
of the time in inference, because it works in place, and less than half in training.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spike_zoo.nn.fast.layout import is_eager_cpu

PART = 2**19  # elements in a part


class PReLU(nn.PReLU):
    """PReLU that may overwrite its input ``(B, C, H, W)``, so nothing else may use the input.

    Args:
        num_parameters: Number of slopes: 1 for all channels, or one per channel.
        init: Initial value of the slopes.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the PReLU."""
        return prelu(x, self.weight)


def prelu(x: Tensor, slopes: Tensor) -> Tensor:
    """Apply a PReLU to ``(B, C, H, W)``; the input may be overwritten.

    Slopes are ``(C,)``, or ``(1,)`` for all channels.
    """
    if not is_eager_cpu(x):
        return F.prelu(x, slopes)
    if torch.is_grad_enabled() and (x.requires_grad or slopes.requires_grad):
        return _PartwisePReLU.apply(x, slopes)  # type: ignore[no-untyped-call]  # torch's own
    return _prelu_(x, slopes)


def _prelu_(x: Tensor, slopes: Tensor) -> Tensor:
    """Apply :func:`prelu` in place, because allocation takes longer than the computation."""
    slopes = slopes.to(x.dtype)
    for (part,) in _in_parts(x):
        part.copy_(torch.prelu(part, slopes))
    return x


class _PartwisePReLU(torch.autograd.Function):
    """PReLU with a vectorised backward pass; PyTorch's is not vectorised."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor) -> Tensor:  # noqa: ANN401  # torch's own
        """Apply the PReLU to ``(B, C, H, W)``."""
        ctx.save_for_backward(x, slopes)
        return torch.prelu(x, slopes.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401  # torch's
        """Return the gradients of the input and of the slopes."""
        x, slopes = ctx.saved_tensors
        by_channel = slopes.to(x.dtype).view(-1, 1, 1)
        of_x = torch.empty_like(x)
        of_slopes = slopes.new_zeros(x.shape[1])
        relu_backward = torch.ops.aten.threshold_backward.grad_input
        for x_part, gradient_part, result in _in_parts(x, gradient, of_x):
            # The gradient of x is the gradient itself for x > 0, otherwise times the slope. The
            # gradient of the slopes is summed while the part is still in the cache.
            relu_backward(gradient_part, x_part, 0, grad_input=result)
            negative = gradient_part - result
            result.addcmul_(negative, by_channel)
            of_slopes += negative.mul_(x_part).sum(dim=(0, 2, 3), dtype=slopes.dtype)
        return of_x, of_slopes if slopes.numel() > 1 else of_slopes.sum().view_as(slopes)


def _in_parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield parts of ``(B, C, H, W)`` tensors of equal shape: some rows of one image each."""
    batch, channels, _, width = tensors[0].shape
    rows = max(1, PART // (channels * width))
    for index in range(batch):
        images = [tensor[index : index + 1].split(rows, dim=2) for tensor in tensors]
        yield from zip(*images, strict=True)
