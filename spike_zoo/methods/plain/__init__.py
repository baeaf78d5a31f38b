"""Plain: a small convolutional network on averages of inverse spike intervals, for live views."""

from typing import TYPE_CHECKING

from spike_zoo.methods.plain.network import Plain, interval_rates
from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.methods.plain.module import PlainModule

__all__ = ["Plain", "PlainModule", "interval_rates"]

__getattr__, __dir__ = lazy_attributes(__name__)
