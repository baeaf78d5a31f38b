"""Deformable convolution v2 (modulated): learned offset and mask per tap."""

from __future__ import annotations

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
    """Return a convolution whose taps are moved and weighed at every pixel.

    Signature, order of channels and result are torchvision's. Samples are bilinear; outside of the
    image is 0, as where an offset is not finite. Where a position is whole, the offset's gradient
    is the slope to the right and down.

    Args:
        input: ``(B, C, H, W)``.
        offset: ``(B, 2 * groups * K * K, H, W)`` in pixels: of each group and each tap, row by row
            of the kernel, first down, then right. A group is ``C / groups`` channels that look at
            the same places; how many there are is read off the number of channels.
        weight: ``(N, C, K, K)``, K odd.
        bias: ``(N,)``.
        padding: ``K // 2``, so that the image keeps its size.
        mask: ``(B, groups * K * K, H, W)``, what a sample counts; 1 by default.

    Returns:
        ``(B, N, H, W)`` in the input's precision, also within autocast; computed in float32 at
        least.

    Raises:
        ValueError: If shapes do not belong together; names the numbers.

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
        made = compute(input.to(dtype), offset.to(dtype), weight.to(dtype), bias, mask)
    return made.to(input.dtype)


def _check_kernel(input: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> None:
    """Reject weights of another form or for another number of channels."""
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
    """Reject offsets and masks that do not give every group of channels its taps."""
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
            f"{channels} channels cannot be shared out among {groups} groups, as many as the "
            f"{offset.shape[1]} channels of the offset stand for"
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
    """Compute it of PyTorch's own operations, so on every device and by every compiler."""
    columns = _columns(input, offset, mask, kernel=weight.shape[-1])
    # one product for each image, of the same weights: `@` would copy the columns to make it one
    made = torch.bmm(weight.flatten(1).expand(len(input), -1, -1), columns)
    made = made.unflatten(2, input.shape[-2:])
    return made if bias is None else made + bias[:, None, None]


def _columns(input: Tensor, offset: Tensor, mask: Tensor | None, kernel: int) -> Tensor:
    """Return what all taps see at all pixels, ``(B, C * K * K, H * W)``."""
    batch, channels, height, width = input.shape
    y, x = _positions(offset, kernel)
    is_seen = (y >= -1) & (y < height) & (x >= -1) & (x < width)
    # A margin of zeros on all sides is what lies outside; whatever is farther looks at its corner.
    y, x = torch.where(is_seen, y, -1.0), torch.where(is_seen, x, -1.0)
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
    seen = (_picked(table, first + step) * share.flatten(2)[:, :, None] for share, step in corners)
    return functools.reduce(torch.add, seen).reshape(batch, channels * kernel**2, height * width)


def _picked(table: Tensor, index: Tensor) -> Tensor:
    """Return what all channels ``(B, groups, C, P)`` of a group have at its places."""
    # They look at the same ones: the index is repeated, not copied.
    return table.gather(3, index.flatten(2)[:, :, None].expand(-1, -1, table.shape[2], -1))


def _positions(offset: Tensor, kernel: int) -> tuple[Tensor, Tensor]:
    """Return the rows and columns that are looked at, each ``(B, groups, K * K, H, W)``."""
    batch, _, height, width = offset.shape
    down, right = offset.reshape(batch, -1, kernel * kernel, 2, height, width).unbind(3)
    reach = torch.arange(kernel, device=offset.device) - kernel // 2
    rows = reach.repeat_interleave(kernel)[:, None] + torch.arange(height, device=offset.device)
    columns = reach.repeat(kernel)[:, None] + torch.arange(width, device=offset.device)
    return rows[:, :, None] + down, columns[:, None] + right
