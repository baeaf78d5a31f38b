"""SCI: joint compression and perception of spikes."""

from spike_zoo.methods.sci.baselines import PlaybackRecognitionModule
from spike_zoo.methods.sci.coded_baselines import ATCModule, CAASModule, CTAModule
from spike_zoo.methods.sci.fam import FAM, ClassFAM
from spike_zoo.methods.sci.fem import FEM
from spike_zoo.methods.sci.fmvr import FMVR
from spike_zoo.methods.sci.lossless_baselines import LosslessModule
from spike_zoo.methods.sci.measured_streams import SCIBitstreamModule
from spike_zoo.methods.sci.module import SCICodecModule
from spike_zoo.methods.sci.motion import MotionEstimation
from spike_zoo.methods.sci.network import SCICodec
from spike_zoo.methods.sci.recognition import SCIRecognitionModule
from spike_zoo.methods.sci.stages import STAGES

__all__ = [
    "FAM",
    "FEM",
    "FMVR",
    "STAGES",
    "ATCModule",
    "CAASModule",
    "CTAModule",
    "ClassFAM",
    "LosslessModule",
    "MotionEstimation",
    "PlaybackRecognitionModule",
    "SCIBitstreamModule",
    "SCICodec",
    "SCICodecModule",
    "SCIRecognitionModule",
]
