"""External methods: an installed package, a file in the working folder, and plain Lightning."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spike_zoo import write_recording
from spike_zoo.cli.main import main
from spike_zoo.testing import labelled_archive, labelled_take, pattern_take, tiny_archive
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT

PACKAGE = ROOT / "tests" / "outside"
FIT = ["fit", "--config", "spike_mean.yaml", "--config", "profiles/smoke", "--run_dir", "run"]
RECONSTRUCT = ["reconstruct", "street.npz", "--center", "20", "--out", "one.png", "--overwrite"]
RECONSTRUCT += ["--rate-scale", "0.6", "--method"]
BEST = "run/checkpoints/best.ckpt"
#: Runs several commands in one process and prints their exit codes.
COMMANDS = "import json, sys; from spike_zoo.__main__ import main\n"
COMMANDS += "for words in json.loads(sys.argv[1]):\n"
COMMANDS += "    sys.argv = ['spike-zoo', *words]; print('exit', main())\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the installed package."""
    source = tmp_path_factory.mktemp("source") / "package"
    shutil.copytree(PACKAGE, source)
    if importlib.util.find_spec("setuptools") is None:  # no build tools
        return source
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(site)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with data and the package's configurations, without code."""
    tiny_archive(tmp_path / "data" / "scenes.h5", planes=41)
    write_recording(pattern_take(3, planes=41).recording, tmp_path / "street.npz")
    for name in ("spike_mean.yaml", "spike_label.yaml", "sweep.yaml"):
        shutil.copyfile(PACKAGE / name, tmp_path / name)
    return tmp_path


def _python(work: Path, installed: Path | None, *arguments: str) -> str:
    """Run Python in a working folder and return stdout and stderr."""
    path = os.pathsep.join(str(folder) for folder in (ROOT, installed) if folder)
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=work,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _exits(output: str) -> list[int]:
    return [int(line[5:]) for line in output.splitlines() if line.startswith("exit ")]


@pytest.mark.slow
def test_an_external_package_fits_tests_predicts_and_reconstructs(
    work: Path, installed: Path
) -> None:
    verb = ["--config", "run/config.yaml", "--ckpt_path", "best"]
    calls = [FIT, ["test", *verb], ["predict", *verb], [*RECONSTRUCT, BEST]]
    calls += [[*RECONSTRUCT, BEST, "--trust"], ["export", BEST, "mean.safetensors", "--trust"]]
    calls += [[*RECONSTRUCT, "mean.safetensors", "--trust"], ["table", "run"]]
    output = _python(work, installed, "-c", COMMANDS, json.dumps(calls))
    assert _exits(output) == [0, 0, 0, 1, 0, 0, 0, 0], output
    assert "add --trust if you trust the file and know the package 'spike_mean'" in output
    result = RunResult.read(work / "run")
    assert (result.method, result.variant) == ("spike_mean", "spike_mean")
    assert RunResult.read(work / "run" / "test").metrics == pytest.approx(
        {name: value for name, value in result.metrics.items() if name.startswith("test/")}
    )
    assert list((work / "run" / "predict").glob("*.png"))
    assert (work / "one.png").is_file()


@pytest.mark.slow
def test_an_external_package_classifies_recordings(work: Path, installed: Path) -> None:
    labelled_archive(work / "data" / "labelled.h5", planes=21)
    write_recording(labelled_take(7, planes=30).recording, work / "flat.npz")
    fit = ["fit", "--config", "spike_label.yaml", "--run_dir", "run"]
    classify = ["classify", "flat.npz", "--method", BEST]
    calls = [fit, ["predict", "--config", "run/config.yaml", "--ckpt_path", "best"], classify]
    calls += [[*classify, "--trust"], ["table", "run"]]
    output = _python(work, installed, "-c", COMMANDS, json.dumps(calls))
    assert _exits(output) == [0, 0, 1, 0, 0], output
    assert RunResult.read(work / "run").metrics["test/accuracy"] == 1
    assert "add --trust if you trust the file and know the package 'spike_mean'" in output
    (row,) = [line for line in output.splitlines() if line.startswith("flat ")]
    assert float(row.split()[1]) > 50
    assert (work / "run" / "confusion.csv").is_file()
    assert (work / "run" / "predict" / "predictions.csv").is_file()


@pytest.mark.slow
def test_an_external_package_runs_a_sweep_and_skips_finished_runs(
    work: Path, installed: Path
) -> None:
    sweep = ["sweep", "sweep.yaml", "--profile", "smoke"]
    sweep += ["--only", "model.init_args.channels=4"]
    calls = [sweep, [*sweep, "--dry-run"], ["table", "runs/spike_mean", "--out", "table.md"]]
    output = _python(work, installed, "-c", COMMANDS, json.dumps(calls))
    assert _exits(output) == [0, 0, 0], output
    assert "1 runs, 0 finished, 1 to do" in output
    assert "1 runs, 1 finished, 0 to do" in output
    assert "spike_mean" in (work / "table.md").read_text()


@pytest.mark.slow
def test_an_external_package_passes_the_inherited_testers(work: Path, installed: Path) -> None:
    shutil.copyfile(PACKAGE / "test_spike_mean.py", work / "test_spike_mean.py")
    output = _python(work, installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    assert "17 passed" in output


@pytest.mark.slow
def test_a_method_in_a_file_of_the_working_folder_runs(work: Path) -> None:
    shutil.copyfile(PACKAGE / "spike_mean" / "module.py", work / "own_mean.py")
    config = (work / "spike_mean.yaml").read_text()
    (work / "spike_mean.yaml").write_text(
        config.replace("spike_mean.SpikeMean", "own_mean.SpikeMean")
    )
    calls = [FIT, [*RECONSTRUCT, BEST, "--trust"]]
    output = _python(work, None, "-c", COMMANDS, json.dumps(calls))
    assert _exits(output) == [0, 0], output
    assert RunResult.read(work / "run").method == "own_mean"


def test_plain_lightning_modules_write_records_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line.yaml").write_text(
        "model: {class_path: tests.helpers.foreign.PlainModule}\n"
        "data: {class_path: tests.helpers.foreign.PlainData}\n"
        "trainer: {max_epochs: 20, accelerator: cpu, log_every_n_steps: 1}\n"
    )
    config = ["--config", "line.yaml", "--run_dir", "run"]
    config += ["--trainer.enable_progress_bar", "false"]
    assert main(["fit", *config]) == 0
    assert main(["test", *config, "--ckpt_path", "last"]) == 0
    assert main(["predict", *config, "--ckpt_path", "last"]) == 0
    fitted, tested = (RunResult.read(tmp_path / name) for name in ("run", "run/test"))
    assert fitted.parameters == 2
    assert fitted.metrics["test/loss"] == pytest.approx(0, abs=1e-3), (
        "the weights converged to the line"
    )
    assert tested.metrics["test/loss"] == fitted.metrics["test/loss"]
    assert (fitted.costs, fitted.data_sha256, fitted.images) == ({}, None, None)
    capsys.readouterr()
    assert main(["table", "run"]) == 0
    assert "line" in capsys.readouterr().out
