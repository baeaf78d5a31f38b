"""Layers that several methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING

# Imported eagerly: with lazy loading the submodule "warp" would hide the function of this name.
from spike_zoo.nn.warp import sampling_grid, warp
from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.nn.deformable import deform_conv2d

__all__ = ["deform_conv2d", "sampling_grid", "warp"]

__getattr__, __dir__ = lazy_attributes(__name__, deformable="deform_conv2d")
