"""Methods: one folder each; a module from a name or a file with ``spike_zoo.load``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spike_zoo._first_use import on_first_use

if TYPE_CHECKING:
    from spike_zoo.methods.loading import export, load, save_weights
    from spike_zoo.tasks import ReconstructionModule

__all__ = ["ReconstructionModule", "export", "load", "save_weights"]

__getattr__ = on_first_use(
    __name__,
    {
        "ReconstructionModule": "base",
        "export": "loading",
        "load": "loading",
        "save_weights": "loading",
    },
)
