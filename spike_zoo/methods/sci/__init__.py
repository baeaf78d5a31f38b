"""SCI: joint compression and perception of spike streams.

Source: *A Joint Visual Compression and Perception Framework for Neuralmorphic Spiking Camera*. "The
paper" in this package is this one. Names load on first use, so that inference does not import
Lightning.
"""

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.methods.sci.analysis.classifier import SpikeClassifier
    from spike_zoo.methods.sci.analysis.fam import FAM
    from spike_zoo.methods.sci.analysis.recognition import SCIRecognitionModule
    from spike_zoo.methods.sci.baselines.bitstreams import SCIBitstreamModule
    from spike_zoo.methods.sci.baselines.coded_video import ATCModule, CAASModule, CTAModule
    from spike_zoo.methods.sci.codec.codec import SCICodec
    from spike_zoo.methods.sci.features.fem import FEM
    from spike_zoo.methods.sci.inference import SCI
    from spike_zoo.methods.sci.training.clips import SCIAnalysisModule, SCIFeaturesModule
    from spike_zoo.methods.sci.training.codec import SCICodecModule
    from spike_zoo.methods.sci.training.joint import SCIJointModule
    from spike_zoo.methods.sci.training.motion import SCIMotionModule
    from spike_zoo.methods.sci.training.options import CodingOptions, NetworkOptions

__all__ = [
    "FAM",
    "FEM",
    "SCI",
    "ATCModule",
    "CAASModule",
    "CTAModule",
    "CodingOptions",
    "NetworkOptions",
    "SCIAnalysisModule",
    "SCIBitstreamModule",
    "SCICodec",
    "SCICodecModule",
    "SCIFeaturesModule",
    "SCIJointModule",
    "SCIMotionModule",
    "SCIRecognitionModule",
    "SpikeClassifier",
]

__getattr__, __dir__ = lazy_attributes(__name__)
