"""Intervals averaged along the motion, which is found between pictures of the same recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch

from spike_zoo.methods.classical.flow import FLOW_SOURCE, find_velocities, moved, shifts_at
from spike_zoo.methods.classical.functional import tfi_video
from spike_zoo.methods.classical.methods import ClassicalMethod
from spike_zoo.methods.classical.streams import tfi_stream
from spike_zoo.methods.classical.unblurring import unblurred
from spike_zoo.nn.box_filter import box_filter
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.recording import check_recording
from spike_zoo.spikes.windows import wanted_planes
from spike_zoo.tasks.flow import REACH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.spikes.windows import Planes

WINDOW: Final = 65
_LOOK: Final = 15  # planes beyond it in which intervals are to end that tell what they blurred
GROUP: Final = 5  # planes that count together
_HALF: Final = GROUP // 2
_SPREAD, _NOISE_SPREAD = 5, 15  # sides of the squares over which differences and noise are averaged
_TOLERANCE: Final = 1.5  # of a difference, in noise powers
_LEAST_NOISE: Final = 1e-5  # as a power, where white is 1
_BLACK: Final = 43  # planes without a spike at an end, from which on a pixel stays black there


class AlignedMean(NamedTuple):
    """A mean along the motion, and the motion.

    Attributes:
        rate: ``(H, W)``, in the unit of what was averaged.
        velocity: ``(2, 2, H, W)``, pixels a plane, right and down: of the planes before the middle
            one, of those after it.
    """

    rate: Tensor
    velocity: Tensor

    @property
    def field(self) -> Tensor:
        """Where each pixel was :data:`REACH` planes before, and is as many after."""
        return torch.stack([-REACH * self.velocity[0], REACH * self.velocity[1]])


class AlignedTFI(ClassicalMethod):
    """Texture from interval, averaged along the motion instead of at a pixel.

    As :class:`TFI`, but every plane is first moved to where things are at the middle one, so that
    65 planes can be averaged where 9 blur. The motion comes from pictures of the recording itself,
    by dense optical flow (TV-L1) to 20 planes before and after, and is even in between. Where a
    group of planes is not what the middle ones are (something passed in front, the flow went
    astray), it counts for less. What every interval blurred by itself, for things move on between
    its spikes, is then taken back, see :func:`unblurred`. The flow takes most of the time, seconds
    a picture.

    Where TFI is black because the recording begins or ends within an interval, the nearest interval
    of the pixel stands, see :func:`known_at_ends`.

    Args:
        window: Planes to average over, cut to the clip; 5 or more.
        unblurs: Whether what intervals blur is taken back.
        fills_ends: Whether intervals stand where a recording begins or ends within one.

    Raises:
        ValueError: If the window is below 5.

    Source: the idea is that of motion-aligned filtering for spike cameras (Zhao et al., ISCAS
    2020); motion and weights are ours.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> AlignedTFI().reconstruct(pattern_take(0).recording, [40]).shape
        torch.Size([1, 1, 40, 48])
    """

    takes_seconds = True
    estimates_flow = True
    flow_source = FLOW_SOURCE
    motion_planes = REACH

    def __init__(
        self, window: int = WINDOW, *, unblurs: bool = True, fills_ends: bool = True
    ) -> None:
        if window < GROUP:
            raise ValueError(f"window is at least {GROUP} planes, got {window}")
        super().__init__(window=window, unblurs=unblurs, fills_ends=fills_ends)
        self.window = window
        self.unblurs = unblurs
        self.fills_ends = fills_ends

    def rate(self, spikes: Tensor, center: int) -> Tensor:
        """Return the mean of one over the intervals, along the motion."""
        return torch.stack([one.rate for one in self.along(spikes, center)])

    def rates(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the means at planes of a recording."""
        for center in centers:
            yield self._at(recording, center).rate[None]

    def along(
        self, spikes: Tensor, center: int, velocities: Tensor | None = None
    ) -> list[AlignedMean]:
        """Return mean and motion of every clip.

        Args:
            spikes: ``(B, T, H, W)``.
            center: The middle plane.
            velocities: The motion, ``(B, 2, 2, H, W)`` as in :class:`Along`, NaN where unknown; by
                default it is found.
        """
        around = self._around(center, spikes.shape[1])
        wide = self._around(center, spikes.shape[1], _LOOK)
        known = [None] * len(spikes) if velocities is None else velocities
        planes = spikes.shape[1]
        rates = [self._ends(each, around, planes) for each in tfi_video(spikes, around)]
        each = zip(rates, spikes[:, wide.start : wide.stop], known, strict=True)
        return [self._mean(rate, clip, center, velocity) for rate, clip, velocity in each]

    def motion(
        self, recording: SpikeRecording, centers: Planes, *, rate_scale: float | None = None
    ) -> Tensor:
        """Return the motion that planes of a recording are moved by.

        Args:
            recording: The spikes.
            centers: Planes, or one.
            rate_scale: Makes no difference.

        Returns:
            float32 ``(N, 2, 2, H, W)``, (dx, dy) in pixels to 20 planes before and after.

        Raises:
            PlaneRangeError: If a centre lies outside the recording.
            UsageError: If it is no recording, or a centre no whole number.
        """
        check_recording(recording)
        planes = wanted_planes(centers, len(recording))
        return torch.stack([aligned_mean(*self._read(recording, plane)).field for plane in planes])

    def _at(self, recording: SpikeRecording, center: int) -> AlignedMean:
        rates, _ = self._read(recording, center)
        wide = self._around(center, len(recording), _LOOK)
        packed = torch.from_numpy(recording.read_packed(wide.start, wide.stop))
        return self._mean(rates, unpack_tensor(packed, recording.shape[2]), center)

    def _read(self, recording: SpikeRecording, center: int) -> tuple[Tensor, int]:
        """Return intervals around a plane of a recording, and its number among them."""
        around = self._around(center, len(recording))
        rates = torch.cat(list(tfi_stream(recording, around)))
        return self._ends(rates, around, len(recording)), around.index(center)

    def _ends(self, rates: Tensor, around: range, planes: int) -> Tensor:
        if not self.fills_ends:
            return rates
        return known_at_ends(rates, around.start, planes - around.stop)

    def _mean(
        self, rates: Tensor, spikes: Tensor, center: int, velocity: Tensor | None = None
    ) -> AlignedMean:
        """Return the mean of the window's rates; spikes reach a little further on either side."""
        middle = min(center, self.window // 2)
        if not self.unblurs:
            return aligned_mean(rates, middle, velocity)
        return aligned_mean(rates, middle, velocity, spikes, min(center, self.window // 2 + _LOOK))

    def _around(self, center: int, planes: int, further: int = 0) -> range:
        half = self.window // 2 + further
        return range(max(center - half, 0), min(center + half + 1, planes))


def known_at_ends(rates: Tensor, before: int = 0, after: int = 0) -> Tensor:
    """Return intervals with the nearest of a pixel where the recording begins or ends within one.

    It is no brighter there than one over the planes without a spike. Where these are 43 or more
    the pixel stays black, as one that never fires does.

    Args:
        rates: ``(T, H, W)``, spikes a plane, 0 where an interval has no end.
        before: Planes that the recording has before them.
        after: Planes that it has after them.
    """
    for away in (before, after):
        known = (rates > 0).to(torch.uint8)
        first = known.argmax(dim=0, keepdim=True)
        silent = first + away
        nearest = rates.gather(0, first).minimum(1 / silent.clamp(min=1))
        planes = torch.arange(len(rates), device=rates.device).view(-1, 1, 1)
        rates = torch.where((planes < first) & (silent < _BLACK), nearest, rates).flip(0)
    return rates


def aligned_mean(
    rates: Tensor,
    middle: int,
    velocity: Tensor | None = None,
    spikes: Tensor | None = None,
    spikes_middle: int = 0,
) -> AlignedMean:
    """Return the mean of consecutive planes, each moved to where things are at the middle one.

    Args:
        rates: ``(T, H, W)``, spikes a plane, or in any unit without ``spikes``.
        middle: Number of the middle plane among them.
        velocity: The motion, see :class:`AlignedMean`, NaN where unknown; by default it is found.
        spikes: ``(T', H, W)``, by which what intervals blur is taken back.
        spikes_middle: Number of the middle plane among these.
    """
    white = float(np.quantile(rates.cpu().numpy(), 0.99)) or 1.0
    rates, offsets = rates / white, _offsets(middle, len(rates))
    if velocity is None:
        velocity = find_velocities(rates, middle, -offsets[0], offsets[-1])
    velocity = velocity.nan_to_num(nan=0.0)
    groups = torch.stack([_group(rates, middle, offset, velocity) for offset in offsets])
    weights = group_weights(groups, offsets)
    mean = (weights * groups).sum(dim=0) * white
    if spikes is not None:
        planes = [_planes(spikes_middle + offset, len(spikes)) for offset in offsets]
        mean = unblurred(mean, spikes, spikes_middle, velocity, planes, weights)
    return AlignedMean(mean, velocity)


def _offsets(middle: int, planes: int) -> list[int]:
    """Return the middles of the groups of planes that are whole, counted from the middle."""
    before = (middle - _HALF) // GROUP * GROUP
    after = (planes - 1 - middle - _HALF) // GROUP * GROUP
    return list(range(-max(before, 0), max(after, 0) + 1, GROUP))


def _group(rates: Tensor, middle: int, offset: int, velocity: Tensor) -> Tensor:
    """Return the mean of a group of planes as things are at the middle one, ``(H, W)``."""
    planes = _planes(middle + offset, len(rates))
    shifts = shifts_at(planes, middle, velocity)
    return moved(rates[planes.start : planes.stop], shifts).mean(dim=0)


def _planes(middle: int, count: int) -> range:
    """Return the planes of the group around one."""
    return range(max(middle - _HALF, 0), min(middle + _HALF + 1, count))


def group_weights(groups: Tensor, offsets: Sequence[int]) -> Tensor:
    """Return how much groups of planes count at each pixel, ``(N, H, W)``, 1 in all.

    A group that differs from the middle ones by more than noise does counts for less, as does one
    further off. Noise is what the two groups beside the middle one differ by.

    Args:
        groups: ``(N, H, W)``, their means, moved to where things are at the middle one, white
            about 1.
        offsets: Their middle planes, counted from the middle one; one is 0.
    """
    middle = offsets.index(0)
    beside = groups[max(middle - 1, 0) : middle + 2]
    difference = box_filter((groups - beside.mean(dim=0)).square(), _SPREAD)
    noise = box_filter((beside[-1:] - beside[:1]).square() / 2, _NOISE_SPREAD) + _LEAST_NOISE
    excess = (difference / noise - _TOLERANCE).clamp(min=0)
    far = torch.tensor(offsets, device=groups.device).abs() / (WINDOW // 2 + _HALF + 1)
    weights = (1 - far).clamp(min=0.1).sqrt().view(-1, 1, 1) / (1 + excess.square())
    return weights / weights.sum(dim=0)
