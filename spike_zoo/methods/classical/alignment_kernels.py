"""Compiled CPU kernels that sample along optical flow.

Each kernel computes a band of rows ``[top, bottom)`` of the output, see :func:`over_rows`.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from spike_zoo.spikes.compiling import compiled

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Planes = NDArray[np.int64]

_ZERO, _ONE = np.float32(0), np.float32(1)
_SPIKE = np.uint8(0)  # planes since the last spike
_FINITE = ("nnan", "ninf", "nsz", "contract")
_RUN = 32  # consecutive pixels of a row that are loaded as vectors
_kernel = partial(compiled, fastmath=_FINITE)
_inline = partial(compiled, inline=True, fastmath=_FINITE)


@_inline
def _number(columns: Floats) -> None:
    """Write the index of each column: reading it is faster than converting it in every loop."""
    for column in range(columns.size):
        columns[column] = column


@_inline
def _locate(
    velocity: Floats,
    row: int,
    shift: np.float32,
    columns: Floats,
    indexes: Integers,
    right: Floats,
    down: Floats,
) -> None:
    """Write the sampling position of each pixel: index of the top left neighbour, and fractions."""
    height, width = velocity.shape[1:]
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    along_x, along_y = velocity[0, row], velocity[1, row]
    for column in range(width):
        x = min(max(columns[column] + shift * along_x[column], _ZERO), last_x)
        y = min(max(np.float32(row) + shift * along_y[column], _ZERO), last_y)
        left = min(np.int32(x), np.int32(width - 2))
        above = min(np.int32(y), np.int32(height - 2))
        indexes[column] = above * np.int32(width) + left
        right[column] = x - np.float32(left)
        down[column] = y - np.float32(above)


@_inline
def _add_samples(
    image: Floats,
    width: int,
    indexes: Integers,
    right: Floats,
    down: Floats,
    share: np.float32,
    out: Floats,
) -> None:
    """Add bilinear samples of a flattened image to a row."""
    runs = indexes.size // _RUN * _RUN
    for first in range(0, runs, _RUN):
        start, apart = indexes[first], np.int32(0)
        for each in range(_RUN):
            apart |= (indexes[first + each] - start) ^ np.int32(each)
        if apart == 0:  # smooth flow: indexes are consecutive, samples are loaded as vectors
            for each in range(_RUN):
                index = np.uint32(start) + np.uint32(each)
                sample = _bilinear(image, width, index, right[first + each], down[first + each])
                out[first + each] += share * sample
        else:
            for column in range(first, first + _RUN):
                index = np.uint32(indexes[column])  # numba checks signed indexes for wraparound
                sample = _bilinear(image, width, index, right[column], down[column])
                out[column] += share * sample
    for column in range(runs, indexes.size):
        index = np.uint32(indexes[column])
        out[column] += share * _bilinear(image, width, index, right[column], down[column])


@_inline
def _bilinear(
    image: Floats, width: int, index: np.uint32, right: np.float32, down: np.float32
) -> np.float32:
    below = index + np.uint32(width)
    first, second = image[index], image[index + np.uint32(1)]
    third, fourth = image[below], image[below + np.uint32(1)]
    upper = first + right * (second - first)
    lower = third + right * (fourth - third)
    return upper + down * (lower - upper)


@_kernel
def sample_along(
    values: Floats,
    planes: Planes,
    middle: int,
    velocity: Floats,
    slots: Planes,
    shares: Floats,
    out: Floats,
    top: int,
    bottom: int,
) -> None:
    """Sample planes bilinearly along the flow and add them to output images.

    Args:
        values: ``(T, H, W)``.
        planes: Indexes of planes, ``(P,)``.
        middle: Index of the plane that the planes are aligned to.
        velocity: ``(2, 2, H, W)``, pixels per plane (dx, dy), before and after the middle.
        slots: Index of the output image that each plane is added to, ``(P,)``.
        shares: Weight of each plane, ``(P,)``.
        out: ``(N, H, W)``, added to.
        top: First row.
        bottom: Past the last row.
    """
    width = values.shape[2]
    columns, indexes = np.empty(width, np.float32), np.empty(width, np.int32)
    _number(columns)
    right, down = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(top, bottom):
        for each in range(planes.size):
            shift = np.float32(planes[each] - middle)
            side = velocity[0] if planes[each] < middle else velocity[1]
            _locate(side, row, shift, columns, indexes, right, down)
            image = values[planes[each]].reshape(-1)
            _add_samples(image, width, indexes, right, down, shares[each], out[slots[each], row])


@_kernel
def sample_whole(
    ends: tuple[Bytes, Bytes],
    clip: tuple[int, int],
    planes: Planes,
    middle: int,
    velocity: Floats,
    out: Floats,
    top: int,
    bottom: int,
) -> None:
    """Write 1 if the interval at the nearest pixel along the flow is inside the clip, else 0.

    ``ends`` are the planes since the last spike and until the next one, ``(T, H, W)`` each;
    ``clip`` is the half-open range of planes. The other arguments are those of
    :func:`sample_along`.
    """
    height, width = velocity.shape[2:]
    columns, indexes = np.empty(width, np.float32), np.empty(width, np.int32)
    _number(columns)
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    for row in range(top, bottom):
        for each in range(planes.size):
            plane = planes[each]
            shift = np.float32(plane - middle)
            along = velocity[0] if plane < middle else velocity[1]
            along_x, along_y = along[0, row], along[1, row]
            for column in range(width):
                x = min(max(np.rint(columns[column] + shift * along_x[column]), _ZERO), last_x)
                y = min(max(np.rint(np.float32(row) + shift * along_y[column]), _ZERO), last_y)
                indexes[column] = np.int32(y) * np.int32(width) + np.int32(x)
            low, high = _limits(clip, plane)
            since, until = ends[0][plane].reshape(-1), ends[1][plane].reshape(-1)
            for column in range(width):
                index = np.uint32(indexes[column])
                is_whole = since[index] <= low and until[index] < high
                out[each, row, column] = np.float32(is_whole)


@_inline
def _limits(clip: tuple[int, int], plane: int) -> tuple[np.uint8, np.uint8]:
    """Return the largest ``since`` and the exclusive limit of ``until`` of intervals in a clip."""
    # 255 also marks longer distances and is never accepted
    return np.uint8(min(plane - clip[0], 254)), np.uint8(min(clip[1] - plane, 255))


@_kernel
def measure_excess(
    images: Floats,
    tile: Integers,
    ends: tuple[Bytes, Bytes],
    clip: tuple[int, int],
    middle: int,
    velocity: Floats,
    window: tuple[int, int],
    step: int,
    out: Floats,
    top: int,
    bottom: int,
) -> None:
    """Measure the excess of interval rates over the prediction of images warped along the flow.

    A pixel fires when it has gathered light 1. If the predicted light of an interval is below 1,
    the scene was brighter than predicted and the excess is positive; intervals that leave the clip
    give 0.

    ``images`` are ``(C, H, W)``, spikes per plane at the middle plane; ``tile``, ``(2, 2)``, is the
    index of the image that predicts a pixel, by row and column modulo 2. ``window`` is the range of
    planes of the output, in the clip. ``step`` consecutive planes share the predicted light of
    their middle plane. The other arguments are those of :func:`sample_whole`.
    """
    width = images.shape[2]
    columns, indexes = np.empty(width, np.float32), np.empty(width, np.int32)
    _number(columns)
    right, down = np.empty(width, np.float32), np.empty(width, np.float32)
    sampled, predicted = np.empty(width, np.float32), np.empty(width, np.float32)
    gathered, following = np.empty(width, np.float32), np.empty(width, np.float32)
    light = np.empty((clip[1] - clip[0], width), np.float32)  # since the last spike
    for row in range(top, bottom):
        _clear(gathered)
        for first in range(clip[0], clip[1], step):
            stop = min(first + step, clip[1])
            plane = min(first + step // 2, clip[1] - 1)
            side = velocity[0] if plane < middle else velocity[1]
            _locate(side, row, np.float32(middle - plane), columns, indexes, right, down)
            left, other = tile[row % 2, 0], tile[row % 2, 1]
            _sample(images[left], indexes, right, down, predicted)
            if other != left:
                _sample(images[other], indexes, right, down, sampled)
                for column in range(1, width, 2):  # assigning a slice compiles error messages
                    predicted[column] = sampled[column]
            for each in range(first, stop):
                _gather(predicted, ends[0][each, row], gathered, light[each - clip[0]])
        _clear(following)
        for plane in range(clip[1] - 1, window[0] - 1, -1):
            since, until = ends[0][plane, row], ends[1][plane, row]
            if plane < window[1]:
                limits = _limits(clip, plane)
                _write_excess(following, (since, until), limits, out[plane - window[0], row])
            _replace_at_spikes(light[plane - clip[0]], since, following)


@_inline
def _clear(out: Floats) -> None:
    for column in range(out.size):
        out[column] = _ZERO


@_inline
def _sample(image: Floats, indexes: Integers, right: Floats, down: Floats, out: Floats) -> None:
    """Write bilinear samples of an image ``(H, W)`` to a row."""
    _clear(out)
    _add_samples(image.reshape(-1), image.shape[1], indexes, right, down, _ONE, out)


@_inline
def _gather(predicted: Floats, since: Bytes, gathered: Floats, light: Floats) -> None:
    """Add the light of a plane to the sum since the last spike; a spike resets the sum to 0."""
    for column in range(light.size):
        total = gathered[column] + max(predicted[column], _ZERO)
        light[column] = total
        gathered[column] = total if since[column] != _SPIKE else _ZERO


@_inline
def _replace_at_spikes(light: Floats, since: Bytes, following: Floats) -> None:
    """Store the light of the interval that ends in this plane, for pixels that fire in it."""
    for column in range(light.size):
        earlier, later = light[column], following[column]
        following[column] = later if since[column] != _SPIKE else earlier


@_inline
def _write_excess(
    light: Floats, ends: tuple[Bytes, Bytes], limits: tuple[np.uint8, np.uint8], out: Floats
) -> None:
    """Write the excess of one row: 1 minus the light between the spikes, over the interval."""
    since, until = ends
    for column in range(out.size):
        before, after = since[column], until[column]
        excess = (_ONE - light[column]) / np.float32(np.int32(before) + np.int32(after))
        out[column] = excess if before <= limits[0] and after < limits[1] else _ZERO
