"""Recovery of the intact planes of damaged ``.spl`` files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.coding.chunks import mapped_file
from spike_zoo.coding.errors import CorruptBitstreamError
from spike_zoo.coding.spl.codec import LosslessPlanes, recording_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from spike_zoo.coding.errors import BitstreamError
    from spike_zoo.spikes.recording import SpikeRecording


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
    lost = _lost(stored)
    errors: list[BitstreamError] = [
        CorruptBitstreamError(
            f"{where}: planes {planes.start} to {planes.stop - 1} of {stored.header.planes} are "
            "lost: they are damaged, or cannot be decoded without damaged planes before them",
            gop=planes.start // stored.header.depth,
            path=where,
        )
        for planes in lost
    ]
    if not stored.numbers:
        raise errors[0]
    listed = ", ".join(f"{planes.start} to {planes.stop - 1}" for planes in lost)
    meta = {"lost_planes": listed} if lost else None
    return recording_of(stored, stored.header, meta), errors


def _lost(stored: LosslessPlanes) -> list[range]:
    """Return the ranges of lost planes."""
    edges = [-1, *stored.numbers, stored.header.chunks]
    gaps = (range(before + 1, after) for before, after in pairwise(edges))
    return [stored.header.planes_of(gap) for gap in gaps if gap]
