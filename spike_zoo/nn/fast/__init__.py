"""Faster replacements of standard layers on CPUs, with equal results and state dicts.

Each module states its gain, measured on one core of a Zen 4 in float32.
"""

from spike_zoo.nn.fast.convolutions import (
    ConvPReLU,
    JoiningConvPReLU,
    NarrowConv2d,
    PointwiseConv2d,
    conv_norm,
)
from spike_zoo.nn.fast.layout import join_channels, set_memory_format
from spike_zoo.nn.fast.prelu import PReLU

__all__ = [
    "ConvPReLU",
    "JoiningConvPReLU",
    "NarrowConv2d",
    "PReLU",
    "PointwiseConv2d",
    "conv_norm",
    "join_channels",
    "set_memory_format",
]
