"""Variables of the environment that other programs left, or that libraries reject."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from spike_zoo.utils.environment import drop_foreign_variables, ensure_home, invalid_variable
from tests.helpers.processes import run_python


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NODE_RANK", "GROUP_RANK", "TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)


RANKS = ["LOCAL_RANK", "RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "WORLD_SIZE", "MASTER_ADDR"]


@pytest.mark.parametrize("name", [*RANKS, "PL_TRAINER_FAST_DEV_RUN"])
def test_a_variable_that_another_program_left_is_ignored_by_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.warns(UserWarning, match=name):
        drop_foreign_variables()
    assert os.environ.get(name, "0") == "0"


@pytest.mark.parametrize("launcher", ["TORCHELASTIC_RUN_ID", "NODE_RANK"])
def test_ranks_of_a_launcher_are_kept(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(launcher, "0")
    monkeypatch.setenv("LOCAL_RANK", "1")
    drop_foreign_variables()
    assert os.environ["LOCAL_RANK"] == "1"


def test_a_variable_that_a_library_rejects_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEBUG", "perhaps")
    assert main(["configs", "--copy", "none-such"]) == 2
    assert "the environment variable JSONARGPARSE_DEBUG=perhaps" in capsys.readouterr().err
    monkeypatch.setenv("TORCH_LOGS", "noise")
    assert "TORCH_LOGS=noise" in invalid_variable(ValueError("Invalid log settings: noise"))
    assert invalid_variable(ValueError("another fault")) == ""
    monkeypatch.setenv("SLURM_NTASKS", "many")
    assert "SLURM_NTASKS=many" in invalid_variable(ValueError("invalid literal: 'many'"))


def test_a_file_in_the_folder_of_a_variable_is_not_its_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_LOGS", "loop")
    assert main(["info", str(tmp_path / "none.npy")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/none.npy: there is no such file\n"
    assert invalid_variable(ValueError(f"{tmp_path}: damaged, in a loopback")) == ""


def test_a_variable_that_numba_ignores_is_named_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "many")
    done = run_python("import spike_zoo.cli.main as m; m.main(['--version']); import numba")
    assert "'NUMBA_NUM_THREADS' is defined" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_that_an_import_turns_into_another_error_is_an_interrupt() -> None:
    code = """
import os, sys
from spike_zoo.__main__ import main
class Finder:  # as numpy's import
    def find_spec(self, name, path, target=None):
        if name == "torch":
            try:
                os.kill(os.getpid(), 2)
            except KeyboardInterrupt:
                raise AttributeError("module has no attribute") from None
sys.meta_path.insert(0, Finder())
sys.argv = ["spike-zoo", "fit", "--config", "stir"]
sys.exit(main())
"""
    done = run_python(code)
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted")
    assert "Traceback" not in done.stderr


def test_an_interrupt_while_the_package_is_imported_is_no_traceback(tmp_path: Path) -> None:
    code = """
import os, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "spike_zoo.utils.torchvision_builds":
            os.kill(os.getpid(), 2)
sys.meta_path.insert(0, Finder())
"""
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
    folders = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "spike_zoo", "--version"],
        env={**os.environ, "PYTHONPATH": folders},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (-2, "interrupted\n")


def test_a_user_without_a_home_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # neither HOME nor an entry
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("USER", "")
    ensure_home()
    assert os.path.isdir(os.environ["HOME"])  # noqa: PTH112  (pathlib would use expanduser)


def test_files_of_the_working_folder_replace_no_module(tmp_path: Path) -> None:
    for name in ("copy", "typing", "yaml", "numpy", "re"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine')")
    (tmp_path / "own.py").touch()
    code = """
import os, subprocess, sys
os.chdir(sys.argv[1])
sys.path.pop(0)
from spike_zoo.__main__ import search_working_folder_last
search_working_folder_last()
import copy, typing, yaml, numpy, re, own
sys.exit(subprocess.run([sys.executable, "-c", "import copy, typing"]).returncode)
"""
    done = run_python(code, str(tmp_path))
    assert done.returncode == 0, done.stderr
    module = [sys.executable, "-m", "spike_zoo", "configs"]
    done = subprocess.run(module, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
