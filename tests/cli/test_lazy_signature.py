"""Tests that signatures parsed from source files equal those of the commands."""

from __future__ import annotations

import inspect

import pytest

from spike_zoo.cli.lazy_signature import DatOptions, import_command, signature_stub
from spike_zoo.cli.main import COMMANDS
from spike_zoo.cli.simulate import SceneOptions

PATHS = [
    path
    for target, _ in COMMANDS.values()
    for path in (target.values() if isinstance(target, dict) else [target])
]


@pytest.mark.parametrize("path", PATHS)
def test_an_outline_has_the_signature_and_help_of_its_command(path: str) -> None:
    outlined, command = signature_stub(path), import_command(path)
    actual = dict(inspect.signature(outlined).parameters)
    expected = dict(inspect.signature(command).parameters)
    groups = {"dat": DatOptions, "scene": SceneOptions}
    if group_names := groups.keys() & expected.keys():
        name = group_names.pop()
        del expected[name]
        options = {name: actual.pop(name) for name in groups[name].__annotations__}
        assert {option.default for option in options.values()} <= {None, False}
        assert str(outlined.__doc__).startswith(str(command.__doc__).rstrip())
        assert all(f"        {name}: " in str(outlined.__doc__) for name in options)
    else:
        assert outlined.__doc__ == command.__doc__
    assert actual == expected
