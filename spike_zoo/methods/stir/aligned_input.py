"""Input of STIR with `align_input`: motion-compensated inverse inter-spike intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch.nn import functional as F

from spike_zoo.methods.classical.aligned import white_of
from spike_zoo.methods.classical.alignment import (
    GROUP,
    WINDOW,
    Intervals,
    PlaneAlignment,
)
from spike_zoo.methods.classical.deblurring import deblurred, group_weights
from spike_zoo.methods.classical.flow import estimate_velocities
from spike_zoo.methods.stir.network import PLANES
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.windows import centred_window, mirrored_planes
from spike_zoo.tasks.flow import REACH

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.spikes import SpikeRecording

CLIP_PLANES: Final = 151
"""Planes of a clip, of which 61 are shown: their intervals may end up to 45 planes further off."""

_MARGIN: Final = (WINDOW - PLANES) // 2  # planes at either end that only the draft averages
_FURTHEST: Final = WINDOW // 2 // GROUP * GROUP  # middle plane of a group
# of the motion that optical flow finds in simulated scenes, where half of it is off by 0.12 pixels
# if they are slow, by 0.15 to 0.3 if it is 5 to 12 pixels
_ERROR: Final = 0.1  # pixels
_ERROR_SHARE: Final = 0.015  # of the motion
_ERROR_SIZE: Final = 16  # pixels over which errors are alike


class AlignedInput(NamedTuple):
    """Windows along the motion.

    Attributes:
        planes: ``(B, 61, H, W)``, brightness.
        draft: ``(B, 1, H, W)`` in [0, 1], the image that the network corrects: the mean of 65
            planes without what intervals blur, as :class:`AlignedTFI` makes it.
        fields: ``(B, 2, 2, H, W)``, the motion that planes were moved by, in pixels to 20 planes
            before and after.
    """

    planes: Tensor
    draft: Tensor
    fields: Tensor


def aligned_windows(
    spikes: Tensor, rate_scale: Tensor | None = None, motion: Tensor | None = None
) -> AlignedInput:
    """Return the windows in the middle of clips, see :func:`aligned_window`.

    Args:
        spikes: ``(B, T, H, W)``.
        rate_scale: ``(B,)``, spikes a plane at white; by default 1.
        motion: ``(B, 2, 2, H, W)``.
    """
    if torch.compiler.is_exporting():
        raise RuntimeError("optical flow finds the motion outside of the network (align_input)")
    scales = [1.0] * len(spikes) if rate_scale is None else rate_scale.tolist()
    motions = [None] * len(spikes) if motion is None else motion
    each = zip(spikes, scales, motions, strict=True)
    middle = spikes.shape[1] // 2
    windows = [aligned_window(one, scale, middle, known) for one, scale, known in each]
    planes, drafts, fields = zip(*windows, strict=True)
    return AlignedInput(torch.cat(planes), torch.cat(drafts), torch.cat(fields))


def aligned_window(
    spikes: Tensor, rate_scale: float, center: int, motion: Tensor | None = None
) -> AlignedInput:
    """Return brightness at the 61 planes around one, moved to where things are at that one.

    Args:
        spikes: ``(T, H, W)``, consecutive planes. Where the window leaves them, it is mirrored.
        rate_scale: Spikes a plane at white.
        center: Number of the middle plane among them.
        motion: ``(2, 2, H, W)`` as in :class:`AlignedInput`, NaN where unknown; by default optical
            flow finds it between pictures of these planes.

    Returns:
        The window, B = 1.
    """
    intervals = _intervals(spikes)
    velocity = _velocity(intervals, center) if motion is None else _known(motion)
    planes = mirrored_planes(*centred_window(center, WINDOW), len(spikes)).tolist()
    groups = [planes[first : first + GROUP] for first in range(0, WINDOW, GROUP)]
    alignment = PlaneAlignment(center, groups, velocity)
    bright = alignment.each_plane(intervals.rates) / rate_scale
    means = bright.unflatten(0, (len(groups), GROUP)).mean(dim=1)
    weights = group_weights(means, range(-_FURTHEST, _FURTHEST + 1, GROUP))
    draft = rate_scale * (weights * means).sum(dim=0)
    draft = deblurred(draft, intervals, alignment, weights) / rate_scale
    fields = velocity * _away(velocity)
    return AlignedInput(bright[None, _MARGIN:-_MARGIN], draft[None, None].clamp(0, 1), fields[None])


def read_aligned(
    recording: SpikeRecording, center: int, rate_scale: float, device: torch.device
) -> AlignedInput:
    """Return the window around a plane of a recording, see :func:`aligned_window`."""
    spikes, middle = _read(recording, center, device)
    return aligned_window(spikes, rate_scale, middle)


def motion_at(recording: SpikeRecording, center: int, device: torch.device) -> Tensor:
    """Return the motion that planes around one are moved by, ``(1, 2, 2, H, W)``."""
    spikes, middle = _read(recording, center, device)
    velocity = _velocity(_intervals(spikes), middle)
    return (velocity * _away(velocity))[None]


def with_errors(motion: Tensor, generator: torch.Generator) -> Tensor:
    """Return the true motion as if optical flow had found it, so that a network learns from that.

    Args:
        motion: ``(B, 2, 2, H, W)`` in pixels, NaN where unknown, which becomes 0.
        generator: Draws the errors, on the CPU.
    """
    known = motion.nan_to_num(nan=0.0)
    height, width = motion.shape[-2:]
    coarse = (max(height // _ERROR_SIZE, 2), max(width // _ERROR_SIZE, 2))
    drawn = torch.randn(len(motion), 4, *coarse, generator=generator).to(motion)
    errors = F.interpolate(drawn, (height, width), mode="bicubic", align_corners=True)
    length = known.norm(dim=2, keepdim=True).mean(dim=(-2, -1), keepdim=True)
    return known + (_ERROR + _ERROR_SHARE * length) * errors.view_as(known)


def _read(recording: SpikeRecording, center: int, device: torch.device) -> tuple[Tensor, int]:
    """Return what a recording has of the window around a plane, and the plane's number in it."""
    mirrored_planes(*centred_window(center, WINDOW), len(recording))  # rejects what is too short
    start, stop = centred_window(center, CLIP_PLANES)
    first = max(start, 0)
    packed = torch.from_numpy(recording.read_packed(first, min(stop, len(recording))))
    return unpack_tensor(packed.to(device), recording.shape[2]), center - first


def _intervals(spikes: Tensor) -> Intervals:
    """Return the intervals of a clip, filled at its ends."""
    intervals = Intervals.of((spikes != 0).byte())
    intervals.fill_ends()
    return intervals


def _velocity(intervals: Intervals, center: int) -> Tensor:
    """Estimate optical flow in pixels per plane, ``(2, 2, H, W)``."""
    rates, after = intervals.rates, len(intervals.rates) - 1 - center
    return estimate_velocities(rates, center, center, after, white_of(rates))


def _known(motion: Tensor) -> Tensor:
    """Return motion as pixels a plane, 0 where it is unknown."""
    return motion.nan_to_num(nan=0.0) / _away(motion)


def _away(like: Tensor) -> Tensor:
    """Return how many planes away motion leads, each way."""
    return torch.tensor([-REACH, REACH]).to(like).view(2, 1, 1, 1)
