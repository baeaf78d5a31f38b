"""A method for spike cameras in a package of its own, run by Spike Zoo's commands."""

from spike_mean.module import SpikeMean

__all__ = ["SpikeMean"]
