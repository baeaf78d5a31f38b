"""STIR: reconstruction by joint motion estimation and image synthesis from spikes."""

from spike_zoo.methods.stir.aligned import AlignedSTIRModule, FlowOptions
from spike_zoo.methods.stir.losses import STIRLossOptions
from spike_zoo.methods.stir.module import STIRModule
from spike_zoo.methods.stir.network import STIR, STIROptions

__all__ = [
    "STIR",
    "AlignedSTIRModule",
    "FlowOptions",
    "STIRLossOptions",
    "STIRModule",
    "STIROptions",
]
