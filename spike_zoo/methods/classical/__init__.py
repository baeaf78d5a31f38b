"""Methods without anything learned: the baselines that every learned method has to beat."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from spike_zoo.methods.classical.functional import (
    dsft,
    tfi,
    tfi_video,
    tfp,
    tfp_video,
    voxel_bins,
)
from spike_zoo.methods.classical.methods import TFI, TFP, TFSTP
from spike_zoo.methods.classical.plasticity import (
    PlasticityRates,
    PlasticityRules,
    plasticity_rates,
    tfstp,
    tfstp_stream,
)
from spike_zoo.methods.classical.streams import tfi_stream, tfp_stream

if TYPE_CHECKING:
    from spike_zoo.methods.classical.module import TFIModule, TFPModule, TFSTPModule

__all__ = [
    "TFI",
    "TFP",
    "TFSTP",
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


def __getattr__(name: str) -> object:
    """Load the modules, which need a trainer's libraries, when one is first used (PEP 562)."""
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.module"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
