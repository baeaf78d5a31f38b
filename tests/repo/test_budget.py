"""Sizes of the repository, each at most its ceiling in budget.yaml."""

import ast
import inspect
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

from spike_zoo.cli.main import COMMANDS, imported
from spike_zoo.cli.options import types_of
from tests.conftest import ROOT

PACKAGE = ROOT / "spike_zoo"


def _options() -> int:
    targets = [imported(entry) for entry in COMMANDS.values()]
    commands = [c for t in targets for c in (t.values() if isinstance(t, dict) else [t])]
    required = [
        parameter
        for command in commands
        for parameter in inspect.signature(command).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return sum(len(types_of(command)) for command in commands) - len(required)


def _outside_names(method: Path, modules: dict[Path, list[ast.AST]]) -> int:
    nodes = (node for path in modules if path.is_relative_to(method) for node in modules[path])
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    own = f"spike_zoo.methods.{method.name}"
    names = {(node.module, name.name) for node in froms for name in node.names}
    return sum(m.startswith("spike_zoo") and not m.startswith(own) for m, _ in names if m)


def _sizes() -> dict[str, int]:
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    modules = {path: list(ast.walk(ast.parse(text))) for path, text in texts.items()}
    nodes = [node for each in modules.values() for node in each]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    methods = [path for path in (PACKAGE / "methods").iterdir() if (path / "__init__.py").is_file()]
    rooms: Counter[str] = Counter()
    for path, text in texts.items():
        parts = path.relative_to(PACKAGE).parts[:-1]
        room = "/".join(parts[: 1 + (parts[:1] == ("methods",))])  # each method is a room
        rooms[f"lines of {room or 'the root'}"] += text.count("\n")
    return {
        **rooms,
        "package lines": rooms.total(),
        "package files": len(texts),
        "package classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        "test lines": sum(text.count("\n") for text in tests),
        "words of SCI's page": len((PACKAGE / "methods/sci/README.md").read_text("utf-8").split()),
        "root entries": sum(path.name != "__pycache__" for path in PACKAGE.iterdir()),
        "command options": _options(),
        "required packages": len(project["dependencies"]),
        "constructor arguments": max(
            len([*f.args.args, *f.args.kwonlyargs]) - 1 for f in functions if f.name == "__init__"
        ),
    } | {f"outside names of {path.name}": _outside_names(path, modules) for path in methods}


@pytest.mark.repo
def test_sizes_are_within_the_budget() -> None:
    budget = yaml.safe_load(Path(__file__).with_name("budget.yaml").read_text(encoding="utf-8"))
    over = {name: size for name, size in _sizes().items() if size > budget.get(name, 0)}
    assert not over, (
        f"above the ceilings of tests/repo/budget.yaml: {over}; remove something in the same room"
    )
