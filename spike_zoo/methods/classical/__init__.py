"""Methods without anything learned: the baselines that every learned method has to beat."""

from spike_zoo.methods.classical.functional import (
    dsft,
    tfi,
    tfi_video,
    tfp,
    tfp_video,
    voxel_bins,
)
from spike_zoo.methods.classical.module import TFIModule, TFPModule, TFSTPModule
from spike_zoo.methods.classical.plasticity import (
    PlasticityRates,
    PlasticityRules,
    plasticity_rates,
    tfstp,
    tfstp_stream,
)
from spike_zoo.methods.classical.streams import tfi_stream, tfp_stream

__all__ = [
    "PlasticityRates",
    "PlasticityRules",
    "TFIModule",
    "TFPModule",
    "TFSTPModule",
    "dsft",
    "plasticity_rates",
    "tfi",
    "tfi_stream",
    "tfi_video",
    "tfp",
    "tfp_stream",
    "tfp_video",
    "tfstp",
    "tfstp_stream",
    "voxel_bins",
]
