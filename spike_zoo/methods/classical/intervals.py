"""Spike counts and inter-spike intervals of clips: compiled loops on the CPU, else torch.

Boundary b lies between planes b - 1 and b. Its interval begins at the last spike before plane b
and ends at the first spike at plane b or later.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.classical.demosaicking import luminance
from spike_zoo.spikes.cfa import Cfa
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import centred_window

MAX_INTERVAL: Final = 1024
"""Planes beyond which an interval of a recording counts as missing. Longer intervals are darker
than half a grey level of 8 bits if white has 0.6 spikes per plane."""
BLACK: Final = 43  # a pixel stays black at an end of the recording after as many silent planes


class Windows(NamedTuple):
    """Half-open ranges of planes or boundaries, in ascending order."""

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    def shifted(self, planes: int) -> Windows:
        """Return the windows at higher indexes."""
        return Windows(self.starts + planes, self.stops + planes)


def windows_around(centers: Sequence[int], planes: int, length: int) -> Windows:
    """Return the windows of a length of at least 1 around ascending centres, cut to the clip."""
    if length < 1:
        raise ValueError(f"a window has at least 1 plane, got {length}")
    edges = np.array([centred_window(center, length) for center in centers], np.int64)
    return Windows(*edges.reshape(-1, 2).clip(0, planes).T.copy())


def is_compiled_for(device: torch.device) -> bool:
    """Return whether tensors on a device are processed by the compiled loops."""
    return device.type == "cpu"


def mean_in_windows(clips: Tensor, windows: Windows) -> Tensor:
    """Return the spikes per plane ``(B, N, H, W)`` in windows of clips ``(B, T, H, W)``."""
    if not is_compiled_for(clips.device):
        counts = F.pad((clips != 0).cumsum(dim=1, dtype=torch.int32), (0, 0, 0, 0, 1, 0))
        starts, stops = (torch.from_numpy(edges).to(clips.device) for edges in windows)
        return (counts[:, stops] - counts[:, starts]) * (1 / (stops - starts)).view(-1, 1, 1)
    from spike_zoo.methods.classical import kernels  # imported on use: Numba loads slowly

    planes = clips.contiguous().numpy()
    out = large_array(len(planes), len(windows.starts), *planes.shape[2:])
    for clip, rates in zip(planes, out, strict=True):
        spikes = np.zeros(clip.shape[1:], np.int32)
        job = ((clip, 0), (clip, 0), (0, 0), spikes, *windows, rates)
        kernels.over_rows(kernels.mean_in_windows, clip.shape[1], clip.size, *job)
    return torch.from_numpy(out)


def mean_intervals(
    clips: Tensor, windows: Windows, before: Tensor, after: Tensor, limit: float = torch.inf
) -> Tensor:
    """Return means ``(B, N, H, W)`` of the inverse intervals in windows of boundaries.

    Args:
        clips: uint8 ``(B, T, H, W)``, not 0 means a spike.
        windows: Windows of boundaries in 0..T.
        before: float32 ``(H, W)``, plane of the last spike before the clips, or minus infinity.
        after: float32 ``(H, W)``, plane of the first spike after the clips, or infinity.
        limit: Longer intervals count as 0.
    """
    if not len(windows.starts):
        return before.new_empty(len(clips), 0, *before.shape)
    if not is_compiled_for(clips.device):
        last, following = _nearest_spikes(clips, before, after)
        rates = _inverse(following - last, limit)
        runs = zip(*windows, strict=True)
        return torch.stack([rates[:, start:stop].mean(dim=1) for start, stop in runs], dim=1)
    from spike_zoo.methods.classical import kernels

    planes, outside = clips.contiguous().numpy(), (before.numpy(), after.numpy())
    out = large_array(len(planes), len(windows.starts), *planes.shape[2:])
    first, skipped = int(windows.starts[0]), np.empty((0, 0, 0), np.uint8)
    needed = np.zeros(int(windows.stops[-1]) - first, np.bool_)
    for start, stop in zip(*windows.shifted(-first), strict=True):
        needed[start:stop] = True
    # consecutive windows of one boundary need no means
    bounds = np.arange(first, first + len(needed) + 1)
    is_plain = np.array_equal(windows, (bounds[:-1], bounds[1:]))
    for clip, rates in zip(planes, out, strict=True):
        job: tuple[object, ...] = (clip, first, needed, outside, np.float32(limit))
        job += (skipped, skipped, rates, 0) if is_plain else (*windows, rates)
        kernel = kernels.measure_intervals if is_plain else kernels.mean_intervals
        kernels.over_rows(kernel, clip.shape[1], clip.size, *job)
    return torch.from_numpy(out)


def _nearest_spikes(clips: Tensor, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last spike before each boundary 0..T and the next one, ``(B, T + 1, H, W)``."""
    planes = torch.arange(clips.shape[1], dtype=torch.float32, device=clips.device).view(-1, 1, 1)
    fires = clips != 0
    before, after = (edge.expand(len(clips), 1, *edge.shape) for edge in (before, after))
    last = torch.cat([before, torch.where(fires, planes, before)], dim=1)
    following = torch.cat([torch.where(fires, planes, after), after], dim=1)
    return last.cummax(dim=1).values, following.flip(1).cummin(dim=1).values.flip(1)


def _inverse(intervals: Tensor, limit: float) -> Tensor:
    """Return one over intervals; 0 for missing spikes, which are at infinity."""
    return (1 / intervals).masked_fill(intervals > limit, 0)


def large_array(*shape: int) -> NDArray[np.float32]:
    """Return an empty numpy array, which has large memory pages: filling is four times as fast."""
    return np.empty(shape, np.float32)


@dataclass(frozen=True)
class Intervals:
    """Inter-spike intervals of each pixel across the end of each plane."""

    since: Tensor  #: uint8 ``(T, H, W)``, planes since the last spike: 0 at a spike, at most 255
    until: Tensor  #: uint8 ``(T, H, W)``, planes until the next spike, 1 to 255
    #: float32 ``(T, H, W)``, one over the interval; 0 if a spike is missing or the interval is
    #: longer than :data:`MAX_INTERVAL` (its spikes may be out of reach of the block)
    rates: Tensor
    #: layout of the Bayer filters over the pixels; None for a sensor without filters
    cfa: Cfa | None = None
    #: bool ``(H, W)``, defective pixels if the rates are corrected by the maps of a camera, else
    #: None
    defective: Tensor | None = None

    @functools.cached_property
    def brightness(self) -> Tensor:
        """Rates, or the luminance of the rates of a Bayer mosaic, ``(T, H, W)``."""
        return self.rates if self.cfa is None else luminance(self.rates)

    @classmethod
    def of(
        cls,
        spikes: Tensor,
        before: Tensor | None = None,
        after: Tensor | None = None,
        cfa: Cfa | None = None,
    ) -> Self:
        """Measure the intervals of a block of planes.

        Args:
            spikes: uint8 ``(T, H, W)``, 0 or 1.
            before: float32 ``(H, W)``, plane of the last spike before the block, negative; minus
                infinity (the default) if there is no spike.
            after: float32 ``(H, W)``, plane of the first spike after the block, T or more;
                infinity (the default) if there is no spike.
            cfa: Layout of the Bayer filters.
        """
        never = torch.full(spikes.shape[1:], torch.inf, device=spikes.device)
        outside = (-never if before is None else before, never if after is None else after)
        if not is_compiled_for(spikes.device):
            last, following = (near[0, 1:] for near in _nearest_spikes(spikes[None], *outside))
            planes = torch.arange(len(spikes), device=spikes.device).view(-1, 1, 1)
            since, until = planes - last, following - planes
            rates = _inverse(following - last, MAX_INTERVAL)
            return cls(since.clamp(max=255).byte(), until.clamp(max=255).byte(), rates, cfa)
        from spike_zoo.methods.classical import kernels

        # numpy allocates large pages: reading along the flow is twice as fast
        types = (np.uint8, np.uint8, np.float32)
        arrays = [np.empty(tuple(spikes.shape), dtype) for dtype in types]
        rules = (tuple(edge.numpy() for edge in outside), np.float32(MAX_INTERVAL))
        job = (spikes.contiguous().numpy(), 1, np.ones(len(spikes), np.bool_), *rules, *arrays, 0)
        kernels.over_rows(kernels.measure_intervals, spikes.shape[1], spikes.numel(), *job)
        since, until, rates = map(torch.from_numpy, arrays)
        return cls(since, until, rates, cfa)

    def fill_ends(self, before: int = 0, after: int = 0) -> None:
        """Fill rates, in place, if the recording begins or ends within an interval.

        The rate is that of the pixel's nearest interval, at most one over the number of planes
        without a spike. It stays 0 after 43 or more planes without a spike, and for pixels without
        an interval in the block.

        Args:
            before: Planes of the recording before the block.
            after: Planes of the recording after the block.
        """
        if min(before, after) >= BLACK:
            return
        if not is_compiled_for(self.rates.device):
            self.rates.copy_(self._filled(before, after))
            return
        from spike_zoo.methods.classical import kernels

        job = (self.rates.numpy(), (before, after), BLACK)
        kernels.over_rows(kernels.fill_ends, self.rates.shape[1], self.rates.numel(), *job)

    def corrected(self, recording: SpikeRecording) -> Self:
        """Return the intervals with rates corrected by the maps of a recording's camera."""
        if recording.maps is None:
            return self
        defective = torch.from_numpy(recording.maps.defective).to(self.rates.device)
        return replace(self, rates=recording.corrected(self.rates), defective=defective)

    def _filled(self, before: int, after: int) -> Tensor:
        rates = self.rates
        planes = torch.arange(len(rates), device=rates.device).view(-1, 1, 1)
        for away in (before, after):
            first = (rates > 0).to(torch.uint8).argmax(dim=0, keepdim=True)
            silent = first + away
            nearest = rates.gather(0, first).minimum(1 / silent.clamp(min=1))
            rates = torch.where((planes < first) & (silent < BLACK), nearest, rates).flip(0)
        return rates
