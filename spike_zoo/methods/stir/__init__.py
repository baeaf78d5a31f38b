"""STIR: joint motion estimation and image synthesis from spikes."""

from spike_zoo.methods.stir.losses import PerceptualLoss, STIRLoss
from spike_zoo.methods.stir.network import STIR, STIRPyramid

__all__ = ["STIR", "PerceptualLoss", "STIRLoss", "STIRPyramid"]
