"""Methods: one folder each; a module from a name or a file with ``spike_zoo.load``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spike_zoo.methods.loading import export, load, save_weights
    from spike_zoo.tasks import ReconstructionModule

__all__ = ["ReconstructionModule", "export", "load", "save_weights"]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    if name in __all__:
        home = "tasks" if name == "ReconstructionModule" else "methods.loading"
        return getattr(importlib.import_module(f"spike_zoo.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
