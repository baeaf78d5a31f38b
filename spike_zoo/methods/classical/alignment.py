"""Averages of inter-spike intervals along optical flow.

Tensors on the CPU are processed by compiled kernels, others by equivalent operations of torch.
The tests use the latter as the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.classical import kernels
from spike_zoo.methods.classical.flow import displacements_at, warp_planes
from spike_zoo.methods.classical.intervals import Intervals, is_compiled_for
from spike_zoo.nn.warp import warp
from spike_zoo.spikes.cfa import Cfa, cfa_tile

WINDOW: Final = 65
GROUP: Final = 5  # planes that are averaged before groups are weighted
HALF: Final = GROUP // 2
DEBLUR_MARGIN: Final = 15  # planes beyond the groups in which intervals used for deblurring may end
_WARPED_PIXELS: Final = 1 << 24  # pixels times planes; limits the memory of sampling positions
_LIGHT_STEP: Final = 3  # consecutive planes that share one sample of the predicted light


@dataclass(frozen=True)
class PlaneAlignment:
    """Alignment of groups of planes to a middle plane along optical flow."""

    middle: int  #: index of the plane that the others are aligned to
    groups: Sequence[Sequence[int]]  #: indexes of the planes of each group
    velocity: Tensor  #: ``(2, 2, H, W)``, see :func:`estimate_velocities`

    @property
    def planes(self) -> list[int]:
        """All planes, group after group."""
        return [plane for group in self.groups for plane in group]

    @property
    def offsets(self) -> list[int]:
        """Distance of each group from the middle group in planes, a multiple of 5."""
        away = [abs(sum(group) / len(group) - self.middle) for group in self.groups]
        center = away.index(min(away))
        return [GROUP * (number - center) for number in range(len(self.groups))]

    def each_plane(self, values: Tensor) -> Tensor:
        """Return planes ``(T, H, W)`` of all groups, aligned to the middle plane, ``(P, H, W)``."""
        return self._sampled(values, [1] * len(self.planes))

    def means(self, values: Tensor) -> Tensor:
        """Return the mean of planes ``(T, H, W)`` of every group, aligned, ``(N, H, W)``."""
        return self._sampled(values, [len(group) for group in self.groups])

    def whole(self, intervals: Intervals, clip: range) -> Tensor:
        """Return whether the interval of each group's middle plane is inside the clip.

        The result is float32 ``(N, H, W)``, 1 or 0 at the nearest pixel along the flow. The
        intervals are those of a block of planes; ``clip`` is a range of its planes.
        """
        planes = [group[len(group) // 2] for group in self.groups]
        height, width = self.velocity.shape[2:]
        if is_compiled_for(self.velocity.device):
            from spike_zoo.methods.classical.alignment_kernels import sample_whole

            out = torch.empty(len(planes), height, width)
            ends = (intervals.since.numpy(), intervals.until.numpy())
            motion = (np.array(planes, np.int64), self.middle, self.velocity.contiguous().numpy())
            job = (ends, (clip.start, clip.stop), *motion, out.numpy())
            kernels.over_rows(sample_whole, height, out.numel(), *job)
            return out
        x, y = displacements_at(planes, self.middle, self.velocity).unbind(1)
        x = (x + torch.arange(width, device=x.device)).round_().clamp_(0, width - 1)
        y = (y + torch.arange(height, device=y.device).view(-1, 1)).round_().clamp_(0, height - 1)
        index = torch.tensor(planes, device=x.device)
        plane = index.view(-1, 1, 1)
        is_whole = intervals.since[index] <= plane - clip.start
        is_whole &= intervals.until[index] < clip.stop - plane
        nearest = (y * width + x).long().flatten(1)
        return is_whole.flatten(1).gather(1, nearest).view(x.shape).float()

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
        steps = range(clip.start, clip.stop, _LIGHT_STEP)
        sampled = [min(first + _LIGHT_STEP // 2, clip.stop - 1) for first in steps]
        samples = self._light(image, sampled, intervals.cfa).repeat_interleave(_LIGHT_STEP, dim=0)
        light = F.pad(samples[: len(clip)].clamp_(min=0), (0, 0, 0, 0, 1, 0)).cumsum(dim=0)
        planes = torch.arange(window.start, window.stop, device=image.device).view(-1, 1, 1)
        begins = planes - intervals.since[window.start : window.stop].long()
        ends = planes + intervals.until[window.start : window.stop].long()
        is_whole = (begins >= clip.start) & (ends < clip.stop)
        # light of the planes after the interval's first spike, up to that of its last spike
        low, high = (torch.where(is_whole, edge + 1 - clip.start, 0) for edge in (begins, ends))
        predicted = light.gather(0, high) - light.gather(0, low)
        return torch.where(is_whole, (1 - predicted) / (ends - begins), 0.0)

    def _light(self, image: Tensor, planes: Sequence[int], cfa: Cfa | None) -> Tensor:
        """Return the image at other planes, ``(N, H, W)``; each pixel through its own filter."""
        height, width = image.shape[1:]
        tiled = np.tile(cfa_tile(cfa), (-(-height // 2), -(-width // 2)))[:height, :width]
        channel = torch.from_numpy(tiled.astype(np.int64)).to(image.device)
        lights = []
        for part in parts_of(planes, height * width):
            flow = -displacements_at(part, self.middle, self.velocity)
            warped = warp(image.expand(len(part), -1, -1, -1), flow)
            lights.append(warped.gather(1, channel.expand(len(part), 1, -1, -1))[:, 0])
        return torch.cat(lights)

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
        parts = [
            warp_planes(
                values[torch.tensor(part, device=values.device)],
                displacements_at(part, self.middle, self.velocity),
            )
            for part in parts_of(planes, values[0].numel())
        ]
        aligned = torch.cat(parts)
        if len(sizes) == len(planes):
            return aligned
        return torch.stack([group.mean(dim=0) for group in aligned.split(list(sizes))])


def parts_of(planes: Sequence[int], pixels: int) -> Iterator[list[int]]:
    """Split planes into parts that are warped together, of at most :data:`_WARPED_PIXELS`."""
    step = max(_WARPED_PIXELS // pixels, 1)
    for first in range(0, len(planes), step):
        yield list(planes[first : first + step])
