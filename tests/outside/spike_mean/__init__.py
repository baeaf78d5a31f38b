"""Methods for spike cameras in an external package, run by the commands of Spike Zoo."""

from spike_mean.label import SpikeLabel
from spike_mean.module import SpikeMean

__all__ = ["SpikeLabel", "SpikeMean"]
