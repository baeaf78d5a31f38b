"""Layers that several methods share."""

from spike_zoo.nn.deformable import deform_conv2d
from spike_zoo.nn.warp import sampling_grid, warp

__all__ = ["deform_conv2d", "sampling_grid", "warp"]
