"""Averages of inter-spike intervals along optical flow.

Tensors on the CPU are processed by compiled kernels, others by equivalent operations of torch.
The tests use the latter as the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from spike_zoo.methods.classical import kernels
from spike_zoo.methods.classical.flow import displacements_at, warp_planes
from spike_zoo.methods.classical.intervals import is_compiled_for
from spike_zoo.spikes.cfa import cfa_tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from spike_zoo.methods.classical.intervals import Intervals

WINDOW: Final = 65
GROUP: Final = 5  # planes that are averaged before groups are weighted
HALF: Final = GROUP // 2
DEBLUR_MARGIN: Final = 15  # planes beyond the groups in which intervals used for deblurring may end
_LIGHT_STEP: Final = 3  # consecutive planes that share one sample of the predicted light


@dataclass(frozen=True)
class PlaneAlignment:
    """Alignment of groups of planes to a middle plane along optical flow.

    Attributes:
        middle: Index of the plane that the others are aligned to.
        groups: Indexes of the planes of each group.
        velocity: ``(2, 2, H, W)``, see :func:`estimate_velocities`.
    """

    middle: int
    groups: Sequence[Sequence[int]]
    velocity: Tensor

    @property
    def planes(self) -> list[int]:
        """All planes, group after group."""
        return [plane for group in self.groups for plane in group]

    @property
    def offsets(self) -> list[int]:
        """Distance of each group from the middle group in planes, a multiple of 5."""
        center = min(range(len(self.groups)), key=lambda n: self._away(self.groups[n]))
        return [GROUP * (number - center) for number in range(len(self.groups))]

    def _away(self, group: Sequence[int]) -> float:
        return abs(sum(group) / len(group) - self.middle)

    def each_plane(self, values: Tensor) -> Tensor:
        """Return planes ``(T, H, W)`` of all groups, aligned to the middle plane, ``(P, H, W)``."""
        return self._sampled(values, [1] * len(self.planes))

    def means(self, values: Tensor) -> Tensor:
        """Return the mean of planes ``(T, H, W)`` of every group, aligned, ``(N, H, W)``."""
        return self._sampled(values, [len(group) for group in self.groups])

    def whole(self, intervals: Intervals, clip: range) -> Tensor:
        """Return whether the interval of each group's middle plane is inside the clip.

        Args:
            intervals: Intervals of a block of planes.
            clip: The planes of the clip.

        Returns:
            float32 ``(N, H, W)``, 1 or 0 at the nearest pixel along the flow.
        """
        planes = [group[len(group) // 2] for group in self.groups]
        height, width = self.velocity.shape[2:]
        out = torch.empty(len(planes), height, width, device=self.velocity.device)
        if is_compiled_for(out.device):
            from spike_zoo.methods.classical.alignment_kernels import sample_whole

            ends = (intervals.since.numpy(), intervals.until.numpy())
            motion = (np.array(planes, np.int64), self.middle, self.velocity.contiguous().numpy())
            job = (ends, (clip.start, clip.stop), *motion, out.numpy())
            kernels.over_rows(sample_whole, height, out.numel(), *job)
            return out
        rows = torch.arange(height, device=out.device).view(-1, 1)
        columns = torch.arange(width, device=out.device)
        for number, plane in enumerate(planes):
            (shift,) = displacements_at([plane], self.middle, self.velocity)
            x = (columns + shift[0]).round_().clamp_(0, width - 1)
            y = (rows + shift[1]).round_().clamp_(0, height - 1)
            is_whole = intervals.since[plane] <= plane - clip.start
            is_whole &= intervals.until[plane] < clip.stop - plane
            out[number] = is_whole.take((y * width + x).long())
        return out

    def excess(self, image: Tensor, intervals: Intervals, clip: range) -> Tensor:
        """Return measured minus predicted rates of intervals that lie in a clip, ``(T', H, W)``.

        The image, warped along the flow, predicts the light gathered in each interval. A pixel
        fires at light 1, so the excess is 1 minus this light, divided by the interval. If the maps
        of a camera are applied, it changes by as much as the rate of the interval. Intervals that
        leave the clip and defective pixels give 0. The output has all planes from the first to the
        last one of the groups.

        Args:
            image: ``(1, H, W)``, spikes per plane at the middle plane. For a Bayer sensor
                ``(3, H, W)``; each pixel is predicted from the channel of its filter.
            intervals: Intervals of a block of planes.
            clip: Planes of the block that may hold intervals; contains the planes of the groups.
        """
        first, stop = min(self.planes), max(self.planes) + 1
        if self._is_compiled:
            from spike_zoo.methods.classical.alignment_kernels import measure_excess

            excess = torch.from_numpy(np.empty((stop - first, *image.shape[1:]), np.float32))
            ends = (intervals.since.numpy(), intervals.until.numpy())
            velocity = self.velocity.contiguous().numpy()
            inputs = (image.contiguous().numpy(), cfa_tile(intervals.cfa), ends)
            motion = ((clip.start, clip.stop), self.middle, velocity, (first, stop), _LIGHT_STEP)
            job = (*inputs, *motion, excess.numpy())
            kernels.over_rows(measure_excess, image.shape[1], excess.numel(), *job)
        else:
            excess = self._excess(image, intervals, clip, range(first, stop))
        if intervals.defective is None:
            return excess
        for values, plane in zip(excess, range(first, stop), strict=True):
            since, until = intervals.since[plane].float(), intervals.until[plane].float()
            is_whole = (since <= plane - clip.start) & (until < clip.stop - plane)
            values += is_whole * (intervals.rates[plane] - 1 / (since + until))
        return excess.masked_fill_(intervals.defective, 0)

    @property
    def from_first(self) -> PlaneAlignment:
        """The same alignment with plane indexes relative to the first plane of the groups."""
        first = min(self.planes)
        groups = [[plane - first for plane in group] for group in self.groups]
        return PlaneAlignment(self.middle - first, groups, self.velocity)

    def _excess(self, image: Tensor, intervals: Intervals, clip: range, window: range) -> Tensor:
        """Return the excess of each plane of a window, ``(T', H, W)``, by operations of torch."""
        light = image.new_zeros(len(clip) + 1, *image.shape[1:])
        height, width = image.shape[1:]
        tiled = np.tile(cfa_tile(intervals.cfa), (-(-height // 2), -(-width // 2)))
        channel = torch.from_numpy(tiled[:height, :width].astype(np.int64)).to(image.device)
        for first in range(clip.start, clip.stop, _LIGHT_STEP):
            stop = min(first + _LIGHT_STEP, clip.stop)
            plane = min(first + _LIGHT_STEP // 2, clip.stop - 1)
            (shift,) = displacements_at([plane], self.middle, self.velocity)
            sample = warp_planes(image, -shift.expand(len(image), -1, -1, -1)).gather(
                0, channel[None]
            )
            light[first + 1 - clip.start : stop + 1 - clip.start] = sample
        light = light.clamp_(min=0).cumsum(dim=0)
        planes = torch.arange(window.start, window.stop, device=image.device).view(-1, 1, 1)
        begins = planes - intervals.since[window.start : window.stop].long()
        ends = planes + intervals.until[window.start : window.stop].long()
        is_whole = (begins >= clip.start) & (ends < clip.stop)
        # light of the planes after the interval's first spike, up to that of its last spike
        low, high = (torch.where(is_whole, edge + 1 - clip.start, 0) for edge in (begins, ends))
        predicted = light.gather(0, high) - light.gather(0, low)
        return torch.where(is_whole, (1 - predicted) / (ends - begins), 0.0)

    @property
    def _is_compiled(self) -> bool:
        return is_compiled_for(self.velocity.device) and min(self.velocity.shape[2:]) > 1

    def _sampled(self, values: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the means of consecutive runs of the planes of all groups."""
        planes, size = self.planes, (len(sizes), *values.shape[1:])
        slots = np.repeat(np.arange(len(sizes)), sizes)  # index of the output of each plane
        shares = np.repeat(1 / np.array(sizes, np.float32), sizes).astype(np.float32)
        if self._is_compiled:
            from spike_zoo.methods.classical.alignment_kernels import sample_along

            motion = (np.array(planes, np.int64), self.middle, self.velocity.contiguous().numpy())
            sums = np.zeros(size, np.float32)
            job = (values.contiguous().numpy(), *motion, slots, shares, sums)
            kernels.over_rows(sample_along, size[1], len(planes) * values[0].numel(), *job)
            return torch.from_numpy(sums)
        out = torch.zeros(size, device=values.device)
        for plane, slot, share in zip(planes, slots, shares, strict=True):
            (shift,) = displacements_at([plane], self.middle, self.velocity)
            out[slot] += float(share) * warp_planes(values[plane], shift)
        return out
