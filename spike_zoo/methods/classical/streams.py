"""TFP and TFI of recordings in blocks of planes, with constant memory."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.methods.classical.intervals import (
    MAX_INTERVAL,
    large_array,
    mean_intervals,
    windows_around,
)
from spike_zoo.spikes.packing import pack_bits, unpack_bits
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import wanted_planes

BLOCK_PIXELS = 1 << 24
"""Pixels times planes of one block: 64 MiB of result."""


def tfp_stream(
    recording: SpikeRecording, centers: Sequence[int] | None = None, window: int = 41
) -> Iterator[Tensor]:
    """Yield the firing rates of ``tfp_video`` around planes of a recording, block by block.

    Each plane is read at most twice for any window if centres ascend. The maps of the recording's
    camera are applied.

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
    centers = _checked(recording, centers, window)
    return map(recording.corrected, _playback(recording, centers, window))


def tfi_stream(
    recording: SpikeRecording, centers: Sequence[int] | None = None, average: int = 1
) -> Iterator[Tensor]:
    """Yield the rates of ``tfi_video`` at planes of a recording, block by block.

    Unlike in ``tfi_video``, the rate of intervals longer than :data:`MAX_INTERVAL` is 0. This
    bounds the planes that are read ahead. The maps of the recording's camera are applied.

    Args:
        recording: The spikes.
        centers: Planes in any order, ascending for speed; by default every plane.
        average: Planes around each centre over which rates are averaged; held in memory.

    Yields:
        float32 ``(n, H, W)``, spikes per plane; n differs from block to block.

    Raises:
        PlaneRangeError: If a centre lies outside the recording.
        ValueError: If ``average`` is below 1.
    """
    centers = _checked(recording, centers, average)
    if len(centers) == average == 1:
        return iter([recording.corrected(_single_image(recording, centers[0]))])
    return map(recording.corrected, _intervals(recording, centers, average))


def _checked(recording: SpikeRecording, centers: Sequence[int] | None, window: int) -> list[int]:
    """Return the centres of windows, by default every plane, after a check of both."""
    windows_around([], len(recording), window)
    return wanted_planes(range(len(recording)) if centers is None else centers, len(recording))


def block_planes(recording: SpikeRecording) -> int:
    """Return the number of planes per block of a recording."""
    _, height, width = recording.shape
    return max(1, BLOCK_PIXELS // (height * width))


def ascending_blocks(centers: Sequence[int], span: int) -> Iterator[list[int]]:
    """Split centres into ascending runs of at most ``span`` centres within ``span`` planes."""
    block: list[int] = []
    for center in centers:
        if block and (center < block[-1] or center - block[0] >= span or len(block) == span):
            yield block
            block = []
        block.append(int(center))
    if block:
        yield block


def _playback(recording: SpikeRecording, centers: Sequence[int], window: int) -> Iterator[Tensor]:
    from spike_zoo.methods.classical import kernels  # imported on use: Numba loads slowly

    planes, height, width = recording.shape
    counts = np.zeros((height, width), np.int32)
    held = (0, 0)
    span = block_planes(recording)
    for block in ascending_blocks(centers, span):
        windows = windows_around(block, planes, window)
        (first, last), (stop, end) = (edges[[0, -1]].tolist() for edges in windows)
        # counts of the block's first window; the kernel slides from there
        held = _move_window(recording, counts, held, (first, stop))
        # uint8 instead of bool: the kernel is compiled once for clips and recordings
        entering, leaving = (
            (recording.read(low, max(low, high)).view(np.uint8), low)
            for low, high in ((stop, end), (first, last))
        )
        rates = large_array(len(block), height, width)
        job = (entering, leaving, held, counts, *windows, rates)
        kernels.over_rows(kernels.mean_in_windows, height, rates.size, *job)
        held = last, end
        yield torch.from_numpy(rates)


def _move_window(
    recording: SpikeRecording,
    counts: NDArray[np.int32],
    held: tuple[int, int],
    wanted: tuple[int, int],
) -> tuple[int, int]:
    """Move counts in place from one window of planes to another; return the new window."""
    (lo, hi), (start, stop) = held, wanted
    # a window that moves backward, or shares no plane with the last window, is counted again
    if start < lo or stop < hi or start >= hi:
        counts[:] = 0
        lo = hi = start
    step = block_planes(recording)
    for first in range(hi, stop, step):
        counts += recording.read(first, min(first + step, stop)).sum(axis=0, dtype=np.int32)
    for first in range(lo, start, step):
        counts -= recording.read(first, min(first + step, start)).sum(axis=0, dtype=np.int32)
    return start, stop


def _intervals(recording: SpikeRecording, centers: Sequence[int], average: int) -> Iterator[Tensor]:
    before = after = None
    for block in ascending_blocks(centers, block_planes(recording)):
        boundaries = windows_around(block, len(recording), average).shifted(1)
        low, high = int(boundaries.starts[0]), int(boundaries.stops[-1]) - 1
        before = previous_spikes(recording, low, before)
        after = next_spikes(recording, high, after)
        spikes = torch.from_numpy(recording.read(low, high)).view(torch.uint8)[None]
        # the kernel's indexes are relative to the first plane read
        ends = before.planes - low, after.planes - low
        yield mean_intervals(spikes, boundaries.shifted(-low), *ends, MAX_INTERVAL)[0]


def _single_image(recording: SpikeRecording, center: int) -> Tensor:
    """Return the rates at one plane ``(1, H, W)`` without Numba, which takes a second to load."""
    before, after = (
        nearest_in_recording(recording, center + 1, step, is_compiled=False) for step in (-1, 1)
    )
    intervals = after - before
    return (1 / intervals).masked_fill(intervals > MAX_INTERVAL, 0)[None]


class NearestSpikes(NamedTuple):
    """The nearest spike of each pixel before or after a boundary."""

    boundary: int  #: index of the first plane after the boundary
    #: float32 ``(H, W)``, planes of the spikes. If there is none in the search range, infinity for
    #: spikes after the boundary and minus infinity for spikes before it.
    planes: Tensor


def previous_spikes(
    recording: SpikeRecording, boundary: int, cached: NearestSpikes | None = None
) -> NearestSpikes:
    """Return the last spikes before a boundary, the index of the plane after it.

    If ``cached`` is the result for an earlier boundary, only planes since that boundary are
    searched.
    """
    if cached is None or cached.boundary > boundary:
        return NearestSpikes(boundary, nearest_in_recording(recording, boundary, -1))
    # the earlier result remains valid for pixels without a spike since then
    since = min(MAX_INTERVAL, boundary - cached.boundary)
    nearest = nearest_in_recording(recording, boundary, -1, since)
    return NearestSpikes(boundary, nearest.maximum(cached.planes))


def next_spikes(
    recording: SpikeRecording, boundary: int, cached: NearestSpikes | None = None
) -> NearestSpikes:
    """Return the first spikes after a boundary, the index of the plane after it.

    If ``cached`` is the result for an earlier boundary, only two kinds of pixels are searched:
    those that fired since that boundary, and those without a spike, in planes beyond that search.
    """
    if cached is None or not 0 <= boundary - cached.boundary <= MAX_INTERVAL:
        return NearestSpikes(boundary, nearest_in_recording(recording, boundary, 1))
    # a spike of the earlier result that is still after the boundary remains the nearest
    fired, silent = cached.planes < boundary, cached.planes.isinf()
    following = nearest_in_recording(recording, boundary, 1, wanted=fired)
    further, planes = cached.boundary + MAX_INTERVAL, boundary - cached.boundary
    later = nearest_in_recording(recording, further, 1, planes, silent)
    nearest = cached.planes.masked_fill(fired, torch.inf).minimum(following).minimum(later)
    return NearestSpikes(boundary, nearest)


def nearest_in_recording(
    recording: SpikeRecording,
    boundary: int,
    step: int,
    max_search: int | None = None,
    wanted: Tensor | None = None,
    *,
    is_compiled: bool = True,
) -> Tensor:
    """Return the plane of each pixel's nearest spike after or before a boundary.

    Bit-packed planes are read in growing chunks until a spike is found for every pixel.

    Args:
        recording: The spikes.
        boundary: Index of the first plane after the boundary.
        step: 1 searches forward from the boundary, -1 backward.
        max_search: Planes to search, by default :data:`MAX_INTERVAL`.
        wanted: bool ``(H, W)``, pixels to search; all by default.
        is_compiled: Whether compiled code is used. NumPy takes twice as long, but Numba, which
            compiles, takes a second to load.

    Returns:
        float32 ``(H, W)``; infinity with the sign of ``step`` if there is no spike.
    """
    planes, height, width = recording.shape
    max_search = MAX_INTERVAL if max_search is None else max_search
    max_search = min(max_search, planes - boundary if step > 0 else boundary)
    # the padding bits of a row's last byte are 0, so they are never pending
    pending = pack_bits(np.ones((height, width), np.bool_) if wanted is None else wanted.numpy())
    found = np.full((height, 8 * pending.shape[1]), step * np.inf, np.float32)
    # most pixels fire soon: chunks are small first and grow for the few pending pixels
    done, chunk = 0, 16
    while done < max_search and pending.any():
        size = min(chunk, max_search - done)
        first = boundary + done if step > 0 else boundary - done - size
        packed = np.ascontiguousarray(recording.read_packed(first, first + size))
        job = (packed, first, step, pending, found)
        if is_compiled:
            from spike_zoo.methods.classical import kernels

            kernels.over_rows(kernels.nearest_packed_spikes, height, packed.size, *job)
        else:
            _nearest_packed_spikes(*job)
        done, chunk = done + size, 2 * chunk
    return torch.from_numpy(np.ascontiguousarray(found[:, :width]))


def _nearest_packed_spikes(
    packed: NDArray[np.uint8],
    first: int,
    step: int,
    pending: NDArray[np.uint8],
    found: NDArray[np.float32],
) -> None:
    """Find the first spike of pending pixels like the compiled ``nearest_packed_spikes``."""
    for index in range(len(packed))[::step]:
        fired = packed[index] & pending
        found[unpack_bits(fired, found.shape[1])] = first + index
        pending ^= fired
