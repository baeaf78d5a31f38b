"""Methods for spike cameras in a package of their own, run by Spike Zoo's commands."""

from spike_mean.label import SpikeLabel
from spike_mean.module import SpikeMean

__all__ = ["SpikeLabel", "SpikeMean"]
