"""Tests that commands open no network connection unless an option names a machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spike_zoo.formats import write_recording
from tests.helpers.archives import write_archive
from tests.helpers.results import make_result
from tests.helpers.streams import random_spikes

GUARD = """
import sys

def guard(event, arguments):
    if event == "socket.getaddrinfo":
        raise SystemExit(f"it looked up {arguments[0]}")
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        raise SystemExit(f"it connected to {arguments[1]}")

sys.addaudithook(guard)
from spike_zoo.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "line",
    [
        "reconstruct a.npz --method stir-small --rate-scale 0.5 --out a.png",
        "compress a.npz --rate-scale 0.5 --out a.sci",
        "compress a.npz --lossless --out a.spl",
        "archive info a.h5",
        "report a.npz --rate-scale 0.5 --methods [tfp] --out a.html",
        "export stir-small a.safetensors",
        "simulate --size small --train 0 --val 0 --test 1 --height 32 --width 32 --planes 161 "
        "--jobs 1 --out made.h5",
        "fit --config stir --config profiles/smoke --model.init_args.width 0.25 --run_dir run "
        "--data.init_args.archive clips.h5",
        "table runs --out table.html",
        "doctor",
    ],
)
def test_a_command_opens_no_connection(line: str, clips_archive: Path, tmp_path: Path) -> None:
    (tmp_path / "clips.h5").symlink_to(clips_archive)
    write_recording(random_spikes(81, 48, 64), tmp_path / "a.npz")
    write_archive(tmp_path / "a.h5")
    make_result().write(tmp_path / "runs" / "one" / "result.json")
    command = [sys.executable, "-c", GUARD, *line.split()]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_the_guard_detects_a_connection(tmp_path: Path) -> None:
    line = ["reconstruct", "x.npz", "--method", "hf:owner/model", "--out", "a.png"]
    write_recording(random_spikes(81, 48, 64), tmp_path / "x.npz")
    command = [sys.executable, "-c", GUARD, *line]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "it looked up huggingface.co" in process.stderr
