"""Input of a network: inverse inter-spike intervals aligned along optical flow, and their mean."""

from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.classical.aligned import white_of
from spike_zoo.methods.classical.alignment import GROUP, WINDOW, PlaneAlignment
from spike_zoo.methods.classical.deblurring import deblurred, group_weights
from spike_zoo.methods.classical.flow import estimate_velocities
from spike_zoo.methods.classical.intervals import Intervals
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import centred_window, mirrored_planes
from spike_zoo.tasks.clips import FLOW_OFFSET

CLIP_PLANES: Final = 151
"""Planes of a clip. The network reads the middle 61; intervals may end 45 planes further away."""

PLANES: Final = 61
"""Planes of a window that a network reads."""

_MARGIN: Final = (WINDOW - PLANES) // 2  # planes at either end that only the draft averages
_MAX_OFFSET: Final = WINDOW // 2 // GROUP * GROUP  # offset of the last group's middle plane
# Error model of optical flow, from simulated scenes: the median error is 0.12 pixels in slow
# scenes, and 0.15 to 0.3 pixels for motion of 5 to 12 pixels.
_ERROR: Final = 0.1  # pixels
_ERROR_SHARE: Final = 0.015  # of the motion
_ERROR_SIZE: Final = 16  # distance in pixels of independent errors


class AlignedInput(NamedTuple):
    """Windows of planes aligned along optical flow."""

    planes: Tensor  #: ``(B, 61, H, W)``, inverse intervals divided by the rate scale
    #: ``(B, 1, H, W)`` in [0, 1], the image that the network corrects: the deblurred mean of 65
    #: planes, as in :class:`AlignedTFI`
    draft: Tensor
    #: ``(B, 2, 2, H, W)``, the optical flow used for the alignment, (dx, dy) in pixels to 20 planes
    #: before and after
    fields: Tensor


def aligned_windows(
    spikes: Tensor, rate_scale: Tensor | None = None, flow: Tensor | None = None
) -> AlignedInput:
    """Return the aligned windows in the middle of clips, see :func:`aligned_window`.

    Args:
        spikes: ``(B, T, H, W)``.
        rate_scale: ``(B,)``, spikes per plane at white; 1 by default.
        flow: ``(B, 2, 2, H, W)``, optical flow as in :func:`aligned_window`.

    Raises:
        RuntimeError: If the network is being exported.
    """
    if torch.compiler.is_exporting():
        raise RuntimeError(
            "a network with align_input cannot be exported: its optical flow is estimated outside "
            "of the network"
        )
    scales = [1.0] * len(spikes) if rate_scale is None else rate_scale.tolist()
    flows = [None] * len(spikes) if flow is None else flow
    clips = zip(spikes, scales, flows, strict=True)
    middle = spikes.shape[1] // 2
    windows = [aligned_window(clip, scale, middle, known) for clip, scale, known in clips]
    planes, drafts, fields = zip(*windows, strict=True)
    return AlignedInput(torch.cat(planes), torch.cat(drafts), torch.cat(fields))


def aligned_window(
    spikes: Tensor, rate_scale: float, center: int, flow: Tensor | None = None
) -> AlignedInput:
    """Return the inverse intervals of the 61 planes around a plane, aligned to that plane.

    Args:
        spikes: ``(T, H, W)``, consecutive planes. A window that leaves the planes is mirrored.
        rate_scale: Spikes per plane at white.
        center: Index of the middle plane in ``spikes``.
        flow: ``(2, 2, H, W)``, optical flow as in ``AlignedInput.fields``; NaN is replaced by 0.
            By default the flow is estimated from the planes.

    Returns:
        The window, B = 1.
    """
    return _aligned(_intervals(spikes), rate_scale, center, flow)


def _aligned(
    intervals: Intervals, rate_scale: float, center: int, flow: Tensor | None = None
) -> AlignedInput:
    """Return the window of :func:`aligned_window` from the intervals of the planes."""
    if flow is None:
        velocity = _velocity(intervals, center)
    else:
        velocity = flow.nan_to_num(nan=0.0) / _flow_offsets(flow)
    planes = mirrored_planes(*centred_window(center, WINDOW), len(intervals.rates)).tolist()
    groups = [planes[first : first + GROUP] for first in range(0, WINDOW, GROUP)]
    alignment = PlaneAlignment(center, groups, velocity)
    bright = alignment.each_plane(intervals.rates) / rate_scale
    means = bright.unflatten(0, (len(groups), GROUP)).mean(dim=1)
    weights = group_weights(means, range(-_MAX_OFFSET, _MAX_OFFSET + 1, GROUP))
    draft = rate_scale * (weights * means).sum(dim=0)
    draft = deblurred(draft, intervals, alignment, weights) / rate_scale
    fields = velocity * _flow_offsets(velocity)
    return AlignedInput(bright[None, _MARGIN:-_MARGIN], draft[None, None].clamp(0, 1), fields[None])


def read_aligned(
    recording: SpikeRecording, center: int, rate_scale: float, device: torch.device
) -> AlignedInput:
    """Return the aligned window around a plane of a recording, see :func:`aligned_window`.

    The maps of the recording's camera are applied before the alignment.
    """
    intervals, middle = _read(recording, center, device)
    return _aligned(intervals, rate_scale, middle)


def flow_at(recording: SpikeRecording, center: int, device: torch.device) -> Tensor:
    """Return the optical flow that aligns the planes around a plane, ``(1, 2, 2, H, W)``."""
    intervals, middle = _read(recording, center, device)
    velocity = _velocity(intervals, middle)
    return (velocity * _flow_offsets(velocity))[None]


def with_errors(truth: Tensor, generator: torch.Generator) -> Tensor:
    """Return ground-truth flow plus smooth random errors like those of estimated flow.

    The truth is ``(B, 2, 2, H, W)`` in pixels; NaN (unknown) becomes 0. The generator is on the
    CPU.
    """
    flow = truth.nan_to_num(nan=0.0)
    height, width = flow.shape[-2:]
    coarse = (max(height // _ERROR_SIZE, 2), max(width // _ERROR_SIZE, 2))
    noise = torch.randn(len(flow), 4, *coarse, generator=generator).to(flow)
    errors = F.interpolate(noise, (height, width), mode="bicubic", align_corners=True)
    length = flow.norm(dim=2, keepdim=True).mean(dim=(-2, -1), keepdim=True)
    return flow + (_ERROR + _ERROR_SHARE * length) * errors.view_as(flow)


def _read(recording: SpikeRecording, center: int, device: torch.device) -> tuple[Intervals, int]:
    """Return the intervals of the clip around a plane, and the plane's index in the clip.

    The clip is cut to the recording.
    """
    mirrored_planes(*centred_window(center, WINDOW), len(recording))  # raises if it is too short
    start, stop = centred_window(center, CLIP_PLANES)
    first = max(start, 0)
    packed = torch.from_numpy(recording.read_packed(first, min(stop, len(recording))))
    intervals = _intervals(unpack_tensor(packed.to(device), recording.shape[2]))
    return intervals.corrected(recording), center - first


def _intervals(spikes: Tensor) -> Intervals:
    intervals = Intervals.of((spikes != 0).byte())
    intervals.fill_ends()
    return intervals


def _velocity(intervals: Intervals, center: int) -> Tensor:
    """Estimate optical flow in pixels per plane, ``(2, 2, H, W)``."""
    rates, after = intervals.rates, len(intervals.rates) - 1 - center
    return estimate_velocities(rates, center, center, after, white_of(rates))


def _flow_offsets(like: Tensor) -> Tensor:
    """Return the offsets of the planes that flow leads to, -20 and 20, ``(2, 1, 1, 1)``."""
    return torch.tensor([-FLOW_OFFSET, FLOW_OFFSET]).to(like).view(2, 1, 1, 1)
