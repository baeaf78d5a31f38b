"""Ground-truth motion and occlusion of scene layers."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.simulation.scenes.trajectory import Motion

_COVERED: Final = 0.5  # coverage from which an object occludes a point
_ROUNDING: Final = 1e-6  # tolerance in pixels for points at the edge


class LayerGeometry(NamedTuple):
    """Motion and mask of a layer."""

    motion: Motion  #: motion of the layer, in image pixels
    #: coverage of each texel, ``(h, w)`` in [0, 1], with the origin in the middle; None covers
    #: everything
    mask: NDArray[np.float32] | None
    texels: int  #: texels per image pixel

    def covers(self, plane: float, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether the layer covers image points ``(2, ...)`` at a plane."""
        if self.mask is None:
            return np.ones(points.shape[1:], np.bool_)
        x, y = self.to_layer(plane, points) * self.texels
        height, width = self.mask.shape
        return _bilinear(self.mask, x + (width - 1) / 2, y + (height - 1) / 2) >= _COVERED

    def to_layer(self, plane: float, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert image points ``(2, ...)`` at a plane to coordinates of the layer."""
        a, b, c, d, e, f = self.motion.pose(plane).inverse
        x, y = points
        return np.stack([a * x + b * y + c, d * x + e * y + f])

    def to_image(self, plane: float, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert layer coordinates ``(2, ...)`` to image points at a plane."""
        a, b, c, d, e, f = self.motion.pose(plane).inverse
        x, y = own[0] - c, own[1] - f
        return np.stack([e * x - b * y, a * y - d * x]) / (a * e - b * d)


def backward_flow(
    geometries: Sequence[LayerGeometry], size: tuple[int, int], ratio: int, plane: int, earlier: int
) -> NDArray[np.float32]:
    """Return the exact displacement of each pixel from one plane to another, NaN if occluded.

    A pixel moves with the nearest layer that covers its centre. Mirrored parts of a texture move
    with their layer.

    Args:
        geometries: The layers from far to near; the first layer covers everything.
        size: Height and width of a plane.
        ratio: Image pixels per spike-camera pixel, along each axis.
        plane: Plane of the pixels.
        earlier: Plane to which the displacement leads.

    Returns:
        float32 ``(2, H, W)``, right and down, in spike-camera pixels: the scene point at x in
        ``plane`` is at x + v(x) in ``earlier``. NaN if a nearer layer covers the point in
        ``earlier``, or if the point is outside the centres of the outermost pixels, because
        bilinear sampling would need pixels outside the plane.
    """
    points, layers = _pixel_centres(size, ratio), np.zeros(size, np.intp)
    for number, geometry in enumerate(geometries[1:], start=1):
        layers[geometry.covers(plane, points)] = number
    moved = np.empty_like(points)
    for number, geometry in enumerate(geometries):
        is_layer = layers == number
        moved[:, is_layer] = geometry.to_image(
            earlier, geometry.to_layer(plane, points[:, is_layer])
        )
    limits = np.array([size[1] - 1, size[0] - 1]).reshape(2, 1, 1) * ratio / 2
    is_hidden = (np.abs(moved) > limits + _ROUNDING).any(axis=0)
    for number, geometry in enumerate(geometries[1:], start=1):
        is_hidden |= (layers < number) & geometry.covers(earlier, moved)
    motion = (moved - points) / ratio
    motion[:, is_hidden] = np.nan
    return motion.astype(np.float32)


def _pixel_centres(size: tuple[int, int], ratio: int) -> NDArray[np.float64]:
    """Return x and y of spike-camera pixels, in image pixels relative to the image centre."""
    y, x = ((np.arange(side) - (side - 1) / 2) * ratio for side in size)
    return np.stack([np.broadcast_to(x, size), np.broadcast_to(y[:, None], size)])


def _bilinear(
    values: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sample ``(h, w)`` by bilinear interpolation with zero padding."""
    left, top = np.floor(x), np.floor(y)
    sampled = np.zeros(x.shape)
    for across in (0, 1):
        for down in (0, 1):
            column, row = left + across, top + down
            is_inside = (column >= 0) & (column < values.shape[1])
            is_inside &= (row >= 0) & (row < values.shape[0])
            weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
            texel = values[row[is_inside].astype(np.intp), column[is_inside].astype(np.intp)]
            sampled[is_inside] += weight[is_inside] * texel
    return sampled
