"""Tests of output with ``--quiet``, closed pipes and without a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.cli.main import main
from tests.helpers.archives import write_archive
from tests.helpers.tables import make_run, write_spec

if TYPE_CHECKING:
    from pathlib import Path

MAKES = (
    "reconstruct street.npz --method tfi --out a.png",
    "reconstruct street.npz --method tfi --out a.mp4",
    "compress street.npz --lossless --out a.spl",
    "archive export takes.h5 out",
    "archive build street.npz b.h5 --split test",
    "archive verify takes.h5",
    "configs --copy stir --out copies",
    "export tfi weights.safetensors",
    "table table.yaml --out t.csv",
)
REPORTS = (
    "info street.npz",
    "archive info takes.h5",
    "configs",
    "doctor --precision",
    "table table.yaml",
    "completion bash",
    "--help",
    "fit --help",
    "reconstruct --help",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    spikes = np.random.default_rng(0).random((30, 8, 16)) < 0.3
    recording = SpikeRecording.from_planes(spikes, rate_scale=0.6, fps=20000)
    write_recording(recording, tmp_path / "street.npz")
    write_archive(tmp_path / "takes.h5")
    write_spec(tmp_path)
    make_run("full", 31.0).result.write(tmp_path / "results" / "full-0" / "result.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", MAKES)
def test_a_quiet_command_that_makes_something_prints_nothing(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["--quiet", *command.split(), "--nonsense"]) == 2
    assert "unknown option --nonsense" in capsys.readouterr().err, "errors are always told"


@pytest.mark.parametrize("command", REPORTS)
def test_a_quiet_report_is_the_report(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert main(command.split()) == 0
    told = capsys.readouterr().out
    assert said
    assert told.startswith(said)


@pytest.mark.parametrize("command", ["--help", "info street.npz", "table table.yaml", MAKES[0]])
def test_a_closed_pipe_ends_a_command_quietly(command: str, folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    call = [sys.executable, "-m", "spike_zoo", *command.split()]
    done = subprocess.run(call, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        (">&-", "error: stdout is closed; redirect it to a file, a pipe or /dev/null\n"),
        (
            "> /dev/full",
            "error: the output cannot be written (No space left on device); free space, or write "
            "elsewhere\n",
        ),
    ],
)
@pytest.mark.parametrize("command", ["--help", "archive info takes.h5"])
def test_a_stdout_that_cannot_be_written_is_reported(
    command: str, shell: str, said: str, folder: Path
) -> None:
    line = f"{sys.executable} -m spike_zoo {command} {shell}"
    done = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, said)


def test_letters_that_a_terminal_lacks_are_escaped(folder: Path) -> None:
    (folder / "takes.h5").rename(folder / "été.h5")
    call = [sys.executable, "-m", "spike_zoo", "archive", "info", "été.h5"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = subprocess.run(call, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\xe9t\xe9.h5" in done.stdout


def test_a_terminal_without_colours_gets_none(folder: Path) -> None:
    ours, theirs = pty.openpty()
    call = [sys.executable, "-m", "spike_zoo", "archive", "info", "takes.h5"]
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    subprocess.run(call, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    said = os.read(ours, 100_000)
    assert b"takes.h5" in said
    assert not [part for part in said.split(b"\x1b[")[1:] if part[:1] in (b"3", b"9")]
