"""Tasks: what is evaluated and how, one file each; and what a method can do, as Protocols.

Names load on first use: a method without anything to train needs no trainer's libraries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spike_zoo.tasks.abilities import Deblurs, Reconstructs, able
    from spike_zoo.tasks.base import TaskModule
    from spike_zoo.tasks.deblurring import DeblurModule
    from spike_zoo.tasks.evaluation import Evaluation, Measured, Origin, Shown
    from spike_zoo.tasks.reconstruction import ReconstructionModule

__all__ = [
    "DeblurModule",
    "Deblurs",
    "Evaluation",
    "Measured",
    "Origin",
    "ReconstructionModule",
    "Reconstructs",
    "Shown",
    "TaskModule",
    "able",
]

_HOMES = {
    "DeblurModule": "deblurring",
    "Deblurs": "abilities",
    "Evaluation": "evaluation",
    "Measured": "evaluation",
    "Origin": "evaluation",
    "ReconstructionModule": "reconstruction",
    "Reconstructs": "abilities",
    "Shown": "evaluation",
    "TaskModule": "base",
    "able": "abilities",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
