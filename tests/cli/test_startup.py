"""Tests that commands import only the libraries that they need."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.cli.main import COMMANDS
from spike_zoo.cli.trainer_commands import TRAINER_VERBS
from spike_zoo.media import save_image
from tests.helpers.archives import write_archive
from tests.helpers.bitstreams import bitstream, encode_symbols, random_symbols, small_header
from tests.helpers.processes import run_python
from tests.helpers.tables import make_run, write_spec

if TYPE_CHECKING:
    from pathlib import Path

#: Libraries that take at least 0.1 s to import, most of them seconds.
HEAVY = {
    *("torch", "lightning", "torchmetrics", "torchvision", "kornia", "wandb"),
    *("jinja2", "av", "scipy", "numba", "skimage", "matplotlib", "pandas"),
}
LIGHT = (
    *("--help", "info street.dat --height 8 --width 16", "info street.sci", "info street.spl"),
    "archive info takes.h5",
    *(f"{name} --help" for name in (*TRAINER_VERBS, *COMMANDS, "archive build")),
)
#: A command that cannot succeed -> a part of its message.
MISTAKES = {
    "reconstruct nothere.npz --out new.png": "nothere.npz: there is no such file",
    "reconstruct street.npz --method tfii --out new.png": "tfii: neither a file nor a shipped",
    "reconstruct street.npz": "--out must be given",
    "reconstruct street.npz --out new.gif": ".gif is not written here; give X.mp4, X.png or a",
    "reconstruct street.npz --center 99 --out new.png": "street.npz: --center 99: it has",
    "reconstruct street.npz --center 3 --out new.mp4": "--center 3 makes one image: give --out",
    "reconstruct street.npz --stride 3 --out new.png": "--stride 3 makes several images: give a",
    "reconstruct street.npz --stride 0 --out new.mp4": "--stride 0: must be above 0",
    "reconstruct street.npz --window x --out new.png": "--window x: expected an integer",
    "reconstruct street.npz --start 9 --stop 9 --out new.png": "street.npz: planes 9 to 9 (--start",
    "reconstruct street.npz --start 9 --center 20 --out new.png": "--center 20 with --start or",
    "reconstruct street.npz --fps 0 --out new.mp4": "--fps 0",
    "reconstruct street.npz --fps 9 --out new.png": "--fps 9: only a video has a frame rate",
    "reconstruct street.npz --stride 5 --stride 0 --out new": "--stride 0: must be above 0",
    "reconstruct street.npz --rate-scale 0 --out new.png": "--rate-scale 0",
    "reconstruct street.npz --precision 64 --out new.png": "--precision 64: expected one of '32'",
    "reconstruct street.dat --rotate 45 --out new.png": "--rotate 45: expected one of 0, 90, 180",
    "reconstruct street.npz --overwrite=maybe --out new.png": "--overwrite maybe: expected true or",
    "classify nothere.npz --method sci-mnist": "nothere.npz: there is no such file",
    "classify street.npz --method nothere.ckpt": "nothere.ckpt: neither a file nor a shipped",
    "classify street.npz --method . ": ".: this folder holds no model.safetensors",
    "deblur nothere.png street.npz --out new.png": "nothere.png: there is no such blurry image",
    "deblur small.png street.npz --out new.png": "4 times as wide and high, 64 x 32",
    "deblur large.png street.dat --height 9 --width 16 --out new.png": "not a whole number",
    "deblur large.png street.npz --out new.png": "large.png with street.npz: the exposure (from",
    "deblur large.png street.npz --frames 7 --out new.png": "--frames 7 are several images",
    "deblur large.png street.npz --exposure-start -1 --out new": "--exposure-start -1: must be at",
    "deblur large.png street.npz --method no.pth --out new": "no.pth",
    "deblur . street.npz --out new": "or a folder with a folder",
    "deblur large.png . --out new": "give one image with one recording",
    "deblur results results --out new": "no image (.png",
    "deblur images clips --out new.png": "a folder of images does not fit into one image",
    "compress nothere.npz --out new.sci": "nothere.npz: there is no such file",
    "compress street.npz --method nothere.ckpt --out new.sci": "nothere.ckpt: neither a file nor a",
    "compress street.npz --out new.avi": "give X.sci for features of a method, X.spl for every",
    "compress street.npz --start 99 --out new.spl": "street.npz: planes 99 to 30 (--start, --stop)",
    "compress street.npz --quality 4 --out new.sci": "--quality 4: must be at least 0 and at most",
    "compress street.npz --crf 20 --out new.sci": "--crf 20: does not apply to X.sci",
    "compress street.npz --crf 64 --out new.mp4": "--crf 64: must be 0 to 63 for av1",
    "compress street.npz --quality 0 --out new.mp4": "--quality 0: does not apply to X.mp4",
    "compress street.npz --method sci --out new.spl": "--method sci: does not apply to X.spl",
    "compress street.npz --device cpu --out new.spl": "--device cpu: does not apply to X.spl",
    "compress street.npz --trust --out new.spl": "--trust True: does not apply to X.spl",
    "decompress nothere.sci --out new.mp4": "nothere.sci: there is no such file",
    "decompress street.sci --method nothere.ckpt --out new.mp4": "nothere.ckpt: neither a file nor",
    "decompress street.sci --out new.png": "give X.mp4, X.npz or a folder",
    "decompress street.spl --out new.mp4": "give X.dat, X.npz, X.npy or X.h5 (for images",
    "decompress street.spl --out folder": "--out folder: ",
    "decompress street.spl --method sci --out new.npz": "--method sci: street.spl is decoded with",
    "decompress street.spl --trust --out new.npz": "--trust True: ",
    "decompress street.mp4 --salvage --out new": "--salvage: does not apply to a video",
    "calibrate street.npz street.npz --out new/": "--out new/: give X.yaml",
    "simulate --noise nothere.yaml": "--noise nothere.yaml: there is no such camera file",
    "info nothere.npz": "nothere.npz: there is no such file",
    "report nothere.npz": "nothere.npz: there is no such file or folder",
    "report street.dat": "--height and --width",
    "report loop.npz --out new.html": "loop.npz: ",
    "decompress pipe.sci --out new.mp4": "pipe.sci: no regular file",
    "decompress pipe.spl --out new.npz": "pipe.spl: no regular file",
    "simulate --noise pipe.yaml": "--noise pipe.yaml: there is no such camera file",
    "report street.npz --center 99": "the report of street.npz shows planes 0..29",
    "report street.npz --center 3 --start 5": "the report of street.npz shows planes 5..29",
    "report street.npz --start 9 --stop 9": "street.npz: planes 9 to 9 (--start, --stop): the",
    "report street.npz --methods tfii:average=9": "tfii: neither a file nor a shipped method",
    "report street.npz --out new.pdf": "a report is written as .html",
    "archive build street.npz there.h5": "there.h5 exists",
    "archive export takes.h5 there.npz --name take0": "there.npz exists",
    "calibrate street.npz street.npz --out there.yaml": "there.yaml exists",
    "compress street.npz --method sci --out there.sci": "there.sci exists",
    "compress street.npz --out there.mp4": "there.mp4 exists",
    "compress street.npz --out there.spl": "there.spl exists",
    "deblur large.png street.npz --method no.pth --out there.png": "there.png exists",
    "decompress street.sci --out there.npz": "there.npz exists",
    "decompress street.spl --out there.npz": "there.npz exists",
    "export tfi there.safetensors": "there.safetensors exists",
    "reconstruct street.npz --out there.png": "there.png exists",
    "report street.npz --out there.html": "there.html exists",
    "compare nothere": "nothere: no result.json",
    "compare nothere --methods tfii": "--methods tfii: no such configuration",
    "table nothere.yaml": "nothere.yaml: there is no such table file",
    "sweep nothere.yaml": "nothere.yaml: there is no such sweep file",
    "sweep sweep.yaml --profile nothere": "nothere.yaml: there is no such profile",
    "sweep sweep.yaml": "nothere.yaml: there is no such configuration file",
    "score nothere.png --niqe x": "nothere.png: there is no such image or folder",
    "score results --niqe x": "results: the folder contains no image",
    "export nothere.ckpt new.safetensors": "nothere.ckpt: neither a file nor a shipped method",
    "export tfi new.bin": ".bin is not written here",
    "live street.npz --port 0": "--port 0: must be at least 1 and at most 65535",
    "live street.npz --fps 0": "--fps 0: must be at least 0.001 and at most 1000",
    "simulate --video nothere.mp4": "--video nothere.mp4: there is no such video or folder",
    "simulate --kind s-mnist --images nothere": "--images nothere: there is no such folder",
    "simulate --images . --video street.dat": "does not go with --video",
    "simulate --inserted 3": "--interpolation and --inserted go with --video",
    "simulate --jobs -1": "--jobs -1: must be at least 0",
    "archive build nothere new.h5": "nothere: there is no such",
    "archive build street.npz new.dat": "new.dat: the suffix of an archive must be",
    "archive build street.npz new.h5 --split Trian": "--split Trian: did you mean train",
    "archive build street.npz new.h5 --layout reds": "--layout reds: expected one of 'auto'",
    "archive info nothere.h5": "nothere.h5",
    "archive verify nothere.h5": "nothere.h5",
    "archive export takes.h5 new.txt": "new.txt: .txt is not written here; ",
    "configs --copy nothere": "--copy nothere: no such configuration",
    "configs --copy profiles/smok": "Did you mean 'profiles/smoke'?",
    "fit --config nothere.yaml": "nothere.yaml: there is no such configuration file",
    "fit --config twice.yaml": "twice.yaml: line 3: the key 'trainer' is given twice",
}
#: Run all commands in one process and print the modules that each command imports first.
COMMANDS_IN_PROCESS = """
import contextlib, io, json, shlex, sys
outcomes = {}
for command in sys.argv[1:]:
    before = set(sys.modules)
    from spike_zoo.cli.main import main
    output = contextlib.redirect_stdout(io.StringIO())
    with contextlib.redirect_stderr(io.StringIO()) as error, output:
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
    save_image(np.zeros((3, 32, 60)), folder / "small.png")
    save_image(np.zeros((3, 32, 64)), folder / "large.png")
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    save_image(np.zeros((3, 32, 64)), folder / "images" / "street.png")
    write_recording(recording, folder / "clips" / "street.npz")
    longer = np.random.default_rng(1).random((41, 16, 16)) < 0.3
    write_recording(SpikeRecording.from_planes(longer, rate_scale=0.6), folder / "clip.npz")
    for suffix in ("h5", "html", "mp4", "npz", "png", "safetensors", "sci", "spl", "yaml"):
        (folder / f"there.{suffix}").write_text("mine", encoding="utf-8")
    (folder / "loop.npz").symlink_to("loop.npz")
    for suffix in ("sci", "spl", "yaml"):
        os.mkfifo(folder / f"pipe.{suffix}")
    (folder / "twice.yaml").write_text("trainer: {}\nmodel: {}\ntrainer: {}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, tuple[int, str, list[str]]]:
    """Exit code, message and loaded modules of light commands, and of those that cannot succeed."""
    before = sorted(folder.rglob("*"))
    with contextlib.chdir(folder):
        process = run_python(COMMANDS_IN_PROCESS, *LIGHT, *MISTAKES)
    assert process.returncode == 0, process.stderr
    assert sorted(folder.rglob("*")) == before, "no file is written"
    assert {path.read_text(encoding="utf-8") for path in folder.glob("there.*")} == {"mine"}
    results: dict[str, tuple[int, str, list[str]]] = json.loads(process.stdout)
    return results


@pytest.mark.parametrize("command", LIGHT)
def test_a_light_command_loads_no_large_library(
    command: str, outcomes: dict[str, tuple[int, str, list[str]]]
) -> None:
    code, _, loaded = outcomes[command]
    assert code == 0
    assert not HEAVY & set(loaded)


#: Commands of one process -> the libraries that each may load in addition to those before it.
LOADING: tuple[dict[str, set[str]], ...] = (
    {"table table.yaml": {"pandas", "scipy"}},  # means; significance tests
    {
        "reconstruct street.dat --height 8 --width 16 --method tfi --out made.png": {"torch"},
        "classify clip.npz --method sci-mnist": set(),
        "doctor": set(),
        "reconstruct clip.npz --method sci --out made-sci.png": {"kornia"},
        "compress clip.npz --out made.sci": {"numba", "scipy"},
        "decompress made.sci --out made-features.npz": {"numba", "scipy"},
    },
    {
        "compress street.npz --out made.spl": {"numba", "scipy"},
        "decompress street.spl --out made.npz": {"numba", "scipy"},
        "reconstruct clip.npz --method plain --out made-plain.png": {"torch"},
        "reconstruct clip.npz --method fused --out made-fused.png": {"torch"},
    },
)


@pytest.mark.parametrize("commands", LOADING, ids=("table", "networks", "compiled code"))
def test_a_command_loads_no_library_that_it_does_not_need(
    commands: dict[str, set[str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    process = run_python(COMMANDS_IN_PROCESS, *commands)
    assert process.returncode == 0, process.stderr
    for command, (code, error, loaded) in json.loads(process.stdout).items():
        assert code == 0, error
        assert HEAVY & set(loaded) <= commands[command], command


@pytest.mark.parametrize("command", MISTAKES)
def test_arguments_and_files_are_checked_before_a_large_library_is_loaded(
    command: str, outcomes: dict[str, tuple[int, str, list[str]]]
) -> None:
    code, error, loaded = outcomes[command]
    assert code in (1, 2)
    assert MISTAKES[command] in error
    assert not HEAVY & set(loaded) - {"jinja2"}
