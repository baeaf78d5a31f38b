"""What a command takes, read from its file: its libraries would take seconds to load."""

from __future__ import annotations
import __future__

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

_CALL = ast.parse("def _():\n    return _call(locals())").body[0].body  # type: ignore[attr-defined]  # a function
_FLAGS = __future__.annotations.compiler_flag


def loaded(path: str) -> Callable[..., Any]:
    """Return the function of a command, ready to be called.

    Args:
        path: Module and function, as ``"spike_zoo.cli.info:info"``.
    """
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def outline(path: str) -> Callable[..., Any]:
    """Return a function with the signature and docstring of a command, which loads it when called.

    Args:
        path: As for :func:`loaded`.
    """
    module, _, name = path.partition(":")
    found = importlib.util.find_spec(module)
    file = found.origin if found else None
    if file is None:
        return loaded(path)
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    defined = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == name]
    for function in defined:
        function.body = [*function.body[:1], *_CALL]  # the docstring, then the command itself
    tree.body = list(defined)
    names: dict[str, Any] = {"Literal": Literal, "__name__": __name__}  # parsers import it
    names["_call"] = lambda arguments: loaded(path)(**arguments)
    try:
        exec(compile(tree, file, "exec", _FLAGS, dont_inherit=True), names)
    except NameError:  # a default is a name of the module's
        return loaded(path)
    return names.get(name) or loaded(path)
