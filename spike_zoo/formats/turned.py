"""Mirroring and rotation of ``.dat`` planes while they are read, for mounted cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spike_zoo.errors import UsageError
from spike_zoo.spikes.packing import pack_bits, packed_width
from spike_zoo.spikes.recording import SpikeRecording

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.formats.dat import DatPlanes
    from spike_zoo.formats.sidecar import Sidecar
    from spike_zoo.spikes.recording import Selection

ROTATIONS = (0, 90, 180, 270)
_BLOCK_PIXELS = 1 << 23


def check_rotation(rotate: int | None) -> None:
    """Raise if a clockwise rotation is not 0, 90, 180 or 270 degrees; None is valid."""
    if rotate not in (None, *ROTATIONS):
        raise UsageError(f"--rotate must be 0, 90, 180 or 270 degrees (clockwise), got {rotate}")


def dat_recording(planes: DatPlanes, settings: Sidecar) -> SpikeRecording:
    """Return the recording of a ``.dat`` file, mirrored and rotated as its sidecar states."""
    check_rotation(settings.rotate)
    mirror, rotate = bool(settings.mirror), settings.rotate or 0
    meta = settings.meta | {"source_flipped": planes.layout.flip}
    if not mirror and not rotate:
        return SpikeRecording(planes, planes.layout.image_width, meta=meta)
    turned = TurnedPlanes(planes, mirror=mirror, turns=rotate // 90)
    return SpikeRecording(
        turned, turned.width, meta=meta | {"source_mirrored": mirror, "source_rotated": rotate}
    )


class TurnedPlanes:
    """Packed planes that are mirrored and then rotated by clockwise quarter turns when read."""

    def __init__(self, planes: DatPlanes, *, mirror: bool, turns: int) -> None:
        self._stored = planes
        self._mirror = mirror
        self._turns = turns
        sides = planes.shape[1], planes.layout.image_width
        height, self.width = sides[::-1] if turns % 2 else sides
        self.shape = (planes.shape[0], height, packed_width(self.width))

    def unpacked(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Read planes ``[start, stop)`` as bool ``(stop - start, H, W)``."""
        planes = self._stored.unpacked(start, stop)
        if self._mirror:
            planes = planes[..., ::-1]
        return np.ascontiguousarray(np.rot90(planes, -self._turns, axes=(1, 2)))

    def __getitem__(self, selection: Selection) -> NDArray[np.uint8]:
        """Read a range of planes, or ``[planes, rows, bytes of a row]`` of them."""
        whole = selection if isinstance(selection, tuple) else (selection, slice(None), slice(None))
        start, stop, _ = whole[0].indices(self.shape[0])
        stop = max(start, stop)
        step = max(1, _BLOCK_PIXELS // (self.shape[1] * self.width))
        parts = [
            pack_bits(self.unpacked(first, min(first + step, stop)))[:, whole[1], whole[2]]
            for first in range(start, max(stop, start + 1), step)
        ]
        return np.concatenate(parts)
