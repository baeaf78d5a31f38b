"""The package's surface: light to import, whole when it is used."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import spike_zoo
from tests.helpers.processes import run_python


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = "('torch', 'lightning', 'numpy', 'h5py', 'numba')"
    done = run_python(f"import sys, spike_zoo; sys.exit(any(m in sys.modules for m in {heavy}))")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(set(spike_zoo.__all__) - {"__version__"}))
def test_every_public_name_comes_from_a_room_of_the_package(name: str) -> None:
    assert name in dir(spike_zoo)
    assert getattr(spike_zoo, name).__module__.startswith("spike_zoo.")


ROOMS = sorted(
    module.name for module in pkgutil.iter_modules(spike_zoo.__path__) if module.name[0] != "_"
)


def test_every_room_is_an_attribute_that_loads_on_first_use() -> None:
    names = f"for name in {ROOMS}: assert getattr(spike_zoo, name).__name__ == 'spike_zoo.' + name"
    done = run_python(f"import spike_zoo\n{names}")  # a process of its own: nothing is imported yet
    assert done.returncode == 0, done.stderr
    assert set(ROOMS) <= set(dir(spike_zoo))


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        spike_zoo.nonsense  # noqa: B018  (the access is the test)


def test_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spike_zoo", "--version"], capture_output=True, text=True
    )
    assert done.stdout.split()[-1] == spike_zoo.__version__
