"""Tests of output with ``--quiet``, closed pipes and without a terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spike_zoo import SpikeRecording, write_recording
from tests.helpers.archives import write_archive
from tests.helpers.commands import Zoo
from tests.helpers.tables import make_run, write_spec

SILENT_COMMANDS = (
    "reconstruct street.npz --method tfi --out a.png",
    "reconstruct street.npz --method tfi --out a.mp4",
    "compress street.npz --out a.spl",
    "archive export takes.h5 out",
    "archive build street.npz b.h5 --split test",
    "archive verify takes.h5",
    "configs --copy stir",
    "export tfi weights.safetensors",
    "table table.yaml --out t.csv",
)
REPORT_COMMANDS = (
    *("info street.npz", "archive info takes.h5", "configs", "doctor --precision"),
    *("table table.yaml", "--help", "fit --help", "reconstruct --help"),
)


@pytest.fixture(autouse=True)
def _files(zoo: Zoo, tmp_path: Path) -> None:
    spikes = np.random.default_rng(0).random((30, 8, 16)) < 0.3
    recording = SpikeRecording.from_planes(spikes, rate_scale=0.6, fps=20000)
    write_recording(recording, "street.npz")
    write_archive(tmp_path / "takes.h5")
    write_spec(tmp_path)
    make_run("full", 31.0).result.write(tmp_path / "results" / "full-0" / "result.json")


@pytest.mark.parametrize("command", SILENT_COMMANDS)
def test_a_quiet_command_without_a_report_prints_nothing(command: str, zoo: Zoo) -> None:
    assert zoo(f"{command} --quiet") == (0, "", "")
    assert "unknown option --nonsense" in zoo(f"--quiet {command} --nonsense").err


@pytest.mark.parametrize("command", REPORT_COMMANDS)
def test_a_quiet_report_command_prints_the_report(command: str, zoo: Zoo) -> None:
    quiet, full = zoo(f"{command} --quiet"), zoo(command)
    assert quiet.code == full.code == 0
    assert full.out.startswith(quiet.out)
    assert quiet.out


NETWORK = "reconstruct street.npz --method plain --out a.png"  # Triton is imported, if installed


@pytest.mark.parametrize("command", ["--help", "table table.yaml", NETWORK])
def test_a_closed_pipe_ends_a_command_quietly(command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    call = [sys.executable, "-m", "spike_zoo", *command.split()]
    process = subprocess.run(call, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize(
    ("shell", "message"),
    [
        (">&-", "stdout is closed; redirect it to a file, a pipe or /dev/null"),
        (
            "> /dev/full",
            "the output cannot be written (No space left on device); free space, or write "
            "elsewhere",
        ),
    ],
)
@pytest.mark.parametrize("command", ["--help", "archive info takes.h5"])
def test_a_stdout_that_cannot_be_written_is_reported(
    command: str, shell: str, message: str
) -> None:
    line = f"{sys.executable} -m spike_zoo {command} {shell}"
    process = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, text=True, check=False)
    assert (process.returncode, process.stderr) == (1, f"error: {message}\n")


def test_characters_outside_the_output_encoding_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "takes.h5").rename("été.h5")
    call = [sys.executable, "-m", "spike_zoo", "archive", "info", "été.h5"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    process = subprocess.run(call, env=environment, capture_output=True, check=False)
    assert (process.returncode, process.stderr) == (0, b"")
    assert rb"\xe9t\xe9.h5" in process.stdout


def test_no_color_turns_off_terminal_colours() -> None:
    controller, terminal = pty.openpty()
    call = [sys.executable, "-m", "spike_zoo", "archive", "info", "takes.h5"]
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    subprocess.run(call, stdout=terminal, env=environment, check=True)
    os.close(terminal)
    output = os.read(controller, 100_000)
    assert b"takes.h5" in output
    assert not [part for part in output.split(b"\x1b[")[1:] if part[:1] in (b"3", b"9")]
