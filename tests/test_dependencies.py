"""Consistency of imports, declared dependencies and constraints."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import ROOT

CONTENT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, TOOLS = CONTENT["project"], CONTENT["tool"]


def _requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for lines in (PROJECT["dependencies"], *extras) for line in lines]


def _tested() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (re.split(r"==", line, maxsplit=1) for line in lines if line)
    return {canonicalize_name(name): Version(version) for name, version in pins}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _distributions(modules: set[str]) -> set[str]:
    distributions_of = packages_distributions()
    return {
        canonicalize_name(name)
        for module in modules
        for name in distributions_of.get(module, [module])
    }


@pytest.mark.parametrize("requirement", _requirements(), ids=lambda each: str(each.name))
def test_tested_versions_satisfy_the_declared_bounds(requirement: Requirement) -> None:
    tested = _tested()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(tested)


@pytest.mark.parametrize(
    ("name", "unsafe"), [("lightning", "2.6.5"), ("torch", "2.9.1"), ("jsonargparse", "5.0.0")]
)
def test_unsafe_and_broken_versions_are_excluded(name: str, unsafe: str) -> None:
    requirement = next(each for each in _requirements() if each.name == name)
    assert not requirement.specifier.contains(unsafe)


def test_uv_installs_tested_versions_of_packages_that_affect_numbers() -> None:
    constraints = [Requirement(line) for line in TOOLS["uv"]["constraint-dependencies"]]
    assert {requirement.name for requirement in constraints} >= {
        "torch",
        "torchvision",
        "lightning",
        "numpy",
        "numba",
    }
    tested = _tested()
    assert {requirement.name: str(requirement.specifier) for requirement in constraints} == {
        requirement.name: f"=={tested[canonicalize_name(requirement.name)]}"
        for requirement in constraints
    }


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("uv"), reason="there is no uv here; make and pip set up too")
def test_uv_sets_up_an_environment_in_which_the_command_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")}
    environment.pop("PYTHONPATH", None)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "spike_zoo", tmp_path / "spike_zoo")
    call: dict[str, Any] = {"cwd": tmp_path, "env": environment}
    call |= {"check": True, "capture_output": True}
    subprocess.run(["uv", "sync"], **call)
    report = subprocess.run(["uv", "run", "spike-zoo", "doctor"], text=True, **call).stdout
    versions = dict(line.split()[:2] for line in report.split("\n\n")[0].splitlines()[1:])
    assert Version(versions["torch"]).public == str(_tested()["torch"])


def test_declared_and_imported_dependencies_are_equal() -> None:
    files = (ROOT / "spike_zoo").rglob("*.py")
    modules = {module for path in files for module in _imported(path)}
    imported = _distributions(modules - sys.stdlib_module_names - {"spike_zoo", "_typeshed"})
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    optional = {canonicalize_name(each.name) for each in _requirements()} - declared
    optional.add(canonicalize_name("markupsafe"))  # a part of jinja2
    assert imported - declared - optional == set()
    assert declared - imported == set()
