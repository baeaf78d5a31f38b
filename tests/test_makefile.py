"""Targets of the Makefile, and the jobs of ``experiments/run.py`` that they run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from tests.conftest import ROOT
from tests.helpers.jobs import dry_run

pytestmark = pytest.mark.repo

NEEDS = sorted((ROOT / "experiments").glob("*/needs*.yaml"))
RECIPES = sorted((ROOT / "experiments").glob("*/recipes.yaml"))
STAGES = sorted((ROOT / "experiments").glob("*/stages.yaml"))
OUTER = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}  # set if make runs these tests
FAKE_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python; fi
"""


def _make(folder: Path, *arguments: str) -> str:
    own = {name: value for name, value in os.environ.items() if name not in OUTER}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=own, stdout=PIPE, text=True, check=True).stdout


def _dry_run(folder: Path, *arguments: str) -> str:
    """Return the output of a dry run, which must not change the folder."""
    before = sorted(folder.rglob("*"))
    printed = dry_run(folder, *arguments)
    assert sorted(folder.rglob("*")) == before
    return printed


def _plan(folder: Path, *arguments: str) -> str:
    return _dry_run(folder, "ablation-table", *arguments)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up, without installed packages."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    _make(tmp_path, "setup", "PYTHON=./python")
    return tmp_path


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    """Experiments and configurations of the project, without data and runs."""
    for folder in ("experiments", "configs"):
        files = shutil.ignore_patterns("results", "*.safetensors")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=files)
    return tmp_path


def test_setup_is_repeated_only_if_its_input_changes_or_the_environment_is_gone(
    checkout: Path,
) -> None:
    assert "venv" not in _make(checkout, "-n", "setup")
    later = (
        checkout / ".venv/stamps/setup"
    ).stat().st_mtime + 60  # modification times can be coarse
    os.utime(checkout / "constraints.txt", (later, later))
    assert "-m venv .venv" in _make(checkout, "-n", "setup")
    shutil.rmtree(checkout / ".venv")
    assert "-m venv .venv" in _make(checkout, "-n", "setup")


@pytest.mark.parametrize("target", ["notebooks", "docs", "audit"])
def test_extras_are_installed_again_with_the_environment(checkout: Path, target: str) -> None:
    _make(checkout, f".venv/stamps/{target}", "PYTHON=./python")
    assert f".[{target}]" not in _make(checkout, "-n", target)
    shutil.rmtree(checkout / ".venv")
    assert f".[{target}]" in _make(checkout, "-n", target)


def test_clean_removes_the_files_of_setup(checkout: Path) -> None:
    _make(checkout, "clean")
    remaining = {path.name for path in checkout.iterdir()}
    assert remaining == {"Makefile", "pyproject.toml", "constraints.txt", "python"}


def test_help_and_the_guide_list_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(makefile.partition(".PHONY:")[2].partition("\n")[0].split())
    assert phony == set(re.findall(r"^  make ([a-z-]+)", _make(ROOT, "help"), re.MULTILINE))
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert phony - set(re.findall(r"\| `make ([a-z-]+)", guide)) == {"help"}


def test_the_makefile_and_its_jobs_name_no_method() -> None:
    text = "".join((ROOT / name).read_text() for name in ("Makefile", "experiments/run.py"))
    folders = [path.name for path in (ROOT / "spike_zoo" / "methods").iterdir() if path.is_dir()]
    assert [name for name in folders if re.search(rf"\b{name}\b", text.lower())] == []


@pytest.mark.parametrize(
    "file",
    NEEDS,
    ids=lambda file: f"{file.parent.name}-{file.stem}",
)
def test_a_table_simulates_its_archives_and_makes_the_tables_it_needs(
    methods: Path, file: Path
) -> None:
    needs = yaml.safe_load(file.read_text(encoding="utf-8"))
    profile = file.stem.partition("_")[2] or "cpu"
    printed = _plan(methods, file.parent.name, "--profile", profile)
    assert re.findall(r"experiments/(\w+)/table\w*\.yaml", printed) == [
        *needs.get("tables", {}),
        file.parent.name,
    ]
    simulated = re.findall(r"-m spike_zoo (simulate.*?) --out (data/\S+)", printed)
    # sets of images of the user are needed by sweeps that no table runs by itself
    needed = {path: how for path, how in needs["archives"].items() if "--images" not in how}
    assert needed.items() <= {path: how for how, path in simulated}.items()


def test_a_table_whose_runs_are_finished_needs_no_archive(
    methods: Path,
) -> None:
    """Archives were simulated for minutes, although no run was to be done."""
    for name in ("classical", "colour"):
        shutil.copytree(
            ROOT / "experiments" / name / "results", methods / f"experiments/{name}/results"
        )
    printed = _plan(methods, "colour")
    assert "sweep.yaml: 0 runs to do\nfiles to make: none" in printed
    assert "simulate --" not in printed


def test_a_table_needs_the_name_of_a_method(
    methods: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for names in ([], ["unknown"]):
        with pytest.raises(SystemExit) as caught:
            _plan(methods, *names)
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert "METHOD must be one of classical, colour" in error
        assert "METHOD=all runs every table" in error
    printed = _plan(methods, "all", "--profile", "smoke")
    assert len(re.findall(r"plan of the table of \w+", printed)) == len(
        list(methods.glob("experiments/*/sweep.yaml"))
    )


def test_a_plan_states_the_time_of_committed_records_without_loading_torch(methods: Path) -> None:
    results = ROOT / "experiments" / "stir" / "results"
    shutil.copytree(results, methods / "experiments/stir/results")
    records = methods / "experiments/stir/results/cpu/records.jsonl"
    lines = records.read_text().splitlines()
    records.write_text("\n".join(line for line in lines if '"name":"full-1"' not in line) + "\n")
    code = "import runpy, sys; sys.argv[1:] = ['ablation-table', 'stir', '--dry-run']\n"
    code += "try: runpy.run_path('experiments/run.py', run_name='__main__')\n"
    code += "finally: print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=methods, capture_output=True, text=True, check=False
    )
    assert "experiments/stir/sweep.yaml: 1 runs to do, about" in done.stdout
    assert done.stdout.endswith("False\n")


def test_tiny_runs_make_and_remove_tiny_files(methods: Path) -> None:
    printed = _plan(methods, "stir", "--profile", "smoke")
    assert "--size small --out data/default.h5" in printed
    assert "experiments/classical/sweep.yaml" not in printed, "tables of other methods"
    printed = _plan(methods, "sci", "--profile", "smoke")
    assert "experiments/sci/sweep_codec.yaml: 4 runs to do" in printed


def test_an_archive_is_made_only_if_it_is_missing_and_its_command_is_known(methods: Path) -> None:
    command = "simulate --testing photographs --test 24 --out data/default.h5"
    assert command in _dry_run(methods, "file", "data/default.h5")
    (methods / "data").mkdir()
    (methods / "data" / "default.h5").touch()
    assert "simulate" not in _dry_run(methods, "file", "data/default.h5")
    with pytest.raises(SystemExit, match=r"data/unknown\.h5: no .* contains its command"):
        _dry_run(methods, "file", "data/unknown.h5")


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_removed_weights_are_restored_with_the_present_names_of_arguments(methods: Path) -> None:
    former = "spike_zoo/weights/sci-small.safetensors"
    path = "experiments/sci/weights/sci_joint.safetensors"
    _git(methods, "init")
    (methods / former).parent.mkdir(parents=True, exist_ok=True)
    weights, arguments = {"w": torch.arange(3.0)}, {"coding": {"lambdas": [64.0]}}
    save_file(weights, methods / former, {"hyper_parameters": json.dumps(arguments)})
    for step in ("add", "rm"):
        _git(methods, step, "--force", former)
        _git(methods, "commit", "-m", step)
    shutil.rmtree((methods / path).parent)  # a clone has no folder of ignored files
    command = [sys.executable, "experiments/run.py", "file", path]
    subprocess.run(command, cwd=methods, check=True, capture_output=True)
    with safe_open(methods / path, "pt") as file:
        assert json.loads(file.metadata()["hyper_parameters"]) == {"coding": {"rd_weights": [64.0]}}
        assert torch.equal(file.get_tensor("w"), weights["w"])


def test_weights_are_trained_after_those_they_start_from_if_there_is_no_history(
    methods: Path,
) -> None:
    printed = _dry_run(methods, "file", "experiments/ssdm/weights/teacher.safetensors")
    exported = re.findall(r"export \S+ experiments/ssdm/weights/(\w+)\.safetensors", printed)
    assert exported == ["bsn", "edsr", "teacher"]


def test_smoke_tables_run_existing_sweeps_of_tables() -> None:
    for path in yaml.safe_load((ROOT / "experiments/smoke.yaml").read_text(encoding="utf-8")):
        assert (ROOT / path).is_file()
        assert (ROOT / path).with_name("table.yaml").is_file()


def test_weights_that_experiments_start_from_exist_or_have_a_recipe() -> None:
    files = [*(ROOT / "experiments").rglob("*.yaml"), *(ROOT / "configs").rglob("*.yaml")]
    pattern = r"(?:experiments|spike_zoo)/\S+[a-z0-9]\.safetensors"
    named = {path for file in files for path in re.findall(pattern, file.read_text())}
    recipes = [yaml.safe_load(file.read_text()) for file in RECIPES]
    made = {path for recipe in recipes for path in recipe.get("weights", ())}
    former = {path for recipe in recipes for path in recipe.get("formerly", {}).values()}
    assert made <= named
    assert [path for path in named - made - former if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("file", STAGES, ids=lambda file: file.parent.name)
def test_stages_train_in_order_and_continue_after_a_stop(methods: Path, file: Path) -> None:
    method = file.parent.name
    stages = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"]
    printed = _dry_run(methods, "train", method, "--trainer.max_steps", "7")
    fits = re.findall(r"fit --config (\S+) --run_dir (\S+) --ckpt_path last (.*)", printed)
    options = "--trainer.max_steps 7"
    assert fits == [(config, f"runs/{method}/{name}", options) for name, config in stages.items()]
    assert printed.index("simulate") < printed.index("fit --config")
    first, *later = stages.items()
    record = methods / "runs" / method / first[0] / "result.json"
    record.parent.mkdir(parents=True)
    record.touch()
    remaining = re.findall(r"fit --config (\S+)", _dry_run(methods, "train", method))
    assert remaining == [config for _, config in later]


def test_shipped_weights_are_trained_and_compared_with_the_record(methods: Path) -> None:
    printed = _dry_run(methods, "reproduce", "sci")
    trained = re.findall(r"fit --config experiments/sci/weights/(\w+).yaml", printed)
    assert trained == ["codec"]
    assert "benchmarks.reproduced" in printed
    with pytest.raises(SystemExit, match="the shipped weights are"):
        _dry_run(methods, "reproduce", "unknown")


def test_a_method_without_stages_is_an_error(methods: Path) -> None:
    with pytest.raises(SystemExit, match=r"plain: no stages\.yaml"):
        _dry_run(methods, "train", "plain")


def test_the_demo_runs_the_commands_of_its_file(methods: Path) -> None:
    demo = yaml.safe_load((ROOT / "experiments" / "demo.yaml").read_text(encoding="utf-8"))
    printed = _dry_run(methods, "demo")
    ((archive, simulate),) = demo["archives"].items()
    assert f"{simulate} --out {archive}" in printed
    for name, config in demo["test"].items():
        data = f"--data.init_args.archive={archive}"
        assert f"test --config {config} {data} --run_dir runs/demo/{name}\n" in printed
    ((name, config),) = demo["fit"].items()
    assert f"fit --config {config} --run_dir runs/demo/{name} --ckpt_path last" in printed
    assert f"archive: {archive}," in (ROOT / config).read_text(encoding="utf-8")
    scene, method = demo["show"]["scene"], demo["show"]["method"]
    assert f"reconstruct {archive} --name {scene} --method {method}" in printed
    assert f"--out runs/demo/{scene}.mp4" in printed
    assert printed.index("simulate") < printed.index("test --config")


@pytest.mark.parametrize(
    "job",
    [("reproduce", "ssdm-student"), ("reproduce", "stir"), ("train", "ssdm", "sci")],
    ids=lambda job: job[1],
)
def test_stages_and_recipes_run_in_the_precision_of_their_configuration(
    methods: Path, job: tuple[str, ...]
) -> None:
    assert "--trainer.precision" not in _dry_run(methods, *job)


@pytest.mark.parametrize("job", [("train", "ssdm"), ("demo",)], ids=lambda job: job[0])
def test_options_are_appended_to_the_commands(methods: Path, job: tuple[str, ...]) -> None:
    printed = _dry_run(methods, *job, "--trainer.precision", "16-mixed")
    fits = re.findall(r"spike_zoo fit .*", printed)
    assert fits
    assert all(line.endswith("--trainer.precision 16-mixed") for line in fits)
