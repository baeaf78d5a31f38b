"""Public names of the package, and the time and modules of its import."""

import importlib.util
import pkgutil
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import spike_zoo
from tests.conftest import ROOT
from tests.helpers.processes import run_python


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = "('torch', 'lightning', 'numpy', 'h5py', 'numba')"
    done = run_python(f"import sys, spike_zoo; sys.exit(any(m in sys.modules for m in {heavy}))")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(set(spike_zoo.__all__) - {"__version__"}))
def test_every_public_name_is_defined_in_the_package(name: str) -> None:
    assert name in dir(spike_zoo)
    assert getattr(spike_zoo, name).__module__.startswith("spike_zoo.")


SUBPACKAGES = sorted(
    module.name for module in pkgutil.iter_modules(spike_zoo.__path__) if module.name[0] != "_"
)


@pytest.mark.slow
def test_every_subpackage_is_an_attribute_imported_on_first_use() -> None:
    names = f"for n in {SUBPACKAGES}: assert getattr(spike_zoo, n).__name__ == 'spike_zoo.' + n"
    done = run_python(
        f"import spike_zoo\n{names}"
    )  # in a new process, in which nothing is imported
    assert done.returncode == 0, done.stderr
    assert set(SUBPACKAGES) <= set(dir(spike_zoo))


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        spike_zoo.nonsense  # noqa: B018  (the access is the test)


def test_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spike_zoo", "--version"], capture_output=True, text=True
    )
    assert done.stdout.split()[-1] == spike_zoo.__version__


def test_every_package_is_listed_and_no_link_is_needed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [file.parent.relative_to(ROOT) for file in ROOT.glob("spike_zoo/**/__init__.py")]
    assert listed == sorted([".".join(path.parts) for path in found] + ["spike_zoo.configs"])
    assert [path for path in ROOT.glob("spike_zoo/**/*") if path.is_symlink()] == []


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="no build backend")
def test_a_wheel_holds_every_configuration_weights_and_page(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "spike_zoo", tmp_path / "spike_zoo")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--wheel-dir", "out", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "out").glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "spike_zoo").rglob("*.safetensors")]
    pages = [
        page
        for kind in ("md", "html", "css", "js")
        for page in (ROOT / "spike_zoo").rglob(f"*.{kind}")
    ]
    files += pages
    files += [*(ROOT / "spike_zoo").rglob("*.bin")]
    files += [*(ROOT / "spike_zoo/simulation/photographs").iterdir()]
    expected = {file.relative_to(ROOT).as_posix() for file in files}
    expected = {
        f"spike_zoo/{name}".replace("spike_zoo/spike_zoo", "spike_zoo") for name in expected
    }
    assert len(expected) > 25
    assert expected <= packed, f"missing: {expected - packed}"


def test_the_citation_file_states_the_current_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["version"], cited["license"]) == (spike_zoo.__version__, "MIT")
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    preferred = cited["preferred-citation"]
    assert [preferred[key] for key in ("title", "authors", "version")] == [
        cited[key] for key in ("title", "authors", "version")
    ]
