"""Public names of a room that load when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def on_first_use(room: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return a module's ``__getattr__`` that imports a public name from the file it lives in.

    A room imports none of its files by itself then, so who needs one light name does not wait for
    the libraries of the others.

    Args:
        room: The module's ``__name__``.
        homes: Public name -> the module it is in, below the room.
    """

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{room}.{homes[name]}"), name)

    return load
