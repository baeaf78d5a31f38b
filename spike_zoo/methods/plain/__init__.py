"""Plain: a small convolutional network on averages of inverse spike intervals, for live views."""

from spike_zoo.methods.plain.module import PlainModule
from spike_zoo.methods.plain.network import Plain, interval_rates

__all__ = ["Plain", "PlainModule", "interval_rates"]
