"""What the targets take as done, and where they are listed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.conftest import ROOT

OUTER = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}  # of a make that runs the tests
FAKE_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python; fi
"""


def _make(folder: Path, *arguments: str) -> str:
    own = {name: value for name, value in os.environ.items() if name not in OUTER}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=own, stdout=PIPE, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder that is set up, but for the packages."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    _make(tmp_path, "setup", "PYTHON=./python")
    return tmp_path


def test_setup_does_nothing_twice_until_what_it_reads_changes(checkout: Path) -> None:
    assert "venv" not in _make(checkout, "-n", "setup")
    (checkout / "constraints.txt").touch()
    assert "-m venv .venv" in _make(checkout, "-n", "setup")


def test_setup_begins_again_when_the_environment_is_gone(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    assert "-m venv .venv" in _make(checkout, "-n", "setup")


@pytest.mark.parametrize("target", ["notebooks", "docs", "audit"])
def test_what_a_target_installs_is_installed_again_with_the_environment(
    checkout: Path, target: str
) -> None:
    _make(checkout, f".venv/stamps/{target}", "PYTHON=./python")
    assert f".[{target}]" not in _make(checkout, "-n", target)
    shutil.rmtree(checkout / ".venv")
    assert f".[{target}]" in _make(checkout, "-n", target)


def test_clean_leaves_nothing_of_what_setup_made(checkout: Path) -> None:
    _make(checkout, "clean")
    left = {path.name for path in checkout.iterdir()}
    assert left == {"Makefile", "pyproject.toml", "constraints.txt", "python"}


def test_every_target_is_listed_by_help_and_all_but_help_in_the_guide() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(makefile.partition(".PHONY:")[2].partition("\n")[0].split())
    assert phony == set(re.findall(r"^  make ([a-z-]+)", _make(ROOT, "help"), re.MULTILINE))
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert phony - set(re.findall(r"\| `make ([a-z-]+)", guide)) == {"help"}
