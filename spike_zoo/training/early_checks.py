"""Checks of a training command before PyTorch is imported, which takes many seconds."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.errors import UsageError, closest
from spike_zoo.training.configs import config_files
from spike_zoo.training.folders import check_no_earlier_fit
from spike_zoo.utils.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LISTED = 30  # longest list of keys in a message


def check_early(verb: str, arguments: Sequence[str]) -> None:
    """Check options and keys of model, data and trainer, and the run's folder.

    What a check cannot decide without an import is checked later.

    Args:
        verb: The verb.
        arguments: Arguments of the command line.

    Raises:
        UsageError: For an unknown option or key; names the nearest one.
        ExistingFileError: If a new fit would start in the folder of a run.
    """
    options = dict(_options(arguments))
    contents = [(file, read_yaml(Path(file))) for file in config_files(arguments)]
    classes = {"trainer": "lightning.pytorch.trainer.trainer.Trainer"}
    for part in ("model", "data"):
        stated = [content[part] for _, content in contents if isinstance(content.get(part), dict)]
        named = [x["class_path"] for x in stated if "class_path" in x]
        named += [options[name] for name in (part, f"{part}.class_path") if options.get(name)]
        classes[part] = str(named[-1]) if named else ""
    known = {part: _parameters(path) for part, path in classes.items()}
    for option in options:
        part, _, name = option.replace(".init_args.", ".").partition(".")
        if not _is_known(name, known.get(part, [])):
            prefix = "--" + option[: option.index(name, len(part) + 1)]
            candidates = [prefix + other for other in known[part]]
            near, takes = closest(prefix + name, candidates), _taken(classes[part], known[part])
            raise UsageError(f"unknown option --{option}.{near}{takes}")
    for file, content in contents:
        stated = content.get("trainer")
        for name in stated if isinstance(stated, dict) else ():
            if not _is_known(name, known["trainer"]):
                near, owner = closest(name, known["trainer"]), classes["trainer"]
                raise UsageError(f"{file}: trainer.{name}: unknown key of {owner}.{near}")
    folder = options.get("run_dir")
    is_new = verb == "fit" and not {"ckpt_path", "print_config"} & options.keys()
    if is_new and folder and "{" not in folder:
        check_no_earlier_fit(Path(folder))


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each option; an empty value if it has none."""
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue="--"):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            next_value = "" if following.startswith("--") else following
            yield name.removesuffix("+"), value if equals else next_value


def _is_known(name: str, known: list[str]) -> bool:
    """Return whether a parameter, or an option below it as ``network.attention``, may exist."""
    allowed = {*known, "", "class_path", "init_args", "help"}
    first = name.partition(".")[0]
    has_options = any(other.startswith(f"{first}.") for other in known)
    return not known or (name if has_options else first) in allowed


def _taken(class_path: str, known: list[str]) -> str:
    return f" {class_path} takes: {', '.join(known)}." if len(known) <= _LISTED else ""


def _parameters(class_path: str) -> list[str]:
    """Return the parameters of a class from its source; [] if the source does not state all.

    Fields of a parameter that is a dataclass follow it, as ``network.attention``.
    """
    found = _class(class_path)
    return [] if found is None else _of_class(*found)


def _class(class_path: str) -> tuple[ast.ClassDef, ast.Module] | None:
    """Return the definition of a class, and its module; None if it is not found."""
    (*modules, name), package = class_path.split("."), class_path.partition(".")[0]
    spec = find_spec(package) if package in ("spike_zoo", "lightning") else None
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin).parent.joinpath(*modules[1:])
    files = place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    trees = [ast.parse(text) for text in texts if f"class {name}" in text]
    found = next((found for tree in trees if (found := _in_module(name, tree))), None)
    if found is None and (place / "__init__.py").is_file():
        public = ast.parse((place / "__init__.py").read_text(encoding="utf-8"))
        return _named(ast.Name(name), public)
    return found


def _in_module(name: str, tree: ast.Module) -> tuple[ast.ClassDef, ast.Module] | None:
    nodes = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return next(((node, tree) for node in nodes), None)


def _named(expression: ast.expr | None, tree: ast.Module) -> tuple[ast.ClassDef, ast.Module] | None:
    """Return the class that an expression of a module names, if it is defined or imported there."""
    if not isinstance(expression, ast.Name):
        return None
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    homes = [node.module for node in imports if expression.id in [n.name for n in node.names]]
    if homes and homes[0]:
        return _class(f"{homes[0]}.{expression.id}")
    return _in_module(expression.id, tree)


def _of_class(node: ast.ClassDef, tree: ast.Module) -> list[str]:
    """Return the parameters of a class and, if it passes others on, of its base class."""
    made = [item for item in node.body if getattr(item, "name", "") == "__init__"]
    arguments = made[0].args if made and isinstance(made[0], ast.FunctionDef) else None
    names = []
    for argument in [] if arguments is None else [*arguments.args[1:], *arguments.kwonlyargs]:
        names += [
            argument.arg,
            *(f"{argument.arg}.{f}" for f in _fields(argument.annotation, tree)),
        ]
    if arguments is None or arguments.kwarg:
        base = _named(node.bases[0] if node.bases else None, tree)
        inherited = [] if base is None else _of_class(*base)
        return list(dict.fromkeys([*names, *inherited])) if inherited else []
    return names


def _fields(annotation: ast.expr | None, tree: ast.Module) -> list[str]:
    """Return the fields of a dataclass; [] for other types."""
    node, _ = _named(annotation, tree) or (None, tree)
    if node is None or not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return []
    fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
    return [field.id for field in fields if isinstance(field, ast.Name)]
