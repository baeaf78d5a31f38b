"""Tests that commands open no network connection unless an option names a machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from spike_zoo.formats import write_recording
from tests.helpers.archives import write_archive
from tests.helpers.results import make_result
from tests.helpers.streams import random_spikes

pytestmark = pytest.mark.slow
GUARD = """
import sys

def guard(event, arguments):
    if event == "socket.getaddrinfo":
        raise SystemExit(f"{line}: it looked up {arguments[0]}")
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        raise SystemExit(f"{line}: it connected to {arguments[1]}")

sys.addaudithook(guard)
from spike_zoo.cli.main import main
for line in sys.argv[1:]:
    if code := main(line.split()):
        sys.exit(f"{line}: exit code {code}")
"""

LINES = (
    "reconstruct a.npz --method stir --rate-scale 0.5 --out a.png",
    "compress a.npz --rate-scale 0.5 --out a.sci",
    "compress a.npz --out a.spl",
    "archive info a.h5",
    "report a.npz --rate-scale 0.5 --methods [tfp] --out a.html",
    "export stir a.safetensors",
    "simulate --size small --train 0 --val 0 --test 1 --height 32 --width 32 --planes 161 --jobs 1 "
    "--out made.h5",
    "fit --config stir --config profiles/smoke --model.init_args.width 0.25 --run_dir run "
    "--data.init_args.archive clips.h5",
    "table runs --out table.md",
    "doctor",
)


def _guarded(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Run command lines in one process that stops at the first connection."""
    write_recording(random_spikes(81, 48, 64), folder / "a.npz")
    command = [sys.executable, "-c", GUARD, *lines]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_commands_open_no_connection(clips_archive: Path, tmp_path: Path) -> None:
    (tmp_path / "clips.h5").symlink_to(clips_archive)
    write_archive(tmp_path / "a.h5")
    make_result().write(tmp_path / "runs" / "one" / "result.json")
    process = _guarded(tmp_path, *LINES)
    assert process.returncode == 0, process.stderr


def test_the_guard_detects_a_connection(tmp_path: Path) -> None:
    process = _guarded(tmp_path, "reconstruct a.npz --method hf:owner/model --out a.png")
    assert "it looked up huggingface.co" in process.stderr
