"""Classical reconstruction methods without training: TFP, TFI, TFSTP and flow-aligned TFI."""

from typing import TYPE_CHECKING

from spike_zoo.methods.classical.functional import tfi, tfi_video, tfp, tfp_video
from spike_zoo.methods.classical.methods import TFI, TFP, TFSTP
from spike_zoo.methods.classical.plasticity import tfstp, tfstp_stream
from spike_zoo.methods.classical.streams import tfi_stream, tfp_stream
from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.methods.classical.aligned import AlignedTFI
    from spike_zoo.methods.classical.colour import (
        ColourAlignedTFI,
        ColourTFI,
        ColourTFP,
        FilledColour,
    )
    from spike_zoo.methods.classical.module import (
        AlignedTFIModule,
        ColourModule,
        TFIModule,
        TFPModule,
        TFSTPModule,
    )

__all__ = [
    "TFI",
    "TFP",
    "TFSTP",
    "AlignedTFI",
    "AlignedTFIModule",
    "ColourAlignedTFI",
    "ColourModule",
    "ColourTFI",
    "ColourTFP",
    "FilledColour",
    "TFIModule",
    "TFPModule",
    "TFSTPModule",
    "tfi",
    "tfi_stream",
    "tfi_video",
    "tfp",
    "tfp_stream",
    "tfp_video",
    "tfstp",
    "tfstp_stream",
]

__getattr__, __dir__ = lazy_attributes(__name__)
