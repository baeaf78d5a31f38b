"""Lazy import of the public names of a package (PEP 562)."""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path


def lazy_attributes(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package that imports names on first use.

    The names are those that its ``__init__.py`` imports under ``if TYPE_CHECKING:``. The use of one
    name does not import the libraries of other names.
    """
    tree = ast.parse(Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8"))
    modules = {
        name.name: statement.module
        for block in tree.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for name in statement.names
    }

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(str(modules[name])), name)

    return load, lambda: sorted({*vars(sys.modules[package]), *modules})
