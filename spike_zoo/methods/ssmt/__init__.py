"""SSMT (spike stream memory transfer, AAAI 2026): reconstruction of chains of clips."""

from spike_zoo.methods.ssmt.module import SSMTModule
from spike_zoo.methods.ssmt.motion import MotionNetwork
from spike_zoo.methods.ssmt.motion_module import SSMTMotionModule
from spike_zoo.methods.ssmt.network import SSMT, ClipState, SSMTOptions, clip_intervals

__all__ = [
    "SSMT",
    "ClipState",
    "MotionNetwork",
    "SSMTModule",
    "SSMTMotionModule",
    "SSMTOptions",
    "clip_intervals",
]
