"""What a command takes is known without its libraries, and is what it takes."""

from __future__ import annotations

import inspect

import pytest

from spike_zoo.cli.lazy_signature import loaded, outline
from spike_zoo.cli.main import COMMANDS

PATHS = [
    path
    for target, _ in COMMANDS.values()
    for path in (target.values() if isinstance(target, dict) else [target])
]


@pytest.mark.parametrize("path", PATHS)
def test_an_outline_takes_and_tells_what_its_command_does(path: str) -> None:
    outlined, command = outline(path), loaded(path)
    assert inspect.signature(outlined) == inspect.signature(command)
    assert outlined.__doc__ == command.__doc__
