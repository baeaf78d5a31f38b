"""Recordings of cameras that are mounted mirrored or turned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from spike_zoo.errors import UsageError
from spike_zoo.spikes.packing import pack_bits, packed_width
from spike_zoo.spikes.recording import SpikeRecording

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.spikes.recording import Selection

ANGLES: Final = (0, 90, 180, 270)


class OrientedPlanes:
    """Planes of a recording, mirrored and then rotated when they are read.

    Args:
        recording: The recording as stored.
        mirror: Whether left and right are exchanged.
        rotate: Degrees counter-clockwise, one of :data:`ANGLES`.
    """

    def __init__(self, recording: SpikeRecording, *, mirror: bool, rotate: int) -> None:
        self._recording, self._mirror, self._turns = recording, mirror, rotate // 90
        count, height, width = recording.shape
        rows, self.width = (width, height) if self._turns % 2 else (height, width)
        self.shape = (count, rows, packed_width(self.width))

    def __getitem__(self, selection: Selection, /) -> NDArray[np.uint8]:
        """Read planes, or some rows and bytes of them; stored planes are read whole."""
        chosen, *inside = selection if isinstance(selection, tuple) else (selection,)
        planes = self._recording.read(chosen.start or 0, chosen.stop)
        planes = planes[..., ::-1] if self._mirror else planes
        packed = pack_bits(np.rot90(planes, self._turns, axes=(1, 2)))
        return packed[(slice(None), *inside)]


def oriented(recording: SpikeRecording, *, mirror: bool = False, rotate: int = 0) -> SpikeRecording:
    """Return a recording that is mirrored, then rotated, when its planes are read.

    Args:
        recording: The recording, ``(T, H, W)``.
        mirror: Exchange left and right.
        rotate: Degrees counter-clockwise: 0, 90, 180 or 270.

    Raises:
        UsageError: If ``rotate`` is another number.
    """
    if rotate not in ANGLES:
        raise UsageError(f"rotate must be 0, 90, 180 or 270 degrees, got {rotate}")
    if not mirror and not rotate:
        return recording
    planes = OrientedPlanes(recording, mirror=mirror, rotate=rotate)
    known = {name: getattr(recording, name) for name in ("fps", "threshold", "rate_scale", "meta")}
    return SpikeRecording(planes, planes.width, **known)
