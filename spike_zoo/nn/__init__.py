"""Layers that several methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use
from spike_zoo.nn.warp import sampling_grid, warp  # at once: the file has the name of its function

if TYPE_CHECKING:
    from spike_zoo.nn.deformable import deform_conv2d

__all__ = ["deform_conv2d", "sampling_grid", "warp"]

__getattr__ = on_first_use(__name__, {"deform_conv2d": "deformable"})
