"""Fixture that runs command lines in an empty folder."""

import shlex
from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from tests.helpers.commands import Outcome, Zoo


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Zoo:
    """Work in an empty folder; return a function that runs a command line."""
    monkeypatch.chdir(tmp_path)

    def run(line: str, *more: object) -> Outcome:
        capsys.readouterr()
        code = main([*shlex.split(line), *map(str, more)])
        return Outcome(code, *capsys.readouterr())

    return run
