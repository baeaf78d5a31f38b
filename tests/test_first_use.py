"""Lazy import of the public names of packages."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

ROOMS = ("media", "methods.classical", "metrics", "tasks", "callbacks", "loggers", "records")
ROOM = """
from spike_zoo._first_use import on_first_use
__getattr__ = on_first_use(__name__, {"light": "small", "heavy": "large"})
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a package with two modules, one of which cannot be imported."""
    folder = tmp_path / "a_room_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text(ROOM)
    (folder / "small.py").write_text("light = 7\n")
    (folder / "large.py").write_text("raise ImportError('a library is missing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in (folder.name, f"{folder.name}.small", f"{folder.name}.large"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder.name


def test_a_light_name_does_not_wait_for_the_files_of_others(room: str) -> None:
    found = importlib.import_module(room)
    assert f"{room}.small" not in sys.modules
    assert found.light == 7
    assert f"{room}.large" not in sys.modules
    with pytest.raises(ImportError, match="a library is missing"):
        found.heavy  # noqa: B018  (the access is the test)


def test_a_name_that_no_file_has_is_an_attribute_error_of_the_room(room: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{room}' has no attribute 'ligth'"):
        importlib.import_module(room).ligth  # noqa: B018  (the access is the test)


@pytest.mark.parametrize("name", ROOMS)
def test_every_name_that_a_room_lists_is_there(name: str) -> None:
    found = importlib.import_module(f"spike_zoo.{name}")
    assert [one for one in found.__all__ if not hasattr(found, one)] == []
