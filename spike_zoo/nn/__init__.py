"""Layers that several methods share."""

from spike_zoo.nn.warp import sampling_grid, warp

__all__ = ["sampling_grid", "warp"]
