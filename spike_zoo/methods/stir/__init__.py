"""STIR: reconstruction by joint motion estimation and image synthesis from spikes."""

from spike_zoo.methods.stir.losses import PerceptualLoss, STIRLoss
from spike_zoo.methods.stir.module import STIRModule
from spike_zoo.methods.stir.network import STIR, STIRPyramid
from spike_zoo.methods.stir.official import to_natural, to_official

__all__ = [
    "STIR",
    "PerceptualLoss",
    "STIRLoss",
    "STIRModule",
    "STIRPyramid",
    "to_natural",
    "to_official",
]
