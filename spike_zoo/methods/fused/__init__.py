"""Fused: multi-frame fusion of averages along the motion and at fixed pixels by a network."""

from spike_zoo.methods.fused.module import FusedModule, psnr_loss
from spike_zoo.methods.fused.network import Fused

__all__ = ["Fused", "FusedModule", "psnr_loss"]
