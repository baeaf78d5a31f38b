"""Deformable convolution on processors, band by band of an image's pixels.

What the taps see is K * K times the image. A band of it stays in a core's cache, asks for hardly
any memory, and is made once more on the way back rather than kept. Of 32 channels in 8 groups a
step of training takes a quarter of the time that a sampler for each tap takes.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spike_zoo.nn.fast.layout import has_rows
from spike_zoo.nn.precision import without_autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BAND = 2**17  # numbers that the taps see of some pixels: they fit a core's cache
SHARED_BAND = 2**20  # the same of several threads, which wait for each other after every band
SMALL = 2**18  # numbers that they see in all, up to which threads cost more than they save


def convolve(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None) -> Tensor:
    """Return what :func:`spike_zoo.nn.deform_conv2d` does without a bias, laid out as the input."""
    sampler = _Sampler(input, offset, mask, weight.shape[-1])
    matrix, made = sampler.as_matrix(weight), _empty(input, channels=len(weight))
    with sampler.pool, without_autocast("cpu"):
        for index in range(len(input)):
            for band in sampler.bands(index):
                seen = sampler.sample(band)
                torch.mm(matrix, seen.t(), out=made.flatten(2)[index, :, band])
    return made


def convolve_backwards(
    gradient: Tensor, input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of all but the first; that of a mask that is not there is empty."""
    sampler = _BackwardSampler(input, offset, mask, weight.shape[-1])
    matrix, of_made = sampler.as_matrix(weight), gradient.flatten(2)
    of_matrix = torch.zeros_like(matrix)
    with sampler.pool, without_autocast("cpu"):
        for index in range(len(input)):
            for band in sampler.bands(index):
                of_part = of_made[index, :, band]
                seen = sampler.sample_backwards(band, of_part.t(), matrix)
                of_matrix.addmm_(of_part, seen)
    of_weight = sampler.as_weight(of_matrix, weight)
    of_mask = input.new_empty(0) if mask is None else sampler.of_mask
    return sampler.of_input, sampler.of_offset, of_weight, of_mask


def _empty(like: Tensor, channels: int) -> Tensor:
    """Return memory for images of so many channels, whose pixels can be counted in any layout."""
    layout = torch.channels_last if has_rows(like) else torch.contiguous_format
    size = len(like), channels, *like.shape[2:]
    return torch.empty(size, dtype=like.dtype, memory_format=layout)


def _ones(offset: Tensor) -> Tensor:
    """Return a mask of ones, of one image that is used for each."""
    size = offset.shape[1] // 2, *offset.shape[2:]
    return offset.new_ones(size).expand(len(offset), *size)


class _Sampler:
    """What the taps see of one image after the other."""

    def __init__(self, input: Tensor, offset: Tensor, mask: Tensor | None, kernel: int) -> None:
        channels, height, width = input.shape[1:]
        groups = offset.shape[1] // (2 * kernel**2)
        self._size, self._shape = (height, width, kernel), (groups, kernel**2, channels // groups)
        self._input, self._offset = input.detach(), offset.detach()
        self._mask = _ones(offset) if mask is None else mask.detach()
        is_small = input.numel() * kernel**2 <= SMALL
        self._threads = 1 if is_small else min(torch.get_num_threads(), groups)
        self._table = input.new_zeros(groups, height + 2, width + 2, channels // groups)
        band = BAND if self._threads == 1 else SHARED_BAND
        pixels = min(height * width, band // (channels * kernel**2))
        self._columns = input.new_empty(max(1, pixels), *self._shape)
        self.pool = ThreadPoolExecutor(self._threads)

    def bands(self, index: int) -> Iterator[slice]:
        """Look at an image, and yield its pixels band by band."""
        self._inside(self._table).copy_(self._of_groups(self._input[index]))
        self._moves = self._as_arrays(self._offset[index], self._mask[index])
        pixels, step = self._size[0] * self._size[1], len(self._columns)
        for first in range(0, pixels, step):
            yield slice(first, min(first + step, pixels))

    def sample(self, band: slice) -> Tensor:
        """Return what the taps see of a band, ``(P, groups * K * K * channels of each)``."""
        from spike_zoo.nn.fast.sampling import sample  # numba takes its time to load

        columns = self._columns[: band.stop - band.start]
        table, place, written = self._table.numpy(), (band.start, *self._size), columns.numpy()
        self._share_out(lambda groups: sample(table, self._moves, place, groups, written))
        return columns.flatten(1)

    def _share_out(self, work: Callable[[tuple[int, int]], None]) -> None:
        """Do work for all groups, by threads that have some of them each."""
        groups = self._shape[0]
        if self._threads == 1:
            work((0, groups))
            return
        edges = [groups * thread // self._threads for thread in range(self._threads + 1)]
        list(self.pool.map(work, itertools.pairwise(edges)))

    def _of_groups(self, image: Tensor) -> Tensor:
        """Return ``(C, H, W)`` as ``(groups, channels of each, H, W)``."""
        return image.unflatten(0, (self._shape[0], self._shape[2]))

    def _inside(self, table: Tensor) -> Tensor:
        """Return a table without its margin as ``(groups, channels of each, H, W)``."""
        return table[:, 1:-1, 1:-1].permute(0, 3, 1, 2)

    def _as_arrays(self, offset: Tensor, mask: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the moves of an image, or their gradients, as the kernels take them."""
        groups, taps, _ = self._shape
        return (
            offset.contiguous().view(groups, taps, 2, -1).numpy(),
            mask.contiguous().view(groups, taps, -1).numpy(),
        )

    def as_matrix(self, weight: Tensor) -> Tensor:
        """Return ``(N, C, K, K)`` as a matrix whose columns are in the order of the samples."""
        groups, taps, own = self._shape
        return weight.detach().reshape(-1, groups, own, taps).transpose(2, 3).flatten(1)

    def as_weight(self, matrix: Tensor, like: Tensor) -> Tensor:
        """Return a matrix in the order of the samples as ``(N, C, K, K)``."""
        return matrix.view(-1, *self._shape).transpose(2, 3).reshape(like.shape)


class _BackwardSampler(_Sampler):
    """The same, with gradients of all that the taps see and how they are moved."""

    def __init__(self, input: Tensor, offset: Tensor, mask: Tensor | None, kernel: int) -> None:
        super().__init__(input, offset, mask, kernel)
        self.of_input = _empty(input, input.shape[1])
        self.of_offset = torch.empty(offset.shape, dtype=input.dtype)
        self.of_mask = _ones(offset) if mask is None else torch.empty(mask.shape, dtype=input.dtype)
        self._of_table, self._of_columns = (
            torch.empty_like(x) for x in (self._table, self._columns)
        )

    def bands(self, index: int) -> Iterator[slice]:
        """Look at an image, yield its pixels band by band, and keep its gradient."""
        self._of_moves = self._as_arrays(self.of_offset[index], self.of_mask[index])
        self._of_table.zero_()
        yield from super().bands(index)
        self._of_groups(self.of_input[index]).copy_(self._inside(self._of_table))

    def sample_backwards(self, band: slice, of_made: Tensor, matrix: Tensor) -> Tensor:
        """Return what the taps see of a band, and let all learn that it was made of.

        Args:
            band: Some pixels.
            of_made: ``(P, N)``, the gradient of what was made of them.
            matrix: ``(N, ...)``, what made it.
        """
        from spike_zoo.nn.fast.sampling import sample_backwards

        columns, of_columns = self._columns[: len(of_made)], self._of_columns[: len(of_made)]
        torch.mm(of_made, matrix, out=of_columns.flatten(1))
        tables, place = (self._table.numpy(), self._of_table.numpy()), (band.start, *self._size)
        both = columns.numpy(), of_columns.numpy()
        self._share_out(
            lambda groups: sample_backwards(
                tables, self._moves, place, groups, both, self._of_moves
            )
        )
        return columns.flatten(1)
