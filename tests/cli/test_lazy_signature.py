"""The signature read from a command's file is that of the command."""

from __future__ import annotations

import inspect

import pytest

from spike_zoo.cli.lazy_signature import DatOptions, loaded, outline
from spike_zoo.cli.main import COMMANDS

PATHS = [
    path
    for target, _ in COMMANDS.values()
    for path in (target.values() if isinstance(target, dict) else [target])
]


@pytest.mark.parametrize("path", PATHS)
def test_an_outline_has_the_signature_and_help_of_its_command(path: str) -> None:
    outlined, command = outline(path), loaded(path)
    taken = dict(inspect.signature(outlined).parameters)
    expected = dict(inspect.signature(command).parameters)
    if "dat" in expected:
        del expected["dat"]
        options = {name: taken.pop(name) for name in DatOptions.__annotations__}
        assert {type(option.default) for option in options.values()} == {type(None), bool}
        assert str(outlined.__doc__).startswith(str(command.__doc__).rstrip())
        assert all(f"        {name}: " in str(outlined.__doc__) for name in options)
    else:
        assert outlined.__doc__ == command.__doc__
    assert taken == expected
