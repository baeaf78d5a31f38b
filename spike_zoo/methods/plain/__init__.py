"""Plain: a small convolutional network for a live view, on averages of spike intervals."""

from spike_zoo.methods.plain.module import PlainModule
from spike_zoo.methods.plain.network import Plain, interval_rates

__all__ = ["Plain", "PlainModule", "interval_rates"]
