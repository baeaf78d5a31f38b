"""Scenes as SCI learns from them: features in time, their images and motion, cut and turned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spike_zoo.spikes.turning import MODES, SHAPE_KEEPING_MODES, apply_mode, turn_motion


class FeatureBatch(NamedTuple):
    """A batch of scenes after the frozen FEM.

    Shape:
        - features: ``(B, N, 3, H, W)``, in order of time.
        - images: ``(B, N, 1, H, W)``, the truth at their times.
        - motion: ``(B, N, 2, H, W)``, backward motion in pixels, NaN where unknown; None without.
    """

    features: Tensor
    images: Tensor
    motion: Tensor | None

    def patch(self, side: int, generator: torch.Generator) -> FeatureBatch:
        """Return a random square of each scene, turned or flipped at random.

        Args:
            side: Of the square in pixels; a smaller scene is not cut, and only turned where that
                keeps its shape.
            generator: Draws, on the CPU.
        """
        height, width = self.features.shape[-2:]
        rows, columns = min(side, height), min(side, width)
        modes = range(len(MODES)) if rows == columns else SHAPE_KEEPING_MODES
        drawn = []
        for sample in range(len(self.features)):
            top, left, turned = (
                int(torch.randint(stop, (), generator=generator))
                for stop in (height - rows + 1, width - columns + 1, len(modes))
            )
            here = slice(top, top + rows), slice(left, left + columns)
            drawn.append((sample, *here, modes[turned]))
        parts = (
            None if part is None else torch.stack([cut(part, *one) for one in drawn])
            for part, cut in (
                (self.features, _cut),
                (self.images, _cut),
                (self.motion, _cut_motion),
            )
        )
        return FeatureBatch(*parts)  # type: ignore[arg-type]  # only motion may be None

    def clean_features(self) -> Tensor:
        """Return features without noise: the images, scaled to each channel of the features.

        Brightness and contrast of a channel are those of the least squares over the batch.
        """
        dims = (0, 1, 3, 4)
        contrast = self.images - self.images.mean(dims, keepdim=True)
        mean = self.features.mean(dims, keepdim=True)
        slope = (self.features * contrast).mean(dims, keepdim=True)
        slope = slope / contrast.square().mean(dims, keepdim=True).clamp(min=1e-6)
        return mean + slope * contrast


def come_whole(served: object) -> bool:
    """Return whether scenes come whole and unturned, so that a window is the same every time."""
    return getattr(served, "crop", None) is None and not getattr(served, "augment", False)


def _cut(part: Tensor, sample: int, rows: slice, columns: slice, mode: int) -> Tensor:
    return apply_mode(part[sample, ..., rows, columns], mode)


def _cut_motion(part: Tensor, sample: int, rows: slice, columns: slice, mode: int) -> Tensor:
    return turn_motion(part[sample, ..., rows, columns], mode)
