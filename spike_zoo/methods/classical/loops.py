"""The loops of the classical methods as tensor operations, one plane at a time, for any device.

Spikes are bool ``(B, T, H, W)`` here; results lead with the window or boundary:
``(N, B, H, W)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor


def mean_in_windows(
    spikes: Tensor, starts: Sequence[int], stops: Sequence[int], weights: Sequence[float]
) -> Tensor:
    """Count spikes in sliding windows of planes and multiply each count by its weight.

    Args:
        spikes: bool ``(B, T, H, W)``.
        starts: First plane of each window, not descending.
        stops: Past the last plane of each window, not descending.
        weights: What each count is multiplied by.
    """
    batch, _, height, width = spikes.shape
    count = torch.zeros(batch, height, width, dtype=torch.int32, device=spikes.device)
    out = torch.empty(len(starts), batch, height, width, device=spikes.device)
    lo = hi = 0
    for index, (start, stop, weight) in enumerate(zip(starts, stops, weights, strict=True)):
        if start >= hi:  # no plane in common with the window before
            count.zero_()
            lo = hi = start
        for plane in range(hi, stop):
            count += spikes[:, plane]
        # bool cannot be taken away from integers
        for plane in range(lo, start):
            count -= spikes[:, plane].int()
        lo, hi = start, stop
        torch.mul(count, weight, out=out[index])
    return out


def inverse_intervals(
    spikes: Tensor,
    boundaries: Sequence[int],
    before: Tensor,
    after: Tensor,
    limit: float,
    fallback: float,
) -> Tensor:
    """Return one over the interval that spans each boundary between planes.

    Args:
        spikes: bool ``(B, T, H, W)``.
        boundaries: In 0..T, ascending; b lies between planes b - 1 and b.
        before: ``(B, H, W)``, the last spike before plane 0, or minus infinity.
        after: ``(B, H, W)``, the first spike at plane T or later, or infinity.
        limit: Furthest a spike may be from the boundary: last >= b - limit, next < b + limit.
        fallback: Value where a spike is further off.
    """
    planes = spikes.shape[1]
    out = after.new_empty(len(boundaries), *after.shape)
    following, index = after.clone(), len(boundaries) - 1
    for plane in range(planes, -1, -1):
        if plane < planes:
            # the results hold the spikes ahead until the way forth comes by: no memory beside them
            following.masked_fill_(spikes[:, plane], plane)
        while index >= 0 and boundaries[index] == plane:
            out[index] = following
            index -= 1
    last, index = before.clone(), 0
    for plane in range(planes + 1):
        if plane > 0:
            last.masked_fill_(spikes[:, plane - 1], plane - 1)
        while index < len(boundaries) and boundaries[index] == plane:
            far = (plane - last > limit) | (out[index] - plane > limit - 1)
            # 1 / infinity is the 0 of a missing spike, without a case of its own
            out[index].sub_(last).reciprocal_().masked_fill_(far, fallback)
            index += 1
    return out


def mean_over_runs(values: Tensor, starts: Sequence[int], stops: Sequence[int]) -> Tensor:
    """Return the means of ``values[start:stop]`` along the first axis."""
    out = values.new_empty(len(starts), *values.shape[1:])
    for index, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        torch.mean(values[start:stop], dim=0, out=out[index])
    return out


def nearest_spikes(spikes: Tensor, planes: range, beyond: Tensor) -> Tensor:
    """Return the plane of each pixel's first spike on the way through some planes.

    Args:
        spikes: bool ``(B, T, H, W)``.
        planes: The way, ahead or back.
        beyond: ``(B, H, W)``, spikes at this plane or nearer do not count.

    Returns:
        float32 ``(B, H, W)``; infinity, signed as the step of the way if there is none.
    """
    found = torch.full_like(beyond, planes.step * torch.inf)
    for plane in planes:
        further = (plane - beyond) * planes.step > 0
        found.masked_fill_(spikes[:, plane] & further & found.isinf(), plane)
        if plane % 16 == 0 and not found.isinf().any():  # asking waits for the device
            break
    return found


def surrounding_intervals(
    spikes: Tensor, boundaries: Sequence[int]
) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """Yield the intervals before, across and after each boundary, ``(B, H, W)`` in planes.

    Where a spike is missing, the intervals that it would end or begin are infinite.

    Args:
        spikes: bool ``(B, T, H, W)``.
        boundaries: In 0..T, ascending.
    """
    batch, planes, height, width = spikes.shape
    shape, device = (batch, height, width), spikes.device
    ahead = torch.full((len(boundaries), 2, *shape), torch.inf, device=device)
    coming, index = torch.full((2, *shape), torch.inf, device=device), len(boundaries) - 1
    for plane in range(planes, -1, -1):
        if plane < planes:
            fired = spikes[:, plane]
            # a spike moves the next one up to second place, before it takes the first itself
            coming[1] = torch.where(fired, coming[0], coming[1])
            coming[0].masked_fill_(fired, plane)
        while index >= 0 and boundaries[index] == plane:
            ahead[index] = coming
            index -= 1
    past, index = torch.full((2, *shape), -torch.inf, device=device), 0
    for plane in range(planes + 1):
        if plane > 0:
            fired = spikes[:, plane - 1]
            past[1] = torch.where(fired, past[0], past[1])
            past[0].masked_fill_(fired, plane - 1)
        while index < len(boundaries) and boundaries[index] == plane:
            following, second = ahead[index]
            yield _gap(past[1], past[0]), following - past[0], _gap(following, second)
            index += 1


def _gap(earlier: Tensor, later: Tensor) -> Tensor:
    """Return the planes between two spikes, infinite where either is missing."""
    # both missing: infinity minus infinity is no number
    return (later - earlier).nan_to_num(nan=torch.inf, posinf=torch.inf)
