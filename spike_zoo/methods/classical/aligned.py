"""TFI averaged along optical flow that is estimated from the same recording."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spike_zoo.methods.classical.alignment import DEBLUR_MARGIN, GROUP, HALF, WINDOW, PlaneAlignment
from spike_zoo.methods.classical.deblurring import deblurred, group_weights, weighted_sum
from spike_zoo.methods.classical.flow import FLOW_SOURCE, estimate_velocities, warp_velocity
from spike_zoo.methods.classical.intervals import BLACK, Intervals
from spike_zoo.methods.classical.methods import ClassicalMethod
from spike_zoo.methods.classical.streams import ascending_blocks, nearest_in_recording
from spike_zoo.nn.threads import results_in_order
from spike_zoo.spikes.cfa import Cfa
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks import clips
from spike_zoo.tasks.clips import FLOW_OFFSET

_KEY: Final = 5  # flow is estimated at planes that are multiples of this
_BLOCK_PIXELS: Final = 1 << 22  # pixels times planes of a block of centres, without the margins
_SHARED_PIXELS: Final = 1 << 20  # pixels of the images that threads compute at the same time


class AlignedMean(NamedTuple):
    """A mean rate along optical flow, and the flow."""

    rate: Tensor  #: ``(H, W)``, spikes per plane
    #: ``(2, 2, H, W)``, (dx, dy) in pixels per plane: first for the planes before the middle one,
    #: then for the planes after it
    velocity: Tensor

    @property
    def field(self) -> Tensor:
        """Flow to the planes :data:`FLOW_OFFSET` before and after, ``(2, 2, H, W)`` in pixels."""
        return torch.stack([-FLOW_OFFSET * self.velocity[0], FLOW_OFFSET * self.velocity[1]])


class AlignedTFI(ClassicalMethod):
    """Texture from interval, averaged along optical flow instead of at a fixed pixel.

    As :class:`TFI`, but every plane is first aligned to the middle plane. This allows an average
    over 65 planes without blur, instead of 9. Optical flow (DIS) is estimated between rate images
    of the same recording, to 20 planes before and after. The velocity in between is assumed to be
    constant. Groups of planes that differ from the middle planes get less weight. The motion blur
    of the intervals is removed last, see :func:`deblurred`.

    If the recording begins or ends within an interval, the nearest interval of the pixel replaces
    it, see :meth:`Intervals.fill_ends`; TFI is black there.

    Args:
        window: Planes to average over, cut to the clip; 5 or more.
        unblurs: Whether the motion blur of intervals is removed.
        fills_ends: Whether intervals that are cut by an end of the recording are filled.

    Raises:
        ValueError: If the window is below 5.

    Source: motion-aligned filtering for spike cameras (Zhao et al., ISCAS 2020). The flow and the
    weights differ from the paper.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> AlignedTFI().reconstruct(pattern_take(0).recording, [40]).shape
        torch.Size([1, 1, 40, 48])
    """

    estimates_flow = True
    flow_source = FLOW_SOURCE
    motion = clips.motion

    def __init__(
        self, window: int = WINDOW, *, unblurs: bool = True, fills_ends: bool = True
    ) -> None:
        if window < GROUP:
            raise ValueError(f"window is at least {GROUP} planes, got {window}")
        super().__init__(window=window, unblurs=unblurs, fills_ends=fills_ends)
        self.window = window
        self.unblurs = unblurs
        self.fills_ends = fills_ends

    @property
    def margin(self) -> int:
        """Half the window."""
        return self.window // 2

    def rate(self, spikes: Tensor, center: int) -> Tensor:
        """Return the mean inverse interval along the flow, ``(B, H, W)``."""
        return torch.stack([mean.rate for mean in self.along(spikes, center)])

    def rates(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the mean inverse interval at each plane of a recording, ``(1, H, W)``."""
        for mean in self._means(recording, centers):
            yield mean.rate[None]

    def along(
        self, spikes: Tensor, center: int, velocities: Tensor | None = None
    ) -> list[AlignedMean]:
        """Return the mean along the flow, and the flow, of every clip.

        Args:
            spikes: ``(B, T, H, W)``.
            center: The middle plane.
            velocities: ``(B, 2, 2, H, W)`` as in :class:`AlignedMean`; NaN is replaced by 0. By
                default velocities are estimated.
        """
        clip_velocities = [None] * len(spikes) if velocities is None else velocities
        means = []
        for clip, velocity in zip((spikes != 0).byte(), clip_velocities, strict=True):
            intervals = Intervals.of(clip)
            if self.fills_ends:
                intervals.fill_ends()
            means.append(self._mean(intervals, center, velocity))
        return means

    def _fields(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float | None
    ) -> Iterator[Tensor]:
        """Yield the optical flow along which the planes around each plane are averaged."""
        for mean in self._means(recording, centers):
            yield mean.field[None]

    def _means(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[AlignedMean]:
        """Yield the means at planes of a recording; close planes share intervals and flow."""
        images = _SHARED_PIXELS // math.prod(recording.shape[1:])
        threads = max(min(torch.get_num_threads(), images, len(centers)), 1)
        return results_in_order(self._jobs(recording, centers), threads)

    def _jobs(
        self, recording: SpikeRecording, centers: Sequence[int]
    ) -> Iterator[Callable[[], AlignedMean]]:
        """Yield one function per centre that computes the mean from prepared intervals and flow."""
        height, width = recording.shape[1:]
        # also covers the window around a key plane, which is at most 2 planes from its centre, and
        # the intervals that fill the ends: an image does not depend on the others of its block
        margin = max(self.window // 2 + DEBLUR_MARGIN, BLACK)
        for block in ascending_blocks(centers, max(_BLOCK_PIXELS // (height * width), 1)):
            low = max(block[0] - margin, 0)
            high = min(block[-1] + margin + 1, len(recording))
            intervals = self._read(recording, low, high)
            if self.fills_ends:
                intervals.fill_ends(low, len(recording) - high)
            intervals = intervals.corrected(recording)
            key, at_key = -1, torch.empty(0)
            for center in block:
                nearest = min(round(center / _KEY) * _KEY, len(recording) - 1)
                if nearest != key:
                    key, at_key = nearest, self._velocity(intervals, nearest - low)
                velocity = warp_velocity(at_key, center - key)
                yield functools.partial(self._mean, intervals, center - low, velocity)

    def _read(self, recording: SpikeRecording, start: int, stop: int) -> Intervals:
        return read_intervals(recording, start, stop)

    def _velocity(self, intervals: Intervals, center: int) -> Tensor:
        """Estimate the flow at a plane of a block, ``(2, 2, H, W)`` in pixels per plane."""
        half = self.window // 2
        first, stop = max(center - half, 0), min(center + half + 1, len(intervals.rates))
        middle, offsets = center - first, (center - first, stop - 1 - center)
        reaches = ((offset - HALF) // GROUP * GROUP for offset in offsets)
        rates = intervals.brightness[first:stop]
        before, after = (max(reach, 0) for reach in reaches)
        return estimate_velocities(rates, middle, before, after, white_of(rates))

    def _mean(
        self, intervals: Intervals, center: int, velocity: Tensor | None = None
    ) -> AlignedMean:
        """Return the mean along the flow around a plane of a block."""
        count, half = len(intervals.rates), self.window // 2
        velocity = self._velocity(intervals, center) if velocity is None else velocity
        velocity = velocity.nan_to_num(nan=0.0)
        groups = _groups(center, max(center - half, 0), min(center + half + 1, count))
        alignment = PlaneAlignment(center, groups, velocity)
        means = alignment.means(intervals.brightness)
        white = white_of(intervals.brightness[max(center - HALF, 0) : center + HALF + 1])
        weights = group_weights(means / white, alignment.offsets)
        return AlignedMean(self._image(intervals, alignment, weights, means), velocity)

    def _image(
        self, intervals: Intervals, alignment: PlaneAlignment, weights: Tensor, means: Tensor
    ) -> Tensor:
        """Return the weighted mean of aligned groups, ``(H, W)``, deblurred if ``unblurs``."""
        image = weighted_sum(weights, means)
        return deblurred(image, intervals, alignment, weights) if self.unblurs else image


def read_intervals(
    recording: SpikeRecording, start: int, stop: int, cfa: Cfa | None = None
) -> Intervals:
    """Measure the intervals of planes of a recording; they may end outside ``start..stop``."""
    before = nearest_in_recording(recording, start, -1)
    after = nearest_in_recording(recording, stop, 1)
    spikes = torch.from_numpy(recording.read(start, stop)).view(torch.uint8)
    return Intervals.of(spikes, before - start, after - start, cfa)


def white_of(rates: Tensor) -> float:
    """Return an estimate of the rate of white: the 99th percentile of the rates."""
    sample = rates.flatten()[:: rates.numel() // 2**15 + 1]
    return float(np.quantile(sample.cpu().numpy(), 0.99)) or 1.0  # torch.quantile: 4 times slower


def _groups(center: int, first: int, stop: int) -> list[range]:
    """Return groups of five planes around a plane; the middle one is cut to ``first..stop``."""
    before = max((center - first - HALF) // GROUP, 0)
    after = max((stop - 1 - center - HALF) // GROUP, 0)
    middles = range(center - GROUP * before, center + GROUP * after + 1, GROUP)
    return [range(max(plane - HALF, first), min(plane + HALF + 1, stop)) for plane in middles]
