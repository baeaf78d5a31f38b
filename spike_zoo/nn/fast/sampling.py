"""Samples of deformable convolutions and their gradients, compiled for the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from spike_zoo.spikes.compiling import compiled, compiled_inline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: All float32 or all float64.
    Reals: TypeAlias = NDArray[np.floating[Any]]
    #: The first of P pixels that follow each other row by row, H, W and K.
    Place: TypeAlias = tuple[int, int, int, int]


@compiled
def sample(
    table: Reals,
    moves: tuple[Reals, Reals],
    place: Place,
    groups: tuple[int, int],
    columns: Reals,
) -> None:
    """Write what the taps of some groups see at P pixels.

    Args:
        table: ``(groups, H + 2, W + 2, C)``, the image within a margin of zeros. The C channels of
            a group lie together, for all of them look at the same places.
        moves: Offsets ``(groups, K * K, 2, H * W)``, down and right, and what each sample counts,
            ``(groups, K * K, H * W)``.
        place: Which pixels.
        groups: The first, and past the last.
        columns: ``(P, groups, K * K, C)``, written.
    """
    home, found = _begin(columns, place)
    for group in range(groups[0], groups[1]):
        image = table[group].reshape(-1, table.shape[3])
        for tap in range(columns.shape[2]):
            _locate(_of_tap(moves, group, tap, place[0], home), home, tap, place, found)
            _look(image, np.uint32(table.shape[2]), found, (group, tap), columns)


@compiled
def sample_backwards(
    tables: tuple[Reals, Reals],
    moves: tuple[Reals, Reals],
    place: Place,
    groups: tuple[int, int],
    columns: tuple[Reals, Reals],
    of_moves: tuple[Reals, Reals],
) -> None:
    """Sample once more, and give gradients back to all that the samples were made of.

    Args:
        tables: As :func:`sample` has it, and a second one that the image's gradient is added to.
        moves: As :func:`sample` has them.
        place: As :func:`sample` has it.
        groups: As :func:`sample` has them. Nothing is written that belongs to others.
        columns: As :func:`sample` has them, and their gradients.
        of_moves: The gradients of the moves, written.
    """
    home, found = _begin(columns[0], place)
    slopes, stride = np.empty((4, home.shape[1]), home.dtype), np.uint32(tables[0].shape[2])
    for group in range(groups[0], groups[1]):
        image = tables[0][group].reshape(-1, tables[0].shape[3])
        of_image = tables[1][group].reshape(-1, tables[0].shape[3])
        for tap in range(columns[0].shape[2]):
            _locate(_of_tap(moves, group, tap, place[0], home), home, tap, place, found)
            _look_back(image, of_image, stride, found, (group, tap), columns, slopes)
            _move_back(slopes, found[1], _of_tap(of_moves, group, tap, place[0], home))


@compiled_inline
def _begin(columns: Reals, place: Place) -> tuple[Reals, tuple[NDArray[np.uint32], Reals]]:
    """Return the rows and columns of the pixels, and memory for what is found of them."""
    pixels = columns.shape[0]
    home = np.empty((2, pixels), columns.dtype)
    for pixel in range(pixels):  # a division for each, so not once more for every tap
        home[0, pixel], home[1, pixel] = divmod(place[0] + pixel, place[2])
    return home, (np.empty(pixels, np.uint32), np.empty((3, pixels), columns.dtype))


@compiled_inline
def _of_tap(
    moves: tuple[Reals, Reals], group: int, tap: int, first: int, home: Reals
) -> tuple[Reals, Reals, Reals]:
    """Return one tap's offsets down, those to the right, and its mask, ``(P,)`` each."""
    last = first + home.shape[1]
    return (
        moves[0][group, tap, 0, first:last],
        moves[0][group, tap, 1, first:last],
        moves[1][group, tap, first:last],
    )


@compiled_inline
def _locate(
    moves: tuple[Reals, Reals, Reals],
    home: Reals,
    tap: int,
    place: Place,
    found: tuple[NDArray[np.uint32], Reals],
) -> None:
    """Find the pixel up and left of each place a tap looks at, and how far beyond it that lies."""
    (moved_down, moved_right, mask), (spots, rest) = moves, found
    _, height, width, kernel = place
    real = rest.dtype.type
    below, beside = real(tap // kernel - kernel // 2), real(tap % kernel - kernel // 2)
    nothing, outside, bottom, side = real(0), real(-1), real(height), real(width)
    for pixel in range(mask.size):
        y = home[0, pixel] + below + moved_down[pixel]
        x = home[1, pixel] + beside + moved_right[pixel]
        # False for what is no number, too; all that is not seen looks at the margin's corner
        is_seen = (y >= outside) & (y < bottom) & (x >= outside) & (x < side)
        y, x = y if is_seen else outside, x if is_seen else outside
        top, left = np.floor(y), np.floor(x)
        rest[0, pixel], rest[1, pixel] = y - top, x - left
        rest[2, pixel] = mask[pixel] if is_seen else nothing
        spots[pixel] = (np.int32(top) + 1) * (width + 2) + np.int32(left) + 1


@compiled_inline
def _look(
    image: Reals,
    stride: np.uint32,
    found: tuple[NDArray[np.uint32], Reals],
    where: tuple[int, int],
    columns: Reals,
) -> None:
    """Write the samples of one tap."""
    spots, rest = found
    for pixel in range(columns.shape[0]):
        first, second, third, fourth = _corners(spots[pixel], stride)
        a, b, c, d = _shares(rest, pixel)
        for channel in range(image.shape[1]):
            columns[pixel, where[0], where[1], channel] = (
                image[first, channel] * a
                + image[second, channel] * b
                + image[third, channel] * c
                + image[fourth, channel] * d
            )


@compiled_inline
def _look_back(
    image: Reals,
    of_image: Reals,
    stride: np.uint32,
    found: tuple[NDArray[np.uint32], Reals],
    where: tuple[int, int],
    columns: tuple[Reals, Reals],
    slopes: Reals,
) -> None:
    """Write the samples of one tap, and their gradients at the four corners."""
    (spots, rest), (group, tap), (seen, of_seen) = found, where, columns
    for pixel in range(seen.shape[0]):
        first, second, third, fourth = _corners(spots[pixel], stride)
        a, b, c, d = _shares(rest, pixel)
        e = f = g = h = rest.dtype.type(0)
        for channel in range(image.shape[1]):
            gradient = of_seen[pixel, group, tap, channel]
            p, q = image[first, channel], image[second, channel]
            r, s = image[third, channel], image[fourth, channel]
            seen[pixel, group, tap, channel] = p * a + q * b + r * c + s * d
            e, f, g, h = e + gradient * p, f + gradient * q, g + gradient * r, h + gradient * s
            of_image[first, channel] += gradient * a
            of_image[second, channel] += gradient * b
            of_image[third, channel] += gradient * c
            of_image[fourth, channel] += gradient * d
        slopes[0, pixel], slopes[1, pixel], slopes[2, pixel], slopes[3, pixel] = e, f, g, h


@compiled_inline
def _corners(spot: np.uint32, stride: np.uint32) -> tuple[np.uint64, ...]:
    """Return the rows of a table that four neighbours are: two pixels and those below."""
    upper, one = np.uint64(spot), np.uint64(1)  # unsigned: an index that never counts from the end
    lower = upper + np.uint64(stride)
    return upper, upper + one, lower, lower + one


@compiled_inline
def _shares(rest: Reals, pixel: int) -> tuple[np.floating[Any], ...]:
    """Return what the four neighbours count in a sample: the area opposite, times the mask."""
    down, right, counted = rest[0, pixel], rest[1, pixel], rest[2, pixel]
    one = rest.dtype.type(1)
    up, left = (one - down) * counted, one - right
    down = down * counted
    return up * left, up * right, down * left, down * right


@compiled_inline
def _move_back(slopes: Reals, rest: Reals, of_moves: tuple[Reals, Reals, Reals]) -> None:
    """Write the gradients of one tap's offset and mask, from those of the four neighbours."""
    (of_down, of_right, of_mask), one = of_moves, rest.dtype.type(1)
    for pixel in range(of_mask.size):
        down, right, counted = rest[0, pixel], rest[1, pixel], rest[2, pixel]
        up, left = one - down, one - right
        a, b, c, d = slopes[0, pixel], slopes[1, pixel], slopes[2, pixel], slopes[3, pixel]
        of_mask[pixel] = up * (left * a + right * b) + down * (left * c + right * d)
        of_down[pixel] = counted * (left * (c - a) + right * (d - b))
        of_right[pixel] = counted * (up * (b - a) + down * (d - c))
