"""Signatures of commands, parsed from source files without importing their libraries."""

from __future__ import annotations
import __future__

import ast
import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

_CALL = ast.parse("def _():\n    return _call(locals())").body[0].body  # type: ignore[attr-defined]  # a function
_FLAGS = __future__.annotations.compiler_flag


class DatOptions(TypedDict, total=False):
    """Options of commands that read recordings. A .dat file has no header that states them.

    Attributes:
        height: Rows of a .dat file. Default: as its sidecar states.
        width: Columns of a .dat file. Default: as its sidecar states.
        flip: Whether a .dat file stores its rows bottom to top, as cameras do; false: top to
            bottom. Default: as its sidecar states, else true.
        mirror: Reverse the columns of a .dat file. Default: as its sidecar states, else false.
        rotate: Rotate a .dat file clockwise by 0, 90, 180 or 270 degrees, after flip and mirror.
            Default: as its sidecar states, else 0.
        allow_partial: Drop an incomplete last plane of a .dat file, with a warning.
        cfa: Layout of the colour filters of a Bayer sensor in the upright image. Default: as the
            recording states, else grey.
    """

    height: int | None
    width: int | None
    flip: bool | None
    mirror: bool | None
    rotate: Literal[0, 90, 180, 270] | None
    allow_partial: bool
    cfa: Literal["RGGB", "BGGR", "GRBG", "GBRG"] | None


def import_command(path: str) -> Callable[..., Any]:
    """Import the function of a command.

    Args:
        path: Module and function, such as ``"spike_zoo.cli.info:info"``.
    """
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def signature_stub(path: str) -> Callable[..., Any]:
    """Return a function with the signature and docstring of a command.

    The function imports the command when it is called.

    Args:
        path: As for :func:`import_command`.
    """
    module, _, name = path.partition(":")
    spec = importlib.util.find_spec(module)
    file = spec.origin if spec else None
    if file is None:
        return import_command(path)
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    groups = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    for function in functions:
        if function.args.kwarg:
            _spell_out(function, groups)
        function.body = [*function.body[:1], *_CALL]  # the docstring and a call of the command
    tree.body = [*filter(_is_literal, tree.body), *functions]
    names: dict[str, Any] = {
        "Literal": Literal,
        "__name__": __name__,
    }  # jsonargparse imports __name__
    names["_call"] = lambda arguments: import_command(path)(**arguments)
    try:
        exec(compile(tree, file, "exec", _FLAGS, dont_inherit=True), names)
    except NameError:  # a default is a name of the module
        return import_command(path)
    return names.get(name) or import_command(path)


def _is_literal(statement: ast.stmt) -> bool:
    """Return whether a statement defines a Literal, as ``Kind = Literal["grey", "colour"]``."""
    return isinstance(statement, ast.Assign) and ast.unparse(statement.value).startswith("Literal[")


def _spell_out(function: ast.FunctionDef, groups: dict[str, ast.ClassDef]) -> None:
    """Replace the parameter ``**dat: Unpack[DatOptions]`` by its options and their help texts.

    Args:
        function: The function of a command; changed in place.
        groups: Name -> class of the option groups in the module.
    """
    hint = getattr(function.args.kwarg, "annotation", None)
    name = ast.unparse(hint).removeprefix("Unpack[").removesuffix("]") if hint else ""
    group = groups.get(name) or ast.parse(inspect.getsource(DatOptions)).body[0]
    assert isinstance(group, ast.ClassDef)
    function.args.kwarg = None
    for option in (node for node in group.body if isinstance(node, ast.AnnAssign)):
        text = ast.unparse(option.annotation)
        function.args.kwonlyargs.append(ast.arg(ast.unparse(option.target), option.annotation))
        function.args.kw_defaults.append(ast.Constant(None if "None" in text else False))
    attributes = (ast.get_docstring(group, clean=False) or "").partition("Attributes:\n")[2]
    summary = f"{(ast.get_docstring(function, clean=False) or '').rstrip()}\n{attributes}"
    function.body[0] = ast.Expr(ast.Constant(summary))
    ast.fix_missing_locations(function)
