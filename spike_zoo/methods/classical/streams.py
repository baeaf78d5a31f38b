"""TFP and TFI of recordings of any length in constant memory, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from spike_zoo.methods.classical.dispatch import (
    Surroundings,
    large_array,
    mean_intervals,
)
from spike_zoo.methods.classical.plans import interval_runs, playback_windows
from spike_zoo.spikes.packing import pack_bits
from spike_zoo.spikes.windows import wanted_planes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.spikes import SpikeRecording


BLOCK_PIXELS = 1 << 24
"""Pixels times planes of one block: 64 MiB of result."""

REACH = 1024
"""Planes that TFI looks ahead and back; a longer interval is darker than half a grey level of
8 bits where white has 0.6 spikes per plane."""


def tfp_stream(
    recording: SpikeRecording, centers: Sequence[int] | None = None, window: int = 41
) -> Iterator[Tensor]:
    """Yield the firing rates of ``tfp_video`` around planes of a recording, block by block.

    Each plane is read at most twice, whatever the window, while centres ascend.

    Args:
        recording: The spikes.
        centers: Planes in any order, ascending for speed; by default every plane.
        window: Planes of each window, cut to the recording.

    Yields:
        float32 ``(n, H, W)``, spikes per plane; n differs from block to block.

    Raises:
        PlaneRangeError: If a centre lies outside the recording.
        ValueError: If the window is below 1.
    """
    planes = range(len(recording)) if centers is None else centers
    centers = wanted_planes(planes, len(recording))
    playback_windows([], len(recording), window, "shrink")  # checks the window before any work
    return _playback(recording, centers, window)


def tfi_stream(
    recording: SpikeRecording,
    centers: Sequence[int] | None = None,
    average: int = 1,
    reach: int = REACH,
) -> Iterator[Tensor]:
    """Yield the values of ``tfi_video`` at planes of a recording, block by block.

    The only difference: a spike further than ``reach`` planes from the centre counts as missing,
    so that reading ahead has a bound. Where ``reach`` is the recording's length or more, the
    values are those of ``tfi_video``.

    Args:
        recording: The spikes.
        centers: Planes in any order, ascending for speed; by default every plane.
        average: Planes around each centre whose values are averaged; these are held in memory.
        reach: Planes to look ahead and back.

    Yields:
        float32 ``(n, H, W)``, spikes per plane; n differs from block to block.

    Raises:
        PlaneRangeError: If a centre lies outside the recording.
        ValueError: If ``average`` or ``reach`` is below 1.
    """
    for name, value in (("average", average), ("reach", reach)):
        if value < 1:
            raise ValueError(f"{name} is at least 1 plane, got {value}")
    planes = range(len(recording)) if centers is None else centers
    return _intervals(recording, wanted_planes(planes, len(recording)), average, reach)


def block_planes(recording: SpikeRecording) -> int:
    """Return how many planes of a recording one block holds."""
    _, height, width = recording.shape
    return max(1, BLOCK_PIXELS // (height * width))


def ascending_blocks(centers: Sequence[int], span: int) -> Iterator[list[int]]:
    """Cut centres into ascending runs, at most ``span`` planes from first to last and as many."""
    block: list[int] = []
    for center in centers:
        if block and (center < block[-1] or center - block[0] >= span or len(block) == span):
            yield block
            block = []
        block.append(int(center))
    if block:
        yield block


def _playback(recording: SpikeRecording, centers: Sequence[int], window: int) -> Iterator[Tensor]:
    from spike_zoo.methods.classical import kernels  # compiling is for those who use it

    planes, height, width = recording.shape
    counts = np.zeros((height, width), np.int32)
    held = (0, 0)
    span = block_planes(recording)
    for block in ascending_blocks(centers, span):
        windows = playback_windows(block, planes, window, "shrink")
        starts, stops = np.array(windows.starts), np.array(windows.stops)
        # up to the block's first window; from there on the kernel takes planes in and out
        held = _move_window(recording, counts, held, (windows.starts[0], windows.stops[0]))
        # bytes and not bool: the kernel then compiles once for clips and recordings
        entering = recording.read(held[1], max(held[1], windows.stops[-1])).view(np.uint8)
        leaving = recording.read(held[0], windows.starts[-1]).view(np.uint8)
        rates = large_array(len(block), height, width)
        weights = np.array(windows.weights, np.float32)
        moving = (entering, held[1]), (leaving, held[0])
        job = (*moving, held, counts, starts, stops, weights, rates)
        kernels.over_rows(kernels.mean_in_windows, height, rates.size, *job)
        held = windows.starts[-1], windows.stops[-1]
        yield torch.from_numpy(rates)


def _move_window(
    recording: SpikeRecording,
    counts: NDArray[np.int32],
    held: tuple[int, int],
    wanted: tuple[int, int],
) -> tuple[int, int]:
    """Bring counts from one window of planes to another, reading the planes that differ."""
    (lo, hi), (start, stop) = held, wanted
    # a window that moved back, or shares no plane with the last one, is counted from zero
    if start < lo or stop < hi or start >= hi:
        counts[:] = 0
        lo = hi = start
    step = block_planes(recording)
    for first in range(hi, stop, step):
        counts += recording.read(first, min(first + step, stop)).sum(axis=0, dtype=np.int32)
    for first in range(lo, start, step):
        counts -= recording.read(first, min(first + step, start)).sum(axis=0, dtype=np.int32)
    return start, stop


def _intervals(
    recording: SpikeRecording, centers: Sequence[int], average: int, reach: int
) -> Iterator[Tensor]:
    before = after = None
    for block in ascending_blocks(centers, block_planes(recording)):
        runs = interval_runs(block, len(recording), average, "forward")
        low, high = runs.boundaries[0], runs.boundaries[-1]
        before = nearest_behind(recording, low, reach, before)
        after = nearest_ahead(recording, high, reach, after)
        around = Surroundings(before.planes[None] - low, after.planes[None] - low, reach)
        # the kernel counts planes from the first one that is read
        shifted = runs._replace(boundaries=[boundary - low for boundary in runs.boundaries])
        spikes = torch.from_numpy(recording.read(low, high)).view(torch.uint8)
        yield mean_intervals(spikes[None], shifted, around)[0]


class Nearest(NamedTuple):
    """The first spike of each pixel behind a boundary, or ahead of it.

    Attributes:
        boundary: Looking ahead begins with this plane, looking back with the one before it.
        planes: float32 ``(H, W)``; infinity if no spike is in reach, minus infinity behind.
    """

    boundary: int
    planes: Tensor


def nearest_behind(
    recording: SpikeRecording, boundary: int, reach: int, known: Nearest | None = None
) -> Nearest:
    """Return the last spikes before a boundary.

    Args:
        recording: The spikes.
        boundary: The plane before it is the first to look at.
        reach: Planes to look at.
        known: The same behind an earlier boundary: only planes since then are looked at.
    """
    if known is None or known.boundary > boundary:
        return Nearest(boundary, nearest_in_recording(recording, boundary, -1, reach))
    # what was known is still the nearest unless the planes since hold a later spike
    since = min(reach, boundary - known.boundary)
    found = nearest_in_recording(recording, boundary, -1, since).maximum(known.planes)
    return Nearest(boundary, found.masked_fill(found < boundary - reach, -torch.inf))


def nearest_ahead(
    recording: SpikeRecording, boundary: int, reach: int, known: Nearest | None = None
) -> Nearest:
    """Return the first spikes from a boundary on.

    Args:
        recording: The spikes.
        boundary: The first plane to look at.
        reach: Planes to look at.
        known: The same ahead of an earlier boundary. Only pixels that have fired since are looked
            at again, and others without a spike in the planes that were out of reach then.
    """
    if known is None or not 0 <= boundary - known.boundary <= reach:
        return Nearest(boundary, nearest_in_recording(recording, boundary, 1, reach))
    # a spike that is still ahead stays the nearest: only the others are searched for
    fired, silent = known.planes < boundary, known.planes.isinf()
    next_ones = nearest_in_recording(recording, boundary, 1, reach, fired)
    later = known.boundary + reach
    further = nearest_in_recording(recording, later, 1, boundary + reach - later, silent)
    found = known.planes.masked_fill(fired, torch.inf).minimum(next_ones).minimum(further)
    return Nearest(boundary, found)


def nearest_in_recording(
    recording: SpikeRecording,
    boundary: int,
    step: int,
    reach: int,
    wanted: Tensor | None = None,
) -> Tensor:
    """Return the plane of each pixel's first spike ahead of a boundary, or behind it.

    Planes stay packed and are read in growing chunks until every pixel has its spike.

    Args:
        recording: The spikes.
        boundary: Looking ahead begins with this plane, looking back with the one before it.
        step: 1 looks ahead, -1 back.
        reach: Planes to look at.
        wanted: bool ``(H, W)``, the pixels to look at; by default all.

    Returns:
        float32 ``(H, W)``; infinity, signed as ``step`` if there is no spike.
    """
    planes, height, width = recording.shape
    from spike_zoo.methods.classical import kernels

    reach = min(reach, planes - boundary if step > 0 else boundary)
    # the spare bits of a row's last byte are 0 here: never pending and so never found
    pending = pack_bits(np.ones((height, width), np.bool_) if wanted is None else wanted.numpy())
    found = np.full((height, 8 * pending.shape[1]), step * np.inf, np.float32)
    # most pixels fire soon: few planes first, then ever more for the few pixels that are left
    done, chunk = 0, 16
    while done < reach and pending.any():
        size = min(chunk, reach - done)
        first = boundary + done if step > 0 else boundary - done - size
        packed = np.ascontiguousarray(recording.read_packed(first, first + size))
        job = (packed, first, step, pending, found)
        kernels.over_rows(kernels.nearest_packed_spikes, height, packed.size, *job)
        done, chunk = done + size, 2 * chunk
    return torch.from_numpy(np.ascontiguousarray(found[:, :width]))
