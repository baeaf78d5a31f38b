"""One call for every device: compiled loops on the processor, tensor operations elsewhere."""

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


class Surroundings(NamedTuple):
    """What is known of the spikes outside some planes, and how far a spike may be off.

    Attributes:
        before: float32 ``(B, H, W)``, the last spike before the planes, counted from the first
            of them, or minus infinity.
        after: float32 ``(B, H, W)``, the first spike behind them, or infinity.
        limit: A spike counts when last >= b - limit and next < b + limit at boundary b.
        fallback: Value where one does not.
    """

    before: Tensor
    after: Tensor
    limit: float = float("inf")
    fallback: float = 0.0


def is_compiled_for(device: torch.device) -> bool:
    """Return whether tensors on a device go through the compiled loops."""
    return device.type == "cpu"


def mean_in_windows(clips: Tensor, windows: Windows) -> Tensor:
    """Return weighted counts ``(B, N, H, W)`` of spikes in windows of clips ``(B, T, H, W)``."""
    if not is_compiled_for(clips.device):
        return _mean_in_windows(clips, windows)
    from spike_zoo.methods.classical import kernels  # compiling is for those who use it

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


def mean_intervals(clips: Tensor, runs: IntervalRuns, around: Surroundings) -> Tensor:
    """Return means ``(B, N, H, W)`` of the inverse intervals across runs of boundaries.

    Args:
        clips: uint8 ``(B, T, H, W)``, not 0 means a spike.
        runs: Boundaries in 0..T and the runs of them to average.
        around: The spikes outside.
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
    """Return the plane of each pixel's first spike on a way through planes, ``(B, H, W)``.

    Args:
        clips: uint8 ``(B, T, H, W)``, not 0 means a spike.
        way: The planes to look at, ahead (step 1) or back (step -1).
        beyond: ``(B, H, W)``, spikes at this plane or nearer do not count.

    Returns:
        float32; infinity, signed as the step if there is no spike.
    """
    batch, _, height, width = clips.shape
    if beyond is None:
        beyond = torch.full((batch, height, width), -way.step * torch.inf, device=clips.device)
    if not is_compiled_for(clips.device):
        return _nearest_spikes(clips, way, beyond)
    from spike_zoo.methods.classical import kernels

    found = np.empty((batch, height, width), np.float32)
    planes = clips.contiguous().numpy()
    for clip, least, out in zip(planes, beyond.numpy(), found, strict=True):
        job = (clip, way.start, way.stop, way.step, least, out)
        kernels.over_rows(kernels.nearest_spikes, height, clip.size, *job)
    return torch.from_numpy(found)


def _mean_in_windows(clips: Tensor, windows: Windows) -> Tensor:
    counts = F.pad((clips != 0).cumsum(dim=1, dtype=torch.int32), (0, 0, 0, 0, 1, 0))
    weights = torch.tensor(windows.weights, device=clips.device).view(-1, 1, 1)
    return (counts[:, windows.stops] - counts[:, windows.starts]) * weights


def _mean_intervals(clips: Tensor, runs: IntervalRuns, around: Surroundings) -> Tensor:
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
    # one over infinity is the 0 of a missing spike
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
    found = F.pad(torch.where(counts, planes, none), (0, 0, 0, 0, 0, 1), value=none)
    return found.amin(dim=1) if way.step > 0 else found.amax(dim=1)


def large_array(*shape: int) -> NDArray[np.float32]:
    """Return memory from numpy, which asks for large pages: four times as fast to fill."""
    return np.empty(shape, np.float32)


def _integers(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)
