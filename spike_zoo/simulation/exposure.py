"""Blurry images: what an ordinary camera sees while the spike camera reads many planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spike_zoo.simulation.scenes import Scene

_CHUNK = 16  # planes held at once


def expose_image(scene: Scene, start: int, stop: int) -> NDArray[np.float32]:
    """Return the mean of the images of planes ``[start, stop)``, R,G,B ``(3, H', W')`` in [0, 1].

    The mean of the values, without a gamma, as in S-SDM's GOPRO set.

    Raises:
        ValueError: If the range is empty or leaves the scene.

    Source: Chen et al., *SpikeReveal*, NeurIPS 2024.
    """
    if stop <= start:
        raise ValueError(f"an exposure needs at least one plane, got {start}..{stop}")
    total = np.zeros((3, *scene.size), dtype=np.float64)
    for first in range(start, stop, _CHUNK):
        for image in scene.colour(first, min(first + _CHUNK, stop)):
            total += image
    return (total / (stop - start)).astype(np.float32)


def exposure_spans(
    planes: int, length: int, *, gap: int = 7, margin: int = 20
) -> NDArray[np.int64]:
    """Return the exposures that fit into a recording, ``(M, 2)``: first and past-the-last plane.

    Args:
        planes: Planes of the recording.
        length: Planes per exposure (S-SDM's GOPRO set: 97).
        gap: Planes skipped between two exposures.
        margin: Planes kept before the first and after the last, so that windows centred near an
            exposure's ends are whole.

    Raises:
        ValueError: If ``length`` is below 1, or ``gap`` or ``margin`` is negative.
    """
    if length < 1 or gap < 0 or margin < 0:
        raise ValueError(f"no exposures of {length} planes with gap {gap} and margin {margin}")
    first = np.arange(margin, planes - margin - length + 1, length + gap, dtype=np.int64)
    return np.stack([first, first + length], axis=1)
