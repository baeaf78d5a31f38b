"""STIR: reconstruction by joint motion estimation and image synthesis from spikes."""

from spike_zoo.methods.stir.aligned import AlignedSTIRModule, FlowOptions
from spike_zoo.methods.stir.losses import PerceptualLoss, STIRLoss, STIRLossOptions
from spike_zoo.methods.stir.module import STIRModule
from spike_zoo.methods.stir.network import STIR, STIROptions, STIRPyramid
from spike_zoo.methods.stir.official import to_natural, to_official

__all__ = [
    "STIR",
    "AlignedSTIRModule",
    "FlowOptions",
    "PerceptualLoss",
    "STIRLoss",
    "STIRLossOptions",
    "STIRModule",
    "STIROptions",
    "STIRPyramid",
    "to_natural",
    "to_official",
]
