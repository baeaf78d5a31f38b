"""Runs of Lightning: configuration, callbacks, loggers, records and resuming."""

from typing import TYPE_CHECKING

from spike_zoo.utils.lazy import lazy_attributes

if TYPE_CHECKING:
    from spike_zoo.training.divergence import SkipDivergedUpdates
    from spike_zoo.training.result import RunResult

__all__ = ["RunResult", "SkipDivergedUpdates"]

__getattr__, __dir__ = lazy_attributes(__name__)
