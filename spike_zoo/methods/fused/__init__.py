"""Fused: multi-frame fusion of averages along the motion and at fixed pixels by a network."""

from typing import TYPE_CHECKING

from spike_zoo.methods.fused.network import Fused
from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.methods.fused.module import FusedModule, psnr_loss

__all__ = ["Fused", "FusedModule", "psnr_loss"]

__getattr__, __dir__ = lazy_attributes(__name__)
