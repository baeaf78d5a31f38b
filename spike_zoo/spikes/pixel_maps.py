"""Maps of a camera's pixels, and correction of firing rates by them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

MAPS: Final = ("gain", "dark", "defective")
"""Names of the maps in files and archives."""
_NEIGHBOURS: Final = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])  # rows and columns


@dataclass(frozen=True, eq=False)
class PixelMaps:
    """Fixed patterns and defects of a camera, as the command ``calibrate`` measures them.

    Raises:
        ValueError: If the maps differ in shape, or a value is not finite or out of its range.

    Example:
        >>> import torch
        >>> dead = np.array([[False, True, False]])
        >>> maps = PixelMaps(np.full((1, 3), 2.0), np.full((1, 3), 0.1), dead)
        >>> maps.correct(torch.tensor([[0.5, 0.0, 0.7]]))
        tensor([[0.2000, 0.2500, 0.3000]])
    """

    gain: NDArray[np.float32]  #: gain of each pixel relative to the others, float32 ``(H, W)``
    dark: NDArray[np.float32]  #: dark spikes per plane of each pixel, float32 ``(H, W)``
    #: dead and hot pixels, bool ``(H, W)``; their gain and dark rate are not used
    defective: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name, dtype in zip(MAPS, (np.float32, np.float32, np.bool_), strict=True):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype))
        shapes = [self.gain.shape, self.dark.shape, self.defective.shape]
        if self.gain.ndim != 2 or len(set(shapes)) > 1:
            raise ValueError(f"gain, dark and defective are {shapes}, expected (H, W) each")
        gain, dark = self.gain[~self.defective], self.dark[~self.defective]
        if not (np.isfinite(gain) & (gain > 0)).all():
            raise ValueError("gain must be above 0 at all pixels that are not defective")
        if not (np.isfinite(dark) & (dark >= 0)).all():
            raise ValueError("dark must be at least 0 at all pixels that are not defective")

    @property
    def sha256(self) -> str:
        """Checksum of the maps."""
        values = (self.gain, self.dark, self.defective)
        return hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()

    def correct(self, rates: Tensor, distance: int = 1) -> Tensor:
        """Return rates without dark spikes and divided by the gain; defects are interpolated.

        The result is not clamped, so that the mean of corrected rates is the corrected mean.

        Args:
            rates: ``(..., H, W)`` in spikes per plane; also planes of spikes.
            distance: Distance to the neighbours that replace a defective pixel; 2 for the same
                filter of a Bayer sensor.
        """
        import torch

        gain = torch.from_numpy(np.where(self.defective, np.float32(1), self.gain))
        dark = torch.from_numpy(np.where(self.defective, np.float32(0), self.dark))
        corrected = ((rates - dark.to(rates.device)) / gain.to(rates.device)).contiguous()
        pixels = corrected.flatten(-2)  # a view
        for defects, neighbours, weights in self._interpolations(distance):
            at, near = (torch.from_numpy(each).to(rates.device) for each in (defects, neighbours))
            shares = torch.from_numpy(weights).to(pixels)
            pixels[..., at] = (pixels[..., near] * shares).sum(dim=-1)
        return corrected

    def _interpolations(
        self, distance: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
        """Yield indexes of defects, indexes of four neighbours of each, and their weights.

        Defects without a valid neighbour follow later, when their neighbours have values.
        """
        height, width = self.defective.shape
        missing = self.defective.copy()
        while missing.any():
            positions = np.argwhere(missing)
            near = positions[:, None] + distance * _NEIGHBOURS  # (defects, 4, 2)
            is_inside = ((near >= 0) & (near < (height, width))).all(axis=-1)
            near = near.clip(0, (height - 1, width - 1))
            is_valid = is_inside & ~missing[near[..., 0], near[..., 1]]
            counts = is_valid.sum(axis=1)
            filled = counts > 0
            if not filled.any():  # no pixel is valid; rates remain as measured
                return
            indexes = np.ravel_multi_index((near[..., 0], near[..., 1]), (height, width))
            weights = (is_valid[filled] / counts[filled, None]).astype(np.float32)
            missing[tuple(positions[filled].T)] = False
            at = np.ravel_multi_index(tuple(positions[filled].T), (height, width))
            yield at, indexes[filled], weights
