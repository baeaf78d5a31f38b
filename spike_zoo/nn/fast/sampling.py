"""Compiled CPU kernels that sample deformable convolutions, forward and backward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from spike_zoo.spikes.compiling import compiled, compiled_inline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: Arrays of one precision, float32 or float64.
    Reals: TypeAlias = NDArray[np.floating[Any]]
    #: First of P consecutive pixels in row-major order, H, W and K.
    Place: TypeAlias = tuple[int, int, int, int]


@compiled
def sample(
    table: Reals, moves: tuple[Reals, Reals], place: Place, groups: tuple[int, int], columns: Reals
) -> None:
    """Write the samples of the taps of some groups at P pixels.

    Args:
        table: ``(groups, H + 2, W + 2, C)``, the image with a margin of zeros. The C channels of a
            group are adjacent, because they share their sampling positions.
        moves: Offsets ``(groups, K * K, 2, H * W)``, down and right, and the mask
            ``(groups, K * K, H * W)``.
        place: Range of pixels.
        groups: First and past-the-last group.
        columns: Output, ``(P, groups, K * K, C)``.
    """
    positions, corners = _buffers(columns, place)
    for group in range(groups[0], groups[1]):
        image = table[group].reshape(-1, table.shape[3])
        for tap in range(columns.shape[2]):
            _locate(
                _moves_of_tap(moves, group, tap, place[0], positions),
                positions,
                tap,
                place,
                corners,
            )
            _sample_tap(image, np.uint32(table.shape[2]), corners, (group, tap), columns)


@compiled
def sample_backwards(
    tables: tuple[Reals, Reals],
    moves: tuple[Reals, Reals],
    place: Place,
    groups: tuple[int, int],
    columns: tuple[Reals, Reals],
    of_moves: tuple[Reals, Reals],
) -> None:
    """Sample again, and compute the gradients of image, offsets and mask.

    Args:
        tables: Image table as in :func:`sample`, and a table to which its gradient is added.
        moves: As in :func:`sample`.
        place: As in :func:`sample`.
        groups: As in :func:`sample`. Gradients of other groups are not written.
        columns: Samples as in :func:`sample` (output), and their gradients (input).
        of_moves: Output: gradients of the moves.
    """
    positions, corners = _buffers(columns[0], place)
    slopes = np.empty((4, positions.shape[1]), positions.dtype)
    stride = np.uint32(tables[0].shape[2])
    for group in range(groups[0], groups[1]):
        image = tables[0][group].reshape(-1, tables[0].shape[3])
        of_image = tables[1][group].reshape(-1, tables[0].shape[3])
        for tap in range(columns[0].shape[2]):
            _locate(
                _moves_of_tap(moves, group, tap, place[0], positions),
                positions,
                tap,
                place,
                corners,
            )
            _sample_tap_backwards(image, of_image, stride, corners, (group, tap), columns, slopes)
            _offset_gradients(
                slopes, corners[1], _moves_of_tap(of_moves, group, tap, place[0], positions)
            )


@compiled_inline
def _buffers(columns: Reals, place: Place) -> tuple[Reals, tuple[NDArray[np.uint32], Reals]]:
    """Return the positions (row, column) of the pixels, and buffers for :func:`_locate`.

    The buffers hold the table index of the upper left corner of each sample, and its distances down
    and right with the mask.
    """
    pixels = columns.shape[0]
    positions = np.empty((2, pixels), columns.dtype)
    for pixel in range(pixels):  # here, because the division is too slow to repeat for every tap
        positions[0, pixel], positions[1, pixel] = divmod(place[0] + pixel, place[2])
    return positions, (np.empty(pixels, np.uint32), np.empty((3, pixels), columns.dtype))


@compiled_inline
def _moves_of_tap(
    moves: tuple[Reals, Reals], group: int, tap: int, first: int, positions: Reals
) -> tuple[Reals, Reals, Reals]:
    """Return the offsets down and right and the mask of one tap, each ``(P,)``."""
    last = first + positions.shape[1]
    return (
        moves[0][group, tap, 0, first:last],
        moves[0][group, tap, 1, first:last],
        moves[1][group, tap, first:last],
    )


@compiled_inline
def _locate(
    moves: tuple[Reals, Reals, Reals],
    positions: Reals,
    tap: int,
    place: Place,
    corners: tuple[NDArray[np.uint32], Reals],
) -> None:
    """Compute the upper left corner of each sample of a tap, and the distances to the corner."""
    (moved_down, moved_right, mask), (indices, rest) = moves, corners
    _, height, width, kernel = place
    real = rest.dtype.type
    offset_y, offset_x = real(tap // kernel - kernel // 2), real(tap % kernel - kernel // 2)
    nothing, outside, bottom, side = real(0), real(-1), real(height), real(width)
    for pixel in range(mask.size):
        y = positions[0, pixel] + offset_y + moved_down[pixel]
        x = positions[1, pixel] + offset_x + moved_right[pixel]
        # False for NaN, too. Samples outside read the corner of the margin.
        is_inside = (y >= outside) & (y < bottom) & (x >= outside) & (x < side)
        y, x = y if is_inside else outside, x if is_inside else outside
        top, left = np.floor(y), np.floor(x)
        rest[0, pixel], rest[1, pixel] = y - top, x - left
        rest[2, pixel] = mask[pixel] if is_inside else nothing
        indices[pixel] = (np.int32(top) + 1) * (width + 2) + np.int32(left) + 1


@compiled_inline
def _sample_tap(
    image: Reals,
    stride: np.uint32,
    corners: tuple[NDArray[np.uint32], Reals],
    group_tap: tuple[int, int],
    columns: Reals,
) -> None:
    """Write the samples of one tap (bilinear interpolation of four corners)."""
    indices, rest = corners
    for pixel in range(columns.shape[0]):
        first, second, third, fourth = _corner_rows(indices[pixel], stride)
        a, b, c, d = _corner_weights(rest, pixel)
        for channel in range(image.shape[1]):
            columns[pixel, group_tap[0], group_tap[1], channel] = (
                image[first, channel] * a
                + image[second, channel] * b
                + image[third, channel] * c
                + image[fourth, channel] * d
            )


@compiled_inline
def _sample_tap_backwards(
    image: Reals,
    of_image: Reals,
    stride: np.uint32,
    corners: tuple[NDArray[np.uint32], Reals],
    group_tap: tuple[int, int],
    columns: tuple[Reals, Reals],
    slopes: Reals,
) -> None:
    """Write the samples of one tap, and add their gradients to the image's four corners.

    ``slopes`` gets the gradients of the weights of the four corners.
    """
    (indices, rest), (group, tap), (samples, of_samples) = corners, group_tap, columns
    for pixel in range(samples.shape[0]):
        first, second, third, fourth = _corner_rows(indices[pixel], stride)
        a, b, c, d = _corner_weights(rest, pixel)
        e = f = g = h = rest.dtype.type(0)
        for channel in range(image.shape[1]):
            gradient = of_samples[pixel, group, tap, channel]
            p, q = image[first, channel], image[second, channel]
            r, s = image[third, channel], image[fourth, channel]
            samples[pixel, group, tap, channel] = p * a + q * b + r * c + s * d
            e, f, g, h = e + gradient * p, f + gradient * q, g + gradient * r, h + gradient * s
            of_image[first, channel] += gradient * a
            of_image[second, channel] += gradient * b
            of_image[third, channel] += gradient * c
            of_image[fourth, channel] += gradient * d
        slopes[0, pixel], slopes[1, pixel], slopes[2, pixel], slopes[3, pixel] = e, f, g, h


@compiled_inline
def _corner_rows(index: np.uint32, stride: np.uint32) -> tuple[np.uint64, ...]:
    """Return the table rows of the four corners: upper left and right, lower left and right."""
    upper, one = np.uint64(index), np.uint64(1)  # unsigned, to skip checks of negative indices
    lower = upper + np.uint64(stride)
    return upper, upper + one, lower, lower + one


@compiled_inline
def _corner_weights(rest: Reals, pixel: int) -> tuple[np.floating[Any], ...]:
    """Return the weights of the four corners: bilinear weight times mask."""
    down, right, weight = rest[0, pixel], rest[1, pixel], rest[2, pixel]
    one = rest.dtype.type(1)
    up, left = (one - down) * weight, one - right
    down = down * weight
    return up * left, up * right, down * left, down * right


@compiled_inline
def _offset_gradients(slopes: Reals, rest: Reals, of_moves: tuple[Reals, Reals, Reals]) -> None:
    """Write the gradients of one tap's offset and mask from those of the four corner weights."""
    (of_down, of_right, of_mask), one = of_moves, rest.dtype.type(1)
    for pixel in range(of_mask.size):
        down, right, weight = rest[0, pixel], rest[1, pixel], rest[2, pixel]
        up, left = one - down, one - right
        a, b, c, d = slopes[0, pixel], slopes[1, pixel], slopes[2, pixel], slopes[3, pixel]
        of_mask[pixel] = up * (left * a + right * b) + down * (left * c + right * d)
        of_down[pixel] = weight * (left * (c - a) + right * (d - b))
        of_right[pixel] = weight * (up * (b - a) + down * (d - c))
