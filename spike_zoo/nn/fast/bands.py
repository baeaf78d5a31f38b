"""Deformable convolution on CPUs, computed in bands of pixels.

The samples of all taps are K * K times as large as the image. The samples of a band fit a core's
cache and need little memory; the backward pass computes them again instead of storing them. For 64
channels in 8 groups at 96 x 96 pixels, torchvision's operator takes 5.4 times as long in inference
and 8.5 times in a training step (one core, torchvision 0.29), and six times the memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spike_zoo.nn.fast.layout import has_rows
from spike_zoo.nn.precision import without_autocast

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAND = 2**17  # samples of a band, which fit a core's cache
SHARED_BAND = 2**20  # samples of a band with several threads, which synchronise after every band
SMALL = 2**18  # samples of a batch up to which threads cost more time than they save


def convolve(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None) -> Tensor:
    """Compute :func:`spike_zoo.nn.deform_conv2d` without bias, in the input's memory format."""
    sampler = _Sampler(input, offset, mask, weight.shape[-1])
    matrix, output = sampler.as_matrix(weight), _empty(input, channels=len(weight))
    with sampler.pool, without_autocast("cpu"):
        for index in range(len(input)):
            for band in sampler.bands(index):
                samples = sampler.sample(band)
                torch.mm(matrix, samples.t(), out=output.flatten(2)[index, :, band])
    return output


def convolve_backwards(
    gradient: Tensor, input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of input, offset, weight and mask; the last is empty without a mask."""
    sampler = _BackwardSampler(input, offset, mask, weight.shape[-1])
    matrix, of_output = sampler.as_matrix(weight), gradient.flatten(2)
    of_matrix = torch.zeros_like(matrix)
    with sampler.pool, without_autocast("cpu"):
        for index in range(len(input)):
            for band in sampler.bands(index):
                of_band = of_output[index, :, band]
                samples = sampler.sample_backwards(band, of_band.t(), matrix)
                of_matrix.addmm_(of_band, samples)
    of_weight = sampler.as_weight(of_matrix, weight)
    of_mask = input.new_empty(0) if mask is None else sampler.of_mask
    return sampler.of_input, sampler.of_offset, of_weight, of_mask


def _empty(like: Tensor, channels: int) -> Tensor:
    """Return an uninitialised tensor in channels-last if ``like`` is, otherwise contiguous.

    In both formats the pixels can be flattened without a copy.
    """
    layout = torch.channels_last if has_rows(like) else torch.contiguous_format
    size = len(like), channels, *like.shape[2:]
    return torch.empty(size, dtype=like.dtype, memory_format=layout)


def _ones(offset: Tensor) -> Tensor:
    """Return a mask of ones, expanded from one image to the batch."""
    size = offset.shape[1] // 2, *offset.shape[2:]
    return offset.new_ones(size).expand(len(offset), *size)


class _Sampler:
    """Samples of all taps, image by image and band by band."""

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
        """Load an image, and yield its bands as slices of flattened pixels."""
        self._inside(self._table).copy_(self._of_groups(self._input[index]))
        self._moves = self._as_arrays(self._offset[index], self._mask[index])
        pixels, step = self._size[0] * self._size[1], len(self._columns)
        for first in range(0, pixels, step):
            yield slice(first, min(first + step, pixels))

    def sample(self, band: slice) -> Tensor:
        """Return the samples of a band, ``(P, groups * K * K * channels per group)``."""
        from spike_zoo.nn.fast.sampling import sample  # imported here, because numba loads slowly

        columns = self._columns[: band.stop - band.start]
        table, place, written = self._table.numpy(), (band.start, *self._size), columns.numpy()
        self._run_groups(lambda groups: sample(table, self._moves, place, groups, written))
        return columns.flatten(1)

    def _run_groups(self, work: Callable[[tuple[int, int]], None]) -> None:
        """Run a function on ranges of groups (first, past-the-last), one range per thread."""
        groups = self._shape[0]
        if self._threads == 1:
            work((0, groups))
            return
        edges = [groups * thread // self._threads for thread in range(self._threads + 1)]
        list(self.pool.map(work, itertools.pairwise(edges)))

    def _of_groups(self, image: Tensor) -> Tensor:
        """Return ``(C, H, W)`` as ``(groups, channels per group, H, W)``."""
        return image.unflatten(0, (self._shape[0], self._shape[2]))

    def _inside(self, table: Tensor) -> Tensor:
        """Return a table without its margin as ``(groups, channels per group, H, W)``."""
        return table[:, 1:-1, 1:-1].permute(0, 3, 1, 2)

    def _as_arrays(self, offset: Tensor, mask: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return offsets and mask of an image, or their gradients, as arrays for the kernels."""
        groups, taps, _ = self._shape
        return (
            offset.contiguous().view(groups, taps, 2, -1).numpy(),
            mask.contiguous().view(groups, taps, -1).numpy(),
        )

    def as_matrix(self, weight: Tensor) -> Tensor:
        """Return ``(N, C, K, K)`` as a matrix whose columns are in the order of the samples."""
        groups, taps, channels = self._shape
        return weight.detach().reshape(-1, groups, channels, taps).transpose(2, 3).flatten(1)

    def as_weight(self, matrix: Tensor, like: Tensor) -> Tensor:
        """Return a matrix in the order of the samples as ``(N, C, K, K)``."""
        return matrix.view(-1, *self._shape).transpose(2, 3).reshape(like.shape)


class _BackwardSampler(_Sampler):
    """Sampler that also computes the gradients of image, offsets and mask."""

    def __init__(self, input: Tensor, offset: Tensor, mask: Tensor | None, kernel: int) -> None:
        super().__init__(input, offset, mask, kernel)
        self.of_input = _empty(input, input.shape[1])
        self.of_offset = torch.empty(offset.shape, dtype=input.dtype)
        self.of_mask = _ones(offset) if mask is None else torch.empty(mask.shape, dtype=input.dtype)
        self._of_table, self._of_columns = (
            torch.empty_like(x) for x in (self._table, self._columns)
        )

    def bands(self, index: int) -> Iterator[slice]:
        """Load an image, yield its bands, and store the image's gradient after the last one."""
        self._of_moves = self._as_arrays(self.of_offset[index], self.of_mask[index])
        self._of_table.zero_()
        yield from super().bands(index)
        self._of_groups(self.of_input[index]).copy_(self._inside(self._of_table))

    def sample_backwards(self, band: slice, of_output: Tensor, matrix: Tensor) -> Tensor:
        """Return the samples of a band of pixels, and add its gradients of image, offsets and mask.

        ``of_output`` is the gradient of the output, ``(P, N)``; ``matrix`` are the weights,
        ``(N, groups * K * K * channels per group)``.
        """
        from spike_zoo.nn.fast.sampling import sample_backwards

        columns, of_columns = self._columns[: len(of_output)], self._of_columns[: len(of_output)]
        torch.mm(of_output, matrix, out=of_columns.flatten(1))
        tables, place = (self._table.numpy(), self._of_table.numpy()), (band.start, *self._size)
        both = columns.numpy(), of_columns.numpy()
        self._run_groups(
            lambda groups: sample_backwards(
                tables, self._moves, place, groups, both, self._of_moves
            )
        )
        return columns.flatten(1)
