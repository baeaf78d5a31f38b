"""Tests that commands import only the libraries that they need."""

from __future__ import annotations

import contextlib
import json
import shlex
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.cli.main import COMMANDS
from spike_zoo.cli.trainer_commands import TRAINER_VERBS
from spike_zoo.media import save_picture
from tests.helpers.archives import write_archive
from tests.helpers.bitstreams import bitstream, encode_symbols, random_symbols, small_header
from tests.helpers.processes import run_python
from tests.helpers.tables import make_run, write_spec

if TYPE_CHECKING:
    from pathlib import Path

#: Libraries that take at least 0.1 s to import, most of them seconds.
HEAVY = {
    *("torch", "lightning", "torchmetrics", "torchvision", "kornia", "wandb"),
    *("jinja2", "av", "scipy", "numba", "skimage", "matplotlib", "gradio", "pandas"),
}
COMMAND = """
import sys
from spike_zoo.cli.main import main
code = main(sys.argv[1:])
print("loaded:", *sys.modules)
sys.exit(code)
"""


#: A command that cannot succeed -> a part of its message.
MISTAKES = {
    "reconstruct nothere.npz --out new.png": "nothere.npz: there is no such file",
    "reconstruct street.npz --method tfii --out new.png": "tfii: neither a file nor a shipped",
    "reconstruct street.npz --center 99 --out new.png": "--center 99",
    "reconstruct street.npz": "--out must be given",
    "classify nothere.npz --method sci-digits": "nothere.npz: there is no such file",
    "classify street.npz --method nothere.ckpt": "nothere.ckpt: neither a file nor a shipped",
    "classify street.npz --method . ": ".: this folder holds no model.safetensors",
    "deblur nothere.png street.npz --out new.png": "nothere.png: there is no such blurry image",
    "deblur small.png street.npz --out new.png": "4 times as wide and high, 64 x 32",
    "deblur large.png street.dat --height 9 --width 16 --out new.png": "not a whole number",
    "deblur large.png street.npz --out new.png": "give --exposure-start and --exposure-length",
    "compress nothere.npz --out new.sci": "nothere.npz: there is no such file",
    "compress street.npz --method nothere.ckpt --out new.sci": "nothere.ckpt: neither a file nor a",
    "decompress nothere.sci --out new.mp4": "nothere.sci: there is no such file",
    "decompress street.sci --method nothere.ckpt --out new.mp4": "nothere.ckpt: neither a file nor",
    "info nothere.npz": "nothere.npz: there is no such file",
    "report nothere.npz": "nothere.npz: there is no such file or folder",
    "report street.dat": "--height and --width",
    "report street.npz --center 99": "--center 99: street.npz has planes 0..29",
    "report street.npz --pictures 0": "--pictures 0: give at least 1",
    "report street.npz --methods tfii:average=9": "tfii: neither a file nor a shipped method",
    "compare nothere": "nothere: no result.json",
    "compare nothere --methods tfii": "--methods tfii: no such configuration",
    "table nothere.yaml": "nothere.yaml: there is no such table file",
    "sweep nothere.yaml": "nothere.yaml: there is no such sweep file",
    "sweep sweep.yaml --profile nothere": "nothere.yaml: there is no such profile",
    "sweep sweep.yaml": "nothere.yaml: there is no such configuration file",
    "export nothere.ckpt new.safetensors": "nothere.ckpt: neither a file nor a shipped method",
    "export tfi a.bin": ".bin is not written here",
    "app --methods nothere.ckpt": "nothere.ckpt: neither a file nor a shipped method",
    "simulate --video nothere.mp4": "--video nothere.mp4: there is no such video or folder",
    "simulate --kind s-mnist --images nothere": "--images nothere: there is no such folder",
    "simulate --jobs -1": "--jobs must be 0",
    "archive build nothere new.h5": "nothere: there is no such",
    "archive info nothere.h5": "nothere.h5",
    "archive verify nothere.h5": "nothere.h5",
    "archive export nothere.h5 out": "nothere.h5",
    "configs --copy nothere": "--copy nothere: no such configuration",
    "fit --config nothere.yaml": "nothere.yaml: there is no such configuration file",
    "test --config nothere.yaml": "nothere.yaml: there is no such configuration file",
    "fit --config twice.yaml": "twice.yaml: line 3: the key 'trainer' is given twice",
}
#: Run all commands in one process and print the modules that each command imports first.
ALL_COMMANDS = """
import contextlib, io, json, shlex, sys
from spike_zoo.cli.main import main
outcomes = {}
for command in sys.argv[1:]:
    before = set(sys.modules)
    with contextlib.redirect_stderr(io.StringIO()) as error:
        code = main(shlex.split(command))
    outcomes[command] = code, error.getvalue(), sorted(sys.modules.keys() - before)
print(json.dumps(outcomes))
"""
SWEEP = """
name: mistaken
method: grid
parameters: {config: {value: nothere.yaml}}
command: ["${interpreter}", "-m", "spike_zoo", "fit", "${args}", "--config",
          "configs/profiles/${envvar:PROFILE}.yaml", "--run_dir=runs/{variant}"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording, an archive, and a table of one run."""
    folder = tmp_path_factory.mktemp("startup")
    spikes = np.random.default_rng(0).random((30, 8, 16)) < 0.3
    for suffix in (".dat", ".npz", ".spl"):
        recording = SpikeRecording.from_planes(spikes, rate_scale=0.6)
        write_recording(recording, folder / f"street{suffix}")
    (folder / "street.sci").write_bytes(
        bitstream(small_header(1), [encode_symbols(random_symbols(9))])
    )
    write_archive(folder / "takes.h5")
    write_spec(folder)
    make_run("full", 31.0).result.write(folder / "results" / "full-0" / "result.json")
    save_picture(np.zeros((3, 32, 60)), folder / "small.png")
    save_picture(np.zeros((3, 32, 64)), folder / "large.png")
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    (folder / "twice.yaml").write_text("trainer: {}\nmodel: {}\ntrainer: {}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, tuple[int, str, list[str]]]:
    """Exit code, message and loaded modules after each command that cannot succeed."""
    with contextlib.chdir(folder):
        process = run_python(ALL_COMMANDS, *MISTAKES)
    assert process.returncode == 0, process.stderr
    results: dict[str, tuple[int, str, list[str]]] = json.loads(process.stdout)
    return results


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("--help", set()),
        ("info street.dat --height 8 --width 16", set()),
        ("info street.sci", set()),
        ("info street.spl", set()),
        ("archive info takes.h5", set()),
        ("table table.yaml", {"pandas", "scipy"}),  # means; significance tests
        (
            "reconstruct street.dat --height 8 --width 16 --method tfi --out a.png",
            {"torch"},  # one image needs no compiled code
        ),
        ("compress street.npz --lossless --out new.spl", {"numba", "scipy"}),
        ("decompress street.spl --out new.npz", {"numba", "scipy"}),
        ("doctor", {"torch"}),
        *((f"{name} --help", set()) for name in (*TRAINER_VERBS, *COMMANDS, "archive build")),
    ],
)
def test_a_command_loads_no_library_that_it_does_not_need(
    command: str, needed: set[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    process = run_python(COMMAND, *shlex.split(command))
    assert process.returncode == 0, process.stderr
    loaded = process.stdout.rpartition("loaded: ")[2].split()
    assert "spike_zoo.cli.main" in loaded
    assert HEAVY & set(loaded) <= needed


@pytest.mark.parametrize("command", MISTAKES)
def test_arguments_and_files_are_checked_before_a_large_library_is_loaded(
    command: str, outcomes: dict[str, tuple[int, str, list[str]]]
) -> None:
    code, error, loaded = outcomes[command]
    assert code in (1, 2)
    assert MISTAKES[command] in error
    assert not HEAVY & set(loaded) - {"jinja2", "pandas"}
