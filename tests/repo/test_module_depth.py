"""Depth of the inheritance of modules."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from lightning import LightningModule

import spike_zoo

LARGEST = 4


def _module_classes() -> set[type[LightningModule]]:
    """Return the module classes of the package."""
    for info in pkgutil.walk_packages(spike_zoo.__path__, "spike_zoo."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)
    found, parents = set[type[LightningModule]](), [LightningModule]
    while parents:
        children = parents.pop().__subclasses__()
        parents += children
        found |= {child for child in children if child.__module__.startswith("spike_zoo.")}
    return found


@pytest.mark.repo
def test_a_module_has_at_most_four_project_classes_above_lightning() -> None:
    depths = {
        module.__qualname__: [
            base.__qualname__ for base in module.__mro__ if base.__module__.startswith("spike_zoo.")
        ]
        for module in _module_classes()
    }
    assert len(depths) > 20
    deep = {name: bases for name, bases in depths.items() if len(bases) > LARGEST}
    assert not deep, f"more than {LARGEST} classes, the module's own included: {deep}"
