"""Recovery of the intact planes of damaged ``.spl`` files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spike_zoo.coding.chunks import mapped_file
from spike_zoo.coding.errors import CorruptBitstreamError
from spike_zoo.coding.spl.codec import LosslessPlanes, recording_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spike_zoo.coding.errors import BitstreamError
    from spike_zoo.spikes.recording import Selection, SpikeRecording


class SalvagedPlanes:
    """Concatenated packed planes of the intact ranges of a bitstream.

    Args:
        stored: All planes of the bitstream.
        ranges: The ranges of intact planes, in order.

    Attributes:
        shape: ``(T, H, ceil(W/8))``.
    """

    def __init__(self, stored: LosslessPlanes, ranges: Sequence[range]) -> None:
        self._stored, self._ranges = stored, ranges
        self.shape = (sum(map(len, ranges)), *stored.shape[1:])

    def __getitem__(self, selection: Selection, /) -> NDArray[np.uint8]:
        """Decode planes ``[a, b)``; with three slices, only these rows and bytes."""
        if not isinstance(selection, tuple):
            selection = selection, slice(None), slice(None)
        planes, rows, columns = selection
        start, stop, _ = planes.indices(self.shape[0])
        parts, before = [self._stored[0:0, rows, columns]], 0
        for intact in self._ranges:
            part = intact[max(0, start - before) : max(0, stop - before)]
            if part:
                parts.append(self._stored[part.start : part.stop, rows, columns])
            before += len(intact)
        return np.concatenate(parts)


def salvage(
    path: str | Path, *, progress: Callable[[int, int], None] | None = None
) -> tuple[SpikeRecording, list[BitstreamError]]:
    """Open the intact planes of a ``.spl`` file as a recording without the lost planes.

    After a damaged chunk, no plane can be decoded up to the next restart of the model, about a
    thousand planes.

    Args:
        path: The file.
        progress: As for :func:`spike_zoo.coding.spl.codec.read`.

    Returns:
        The recording, and one error for each range of lost planes. ``meta["lost_planes"]`` lists
        the ranges.

    Raises:
        MissingFileError: If the file does not exist.
        BitstreamError: If the header is damaged, or no plane is intact.
    """
    where = str(path)
    stored = LosslessPlanes(mapped_file(Path(path)), where, progress, strict=False)
    header = stored.header
    intact, lost = _ranges(stored)
    errors: list[BitstreamError] = [
        CorruptBitstreamError(
            f"{where}: planes {planes.start} to {planes.stop - 1} of {header.planes} are lost: "
            "they are damaged, or cannot be decoded without damaged planes before them",
            gop=planes.start // header.depth,
            path=where,
        )
        for planes in lost
    ]
    if not intact:
        raise errors[0]
    listed = ", ".join(f"{planes.start} to {planes.stop - 1}" for planes in lost)
    meta = {"lost_planes": listed} if lost else None
    return recording_of(SalvagedPlanes(stored, intact), header, meta), errors


def _ranges(stored: LosslessPlanes) -> tuple[list[range], list[range]]:
    """Return the ranges of decodable planes and of lost planes."""
    header, ranges = stored.header, {True: list[range](), False: list[range]()}
    is_intact = True
    for number in range(header.chunks):
        is_intact = number in stored.chunks and (is_intact or number % header.restart == 0)
        planes, same = header.planes_of(range(number, number + 1)), ranges[is_intact]
        if same and same[-1].stop == planes.start:
            planes = range(same.pop().start, planes.stop)
        same.append(planes)
    return ranges[True], ranges[False]
