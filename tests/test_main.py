"""The console script and ``python -m spike_zoo`` use the same module search path."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers.marking import MARK, write_marking

SCRIPT = Path(sysconfig.get_path("scripts")) / "spike-zoo"
PROGRAMS = {"module": [sys.executable, "-m", "spike_zoo"], "script": [str(SCRIPT)]}


def _export(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Export a checkpoint whose class is defined in a file of the working folder."""
    if program == "script" and not SCRIPT.is_file():
        pytest.skip(f"the console script is not installed ({SCRIPT})")
    command = [*PROGRAMS[program], "export", "marking.ckpt", "out.safetensors", "--trust"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_module_in_the_working_folder_is_found(program: str, tmp_path: Path) -> None:
    write_marking(tmp_path)
    done = _export(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / MARK).exists()


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_module_in_the_working_folder_is_not_found_in_safe_path_mode(
    program: str, tmp_path: Path
) -> None:
    write_marking(tmp_path)
    done = _export(program, tmp_path, PYTHONSAFEPATH="1")
    assert done.returncode == 1
    assert "the class 'marking.Marking' cannot be imported" in done.stderr
    assert not (tmp_path / MARK).exists()
