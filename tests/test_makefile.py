"""What the targets take as done, and where they are listed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest
import yaml

from tests.conftest import ROOT

METHODS = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/sweep.yaml"))
NEEDS = sorted((ROOT / "experiments").glob("*/needs*.yaml"))
STAGES = sorted((ROOT / "experiments").glob("*/stages.yaml"))

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


@pytest.fixture
def methods(checkout: Path) -> Path:
    """Return a checkout with the experiments and configurations of the project, and no data."""
    for folder in ("experiments", "configs"):
        files = shutil.ignore_patterns("results", "weights")
        shutil.copytree(ROOT / folder, checkout / folder, ignore=files)
    return checkout


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


def test_the_makefile_names_no_method() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").lower()
    folders = [path.name for path in (ROOT / "spike_zoo" / "methods").iterdir() if path.is_dir()]
    named = [name for name in {*METHODS, *folders} if re.search(rf"\b{name}\b", makefile)]
    assert named == []


def _table(methods: Path, needs: Path) -> str:
    """Return what make would do for the table of a method, under the profile that needs it."""
    profile = needs.stem.partition("_")[2] or "cpu"
    named = (f"METHOD={needs.parent.name}", f"PROFILE={profile}")
    return _make(methods, "-n", "ablation-table", *named)


@pytest.mark.parametrize("file", NEEDS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_make_reads_what_yaml_says_of_archives_and_tables(methods: Path, file: Path) -> None:
    needs = yaml.safe_load(file.read_text(encoding="utf-8"))
    done = _table(methods, file)
    assert re.findall(r"experiments/(\w+)/table\w*\.yaml", done) == [
        *needs.get("tables", {}),
        file.parent.name,
    ], "tables of other methods come before those that show them"
    simulated = re.findall(r"-m spike_zoo (simulate.*?)  --out (data/\S+)", done)
    made = {archive: how for how, archive in simulated}
    assert needs["archives"].items() <= made.items()
    assert made.keys() == needs["archives"].keys() or "tables" in needs


def test_an_archive_that_nothing_says_how_to_make_is_refused(methods: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _make(methods, "-n", "data/unknown.h5")


def test_an_archive_that_is_there_is_not_made_again(methods: Path) -> None:
    (methods / "data").mkdir()
    (methods / "data" / "default.h5").touch()
    assert "simulate" not in _make(methods, "-n", "data/default.h5")


@pytest.mark.parametrize("file", STAGES, ids=lambda file: file.parent.name)
def test_stages_train_in_order_and_go_on_after_a_stop(methods: Path, file: Path) -> None:
    method = file.parent.name
    stages = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"]
    for target in (("train", f"METHOD={method}"), (method,)):
        done = _make(methods, "-n", *target)
        fits = re.findall(r"fit --config (\S+) --run_dir (\S+) --ckpt_path last", done)
        assert fits == [(config, f"runs/{method}/{name}") for name, config in stages.items()]
        assert done.index("simulate") < done.index("fit --config")
    first, *later = stages.items()
    record = methods / "runs" / method / first[0] / "result.json"
    record.parent.mkdir(parents=True)
    record.touch()
    for archive in re.findall(r"--out (data/\S+)", done):
        (methods / archive).parent.mkdir(exist_ok=True)
        (methods / archive).touch()
    left = _make(methods, "-n", method)
    assert re.findall(r"fit --config (\S+)", left) == [config for _, config in later]


def test_a_method_without_stages_is_told_so(methods: Path) -> None:
    (methods / "experiments" / "plain").mkdir()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _make(methods, "train", "METHOD=plain")
    assert "plain: no stages.yaml" in failed.value.stdout


def test_the_demo_tests_trains_and_shows_what_its_file_says(methods: Path) -> None:
    demo = yaml.safe_load((ROOT / "experiments" / "demo.yaml").read_text(encoding="utf-8"))
    done = _make(methods, "-n", "demo")
    for name, config in demo["test"].items():
        assert f"test --config {config} --run_dir runs/demo/{name}\n" in done
    ((name, config),) = demo["fit"].items()
    assert f"fit --config {config} --run_dir runs/demo/{name} --ckpt_path last" in done
    scene = demo["show"]["scene"]
    assert f"--method runs/demo/{name}/checkpoints/best.ckpt" in done
    assert f"--out runs/demo/{scene}.mp4" in done
    assert done.index("simulate") < done.index("test --config")
