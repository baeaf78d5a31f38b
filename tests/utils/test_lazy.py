"""Lazy import of the public names of packages."""

import importlib
import sys
from pathlib import Path

import pytest

PACKAGES = ("media", "methods.classical", "metrics", "tasks", "training")
PACKAGE_CODE = """
from typing import TYPE_CHECKING
from spike_zoo.utils.lazy import lazy_attributes
if TYPE_CHECKING:
    from a_package_of_tests.large import heavy
    from a_package_of_tests.small import light
__getattr__, __dir__ = lazy_attributes(__name__)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a package with two modules, one of which cannot be imported."""
    folder = tmp_path / "a_package_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE_CODE)
    (folder / "small.py").write_text("light = 7\n")
    (folder / "large.py").write_text("raise ImportError('a library is missing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in (folder.name, f"{folder.name}.small", f"{folder.name}.large"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder.name


def test_a_name_is_imported_without_the_modules_of_other_names(package: str) -> None:
    module = importlib.import_module(package)
    assert f"{package}.small" not in sys.modules
    assert module.light == 7
    assert f"{package}.large" not in sys.modules
    with pytest.raises(ImportError, match="a library is missing"):
        module.heavy  # noqa: B018  (the access is the test)


def test_an_unknown_name_is_an_attribute_error_of_the_package(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'ligth'"):
        importlib.import_module(package).ligth  # noqa: B018  (the access is the test)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_in_all_of_a_package_exists_and_is_listed(name: str) -> None:
    module = importlib.import_module(f"spike_zoo.{name}")
    assert set(module.__all__) <= set(dir(module)), "completion of notebooks reads dir()"
    assert [attribute for attribute in module.__all__ if not hasattr(module, attribute)] == []
