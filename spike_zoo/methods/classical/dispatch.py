"""Spike counts, intervals and nearest spikes: compiled loops on the CPU, else tensor operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.methods.classical.plans import IntervalRuns, Windows


class OutsideSpikes(NamedTuple):
    """Nearest spikes outside a range of planes, and the limit of the search.

    Plane indexes are relative to the first plane of the range.

    Attributes:
        before: float32 ``(B, H, W)``, plane of the last spike before the range, or minus infinity.
        after: float32 ``(B, H, W)``, plane of the first spike after the range, or infinity.
        limit: At boundary b, the last spike must be >= b - limit, the next spike < b + limit.
        fallback: Rate if one of the two spikes is outside the limit.
    """

    before: Tensor
    after: Tensor
    limit: float = float("inf")
    fallback: float = 0.0


def is_compiled_for(device: torch.device) -> bool:
    """Return whether tensors on a device are processed by the compiled loops."""
    return device.type == "cpu"


def mean_in_windows(clips: Tensor, windows: Windows) -> Tensor:
    """Return weighted counts ``(B, N, H, W)`` of spikes in windows of clips ``(B, T, H, W)``."""
    if not is_compiled_for(clips.device):
        return _mean_in_windows(clips, windows)
    from spike_zoo.methods.classical import kernels  # imported on use: Numba loads slowly

    planes = clips.contiguous().numpy()
    batch, _, height, width = planes.shape
    out = large_array(batch, len(windows.starts), height, width)
    edges = _integers(windows.starts), _integers(windows.stops)
    weights = np.array(windows.weights, np.float32)
    for clip, rates in zip(planes, out, strict=True):
        counts = np.zeros((height, width), np.int32)
        job = ((clip, 0), (clip, 0), (0, 0), counts, *edges, weights, rates)
        kernels.over_rows(kernels.mean_in_windows, height, clip.size, *job)
    return torch.from_numpy(out)


def mean_intervals(clips: Tensor, runs: IntervalRuns, around: OutsideSpikes) -> Tensor:
    """Return means ``(B, N, H, W)`` of the inverse intervals across runs of boundaries.

    Args:
        clips: uint8 ``(B, T, H, W)``, not 0 means a spike.
        runs: Boundaries in 0..T and the runs of boundaries to average.
        around: Nearest spikes outside the clips.
    """
    if not is_compiled_for(clips.device):
        return _mean_intervals(clips, runs, around)
    from spike_zoo.methods.classical import kernels

    planes = clips.contiguous().numpy()
    batch, _, height, width = planes.shape
    out = large_array(batch, len(runs.starts), height, width)
    boundaries = _integers(runs.boundaries)
    edges = _integers(runs.starts), _integers(runs.stops)
    limits = np.float32(around.limit), np.float32(around.fallback)
    outside = zip(around.before.numpy(), around.after.numpy(), strict=True)
    for clip, rates, around_clip in zip(planes, out, outside, strict=True):
        job = (clip, boundaries, around_clip, limits, *edges, rates)
        kernels.over_rows(kernels.mean_inverse_intervals, height, clip.size, *job)
    return torch.from_numpy(out)


def nearest_spikes(clips: Tensor, way: range, beyond: Tensor | None = None) -> Tensor:
    """Return the plane of each pixel's first spike in a range of planes, ``(B, H, W)``.

    Args:
        clips: uint8 ``(B, T, H, W)``, not 0 means a spike.
        way: Planes to search, forward (step 1) or backward (step -1).
        beyond: ``(B, H, W)``, spikes at this plane or nearer do not count.

    Returns:
        float32; if there is no spike, infinity for step 1 and minus infinity for step -1.
    """
    batch, _, height, width = clips.shape
    if beyond is None:
        beyond = torch.full((batch, height, width), -way.step * torch.inf, device=clips.device)
    if not is_compiled_for(clips.device):
        return _nearest_spikes(clips, way, beyond)
    from spike_zoo.methods.classical import kernels

    nearest = np.empty((batch, height, width), np.float32)
    planes = clips.contiguous().numpy()
    for clip, least, out in zip(planes, beyond.numpy(), nearest, strict=True):
        job = (clip, way.start, way.stop, way.step, least, out)
        kernels.over_rows(kernels.nearest_spikes, height, clip.size, *job)
    return torch.from_numpy(nearest)


def _mean_in_windows(clips: Tensor, windows: Windows) -> Tensor:
    counts = F.pad((clips != 0).cumsum(dim=1, dtype=torch.int32), (0, 0, 0, 0, 1, 0))
    weights = torch.tensor(windows.weights, device=clips.device).view(-1, 1, 1)
    return (counts[:, windows.stops] - counts[:, windows.starts]) * weights


def _mean_intervals(clips: Tensor, runs: IntervalRuns, around: OutsideSpikes) -> Tensor:
    planes = torch.arange(clips.shape[1], dtype=torch.float32, device=clips.device).view(-1, 1, 1)
    fires = clips != 0
    before, after = around.before[:, None], around.after[:, None]
    # at boundary b: the last spike below b, and the first one at b or later
    last = torch.cat([before, torch.where(fires, planes, before)], dim=1).cummax(dim=1).values
    following = torch.cat([torch.where(fires, planes, after), after], dim=1)
    following = following.flip(1).cummin(dim=1).values.flip(1)
    last, following = last[:, runs.boundaries], following[:, runs.boundaries]
    edges = torch.tensor(runs.boundaries, device=clips.device).view(-1, 1, 1)
    is_far = (edges - last > around.limit) | (following - edges > around.limit - 1)
    # a missing spike is at infinity and gives rate 0
    rates = (1 / (following - last)).masked_fill(is_far, around.fallback)
    means = [
        rates[:, start:stop].mean(dim=1)
        for start, stop in zip(runs.starts, runs.stops, strict=True)
    ]
    return torch.stack(means, dim=1)


def _nearest_spikes(clips: Tensor, way: range, beyond: Tensor) -> Tensor:
    none = way.step * torch.inf
    planes = torch.tensor(way, dtype=torch.float32, device=clips.device).view(-1, 1, 1)
    counts = (clips[:, list(way)] != 0) & ((planes - beyond[:, None]) * way.step > 0)
    candidates = F.pad(torch.where(counts, planes, none), (0, 0, 0, 0, 0, 1), value=none)
    return candidates.amin(dim=1) if way.step > 0 else candidates.amax(dim=1)


def large_array(*shape: int) -> NDArray[np.float32]:
    """Return an empty numpy array, whose large pages are four times as fast to fill."""
    return np.empty(shape, np.float32)


def _integers(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)
