"""Where every point of a picture was before: exact motion of layers, and what hid them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spike_zoo.simulation.scenes.trajectory import Motion

_COVERED: Final = 0.5  # share of a point from which an object covers it
_ROUNDING: Final = 1e-6  # pixels by which a point at the edge may seem outside


class Sheet(NamedTuple):
    """What motion and hiding need of a layer.

    Attributes:
        motion: Its motion, in pixels of the images.
        mask: How much of each texel it covers, ``(h, w)`` in [0, 1], the origin in the middle;
            None covers everything.
        texels: Texels per pixel of the images.
    """

    motion: Motion
    mask: NDArray[np.float32] | None
    texels: int

    def covers(self, plane: float, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether the sheet covers points ``(2, ...)`` of the view at a plane."""
        if self.mask is None:
            return np.ones(points.shape[1:], np.bool_)
        x, y = self.inside(plane, points) * self.texels
        height, width = self.mask.shape
        return _bilinear(self.mask, x + (width - 1) / 2, y + (height - 1) / 2) >= _COVERED

    def inside(self, plane: float, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sheet's own points that are seen at points ``(2, ...)`` of the view."""
        a, b, c, d, e, f = self.motion.pose(plane).inverse
        x, y = points
        return np.stack([a * x + b * y + c, d * x + e * y + f])

    def seen(self, plane: float, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where the sheet's own points ``(2, ...)`` are seen at a plane."""
        a, b, c, d, e, f = self.motion.pose(plane).inverse
        x, y = own[0] - c, own[1] - f
        return np.stack([e * x - b * y, a * y - d * x]) / (a * e - b * d)


def backward_motion(
    sheets: Sequence[Sheet], size: tuple[int, int], ratio: int, plane: int, earlier: int
) -> NDArray[np.float32]:
    """Return where each pixel of one plane was at another, and NaN where that was not seen.

    Nothing is estimated or sampled in between: a pixel moves as the nearest sheet that covers its
    centre does. A mirrored texture is part of its sheet, so it moves with it.

    Args:
        sheets: The layers, the farthest first; the first one covers everything.
        size: Height and width of a plane of spikes.
        ratio: Pixels of the images per pixel of the spikes, along each axis.
        plane: Plane whose pixels are asked for.
        earlier: Plane where they are looked for.

    Returns:
        float32 ``(2, H, W)``, right and down, in pixels of the spikes: what ``plane`` shows at x is
        at x + v(x) in ``earlier``. NaN where a nearer sheet covers that point there, and where it
        lies beyond the centres of the outermost pixels, so that bilinear sampling needs no other.
    """
    points, here = _pixel_centres(size, ratio), np.zeros(size, np.intp)
    for number, sheet in enumerate(sheets[1:], start=1):
        here[sheet.covers(plane, points)] = number
    there = np.empty_like(points)
    for number, sheet in enumerate(sheets):
        mine = here == number
        there[:, mine] = sheet.seen(earlier, sheet.inside(plane, points[:, mine]))
    limits = np.array([size[1] - 1, size[0] - 1]).reshape(2, 1, 1) * ratio / 2
    unseen = (np.abs(there) > limits + _ROUNDING).any(axis=0)
    for number, sheet in enumerate(sheets[1:], start=1):
        unseen |= (here < number) & sheet.covers(earlier, there)
    motion = (there - points) / ratio
    motion[:, unseen] = np.nan
    return motion.astype(np.float32)


def _pixel_centres(size: tuple[int, int], ratio: int) -> NDArray[np.float64]:
    """Return x and y of the pixels of the spikes, in pixels of the images from the middle."""
    y, x = ((np.arange(side) - (side - 1) / 2) * ratio for side in size)
    return np.stack([np.broadcast_to(x, size), np.broadcast_to(y[:, None], size)])


def _bilinear(
    values: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sample ``(h, w)`` between its texels, with zeros around."""
    left, top = np.floor(x), np.floor(y)
    sampled = np.zeros(x.shape)
    for across in (0, 1):
        for down in (0, 1):
            column, row = left + across, top + down
            known = (column >= 0) & (column < values.shape[1])
            known &= (row >= 0) & (row < values.shape[0])
            weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
            texel = values[row[known].astype(np.intp), column[known].astype(np.intp)]
            sampled[known] += weight[known] * texel
    return sampled
