"""Methods: one folder each; a module from a name or a file with ``spike_zoo.load``."""

from spike_zoo.methods.base import ReconstructionModule
from spike_zoo.methods.loading import export, load, save_weights

__all__ = ["ReconstructionModule", "export", "load", "save_weights"]
