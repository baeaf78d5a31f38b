"""Deformable convolution v2 (modulated): learned offset and mask per tap."""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.nn.fast.deformable import deform_conv2d_operator, has_operator
from spike_zoo.nn.precision import without_autocast


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    padding: int = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Apply a convolution with an offset and a weight (mask) per tap and pixel.

    Signature, order of channels and result are torchvision's. Sampling is bilinear; samples outside
    the image and with offsets that are not finite are 0. At integer positions, the gradient of the
    offset is the slope to the right and down.

    Args:
        input: ``(B, C, H, W)``.
        offset: ``(B, 2 * groups * K * K, H, W)`` in pixels; (down, right) for each tap of the
            kernel, row by row, for each group. The ``C / groups`` channels of a group share their
            sampling positions. The number of groups follows from the number of channels.
        weight: ``(N, C, K, K)``, K odd.
        bias: ``(N,)``.
        padding: ``K // 2``, so that the image keeps its size.
        mask: ``(B, groups * K * K, H, W)``, factor of each sample; 1 by default.

    Returns:
        ``(B, N, H, W)`` in the input's precision, also within autocast; computed in at least
        float32.

    Raises:
        ValueError: If the shapes do not match; states them.

    Source: Zhu et al., *Deformable ConvNets v2: More Deformable, Better Results*, CVPR 2019,
    Eq. (1).
    """
    _check_kernel(input, weight, bias, padding)
    _check_taps(input, offset, mask, taps=weight[0, 0].numel())
    dtype = torch.promote_types(input.dtype, torch.float32)
    bias, mask = (None if x is None else x.to(dtype) for x in (bias, mask))
    by_operator = has_operator(input.device.type) and not torch.compiler.is_compiling()
    compute = deform_conv2d_operator if by_operator else _plain
    with without_autocast(input.device.type):
        output = compute(input.to(dtype), offset.to(dtype), weight.to(dtype), bias, mask)
    return output.to(input.dtype)


def _check_kernel(input: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> None:
    """Raise ValueError for weights of another shape or for another number of channels."""
    if input.ndim != 4 or weight.ndim != 4:
        raise ValueError(
            f"input must be (B, C, H, W) and weight (N, C, K, K), got {tuple(input.shape)} and "
            f"{tuple(weight.shape)}"
        )
    count, channels, kernel, columns = weight.shape
    if kernel != columns or kernel % 2 == 0 or padding != kernel // 2:
        raise ValueError(
            f"the kernel must be square and odd with padding K // 2, got {kernel}x{columns} with "
            f"padding {padding}"
        )
    if input.shape[1] != channels:
        raise ValueError(f"weight takes {channels} channels, input has {input.shape[1]}")
    if bias is not None and bias.shape != (count,):
        raise ValueError(f"bias must be ({count},) as the weight, got {tuple(bias.shape)}")


def _check_taps(input: Tensor, offset: Tensor, mask: Tensor | None, taps: int) -> None:
    """Raise ValueError for offsets and masks whose channels do not match groups and taps."""
    batch, channels, height, width = input.shape
    groups = max(1, offset.shape[1] // (2 * taps)) if offset.ndim == 4 else 1
    wanted = (batch, 2 * groups * taps, height, width)
    if offset.shape != wanted:
        raise ValueError(
            f"offset must be (B, 2 * groups * {taps}, H, W), with {groups} groups {wanted}, got "
            f"{tuple(offset.shape)}"
        )
    if channels % groups:
        raise ValueError(
            f"{channels} channels are not divisible by {groups} groups, the number given by the "
            f"{offset.shape[1]} channels of the offset"
        )
    wanted = (batch, groups * taps, height, width)
    if mask is not None and mask.shape != wanted:
        raise ValueError(
            f"mask must be (B, groups * {taps}, H, W), with {groups} groups {wanted}, got "
            f"{tuple(mask.shape)}"
        )


def _plain(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None
) -> Tensor:
    """Compute the convolution with PyTorch operations, for all devices and compilers."""
    columns = _columns(input, offset, mask, kernel=weight.shape[-1])
    # One product per image with the same weights: `@` would copy the columns into one matrix.
    output = torch.bmm(weight.flatten(1).expand(len(input), -1, -1), columns)
    output = output.unflatten(2, input.shape[-2:])
    return output if bias is None else output + bias[:, None, None]


def _columns(input: Tensor, offset: Tensor, mask: Tensor | None, kernel: int) -> Tensor:
    """Return the samples of all taps at all pixels, ``(B, C * K * K, H * W)``."""
    batch, channels, height, width = input.shape
    y, x = _positions(offset, kernel)
    is_inside = (y >= -1) & (y < height) & (x >= -1) & (x < width)
    # The image has a margin of zeros; positions beyond the margin are moved to its corner.
    y, x = torch.where(is_inside, y, -1.0), torch.where(is_inside, x, -1.0)
    top, left = y.detach().floor(), x.detach().floor()
    down, right = y - top, x - left
    up, back = 1.0 - down, 1.0 - right
    shares = [up * back, up * right, down * back, down * right]
    if mask is not None:
        weights = mask.reshape_as(y)
        shares = [share * weights for share in shares]
    stride = width + 2
    table = F.pad(input, (1, 1, 1, 1)).reshape(batch, y.shape[1], channels // y.shape[1], -1)
    first = (top.long() + 1) * stride + left.long() + 1
    corners = zip(shares, (0, 1, stride, stride + 1), strict=True)
    terms = (
        _gathered(table, first + step) * share.flatten(2)[:, :, None] for share, step in corners
    )
    return functools.reduce(torch.add, terms).reshape(batch, channels * kernel**2, height * width)


def _gathered(table: Tensor, index: Tensor) -> Tensor:
    """Return the values of a table ``(B, groups, C, P)`` at the positions of each group."""
    # All channels of a group share their positions: the index is expanded, not copied.
    return table.gather(3, index.flatten(2)[:, :, None].expand(-1, -1, table.shape[2], -1))


def _positions(offset: Tensor, kernel: int) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the sampling positions, each ``(B, groups, K * K, H, W)``."""
    batch, _, height, width = offset.shape
    down, right = offset.reshape(batch, -1, kernel * kernel, 2, height, width).unbind(3)
    reach = torch.arange(kernel, device=offset.device) - kernel // 2
    rows = reach.repeat_interleave(kernel)[:, None] + torch.arange(height, device=offset.device)
    columns = reach.repeat(kernel)[:, None] + torch.arange(width, device=offset.device)
    return rows[:, :, None] + down, columns[:, None] + right
