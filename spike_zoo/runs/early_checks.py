"""Checks of a training command before PyTorch is imported, which takes many seconds."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.errors import UsageError, closest
from spike_zoo.runs.configs import config_files
from spike_zoo.runs.folders import check_no_earlier_fit
from spike_zoo.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
        name = name.partition(".")[0]
        if name in _unknown([name], known.get(part, [])):
            prefix = "--" + option[: option.index(name, len(part) + 1)]
            candidates = [prefix + other for other in known[part]]
            takes = _taken(classes[part], known[part])
            raise UsageError(f"unknown option --{option}.{closest(prefix + name, candidates)}{takes}")
    for file, content in contents:
        stated = content.get("trainer")
        for name in _unknown(stated if isinstance(stated, dict) else (), known["trainer"]):
            near = closest(name, known["trainer"])
            raise UsageError(f"{file}: trainer.{name}: unknown key of {classes['trainer']}.{near}")
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


def _unknown(names: Iterable[str], known: list[str]) -> list[str]:
    allowed = {*known, "", "class_path", "init_args", "help"}
    return [name for name in names if known and name not in allowed]


def _taken(class_path: str, known: list[str]) -> str:
    return f" {class_path} takes: {', '.join(known)}." if len(known) <= _LISTED else ""


def _parameters(class_path: str) -> list[str]:
    """Return the parameters of a class from its source; [] if the source does not state all."""
    package, *modules = class_path.split(".")[:-1] or [""]
    spec = find_spec(package) if package in ("spike_zoo", "lightning") else None
    if spec is None or spec.origin is None:
        return []
    place = Path(spec.origin).parent.joinpath(*modules)
    files = place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return _of_class(class_path.rpartition(".")[2], texts)


def _of_class(name: str, texts: list[str]) -> list[str]:
    """Return the parameters of a class and, if it passes others on, of its base class."""
    trees = (ast.parse(text) for text in texts if f"class {name}" in text)
    nodes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in (node for node in nodes if node.name == name):
        made = [item for item in node.body if getattr(item, "name", "") == "__init__"]
        arguments = made[0].args if made and isinstance(made[0], ast.FunctionDef) else None
        own = [] if arguments is None else [*arguments.args[1:], *arguments.kwonlyargs]
        inherited = []
        if arguments is None or arguments.kwarg:
            bases = node.bases[:1]
            inherited = _of_class(ast.unparse(bases[0]), texts) if bases else []
            if not inherited:
                return []
        return list(dict.fromkeys([*(argument.arg for argument in own), *inherited]))
    return []
