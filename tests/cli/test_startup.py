"""A command loads the libraries that it needs and no others: nobody waits for a trainer's."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.cli.main import COMMANDS
from spike_zoo.cli.verbs import TRAINER_VERBS
from tests.helpers.archives import write_archive
from tests.helpers.bitstreams import bitstream, coded, random_symbols, small_header
from tests.helpers.processes import run_python
from tests.helpers.tables import make_run, write_spec

if TYPE_CHECKING:
    from pathlib import Path

#: Each of these takes a tenth of a second and more to load, most of them seconds.
HEAVY = {
    *("torch", "lightning", "torchmetrics", "torchvision", "kornia", "wandb"),
    *("jinja2", "av", "scipy", "numba", "skimage"),
}
COMMAND = """
import sys
from spike_zoo.cli.main import main
code = main(sys.argv[1:])
print("loaded:", *sys.modules)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording, an archive, and a table of one run."""
    folder = tmp_path_factory.mktemp("startup")
    spikes = np.random.default_rng(0).random((30, 8, 16)) < 0.3
    for suffix in (".dat", ".npz", ".spl"):
        recording = SpikeRecording.from_planes(spikes, rate_scale=0.6)
        write_recording(recording, folder / f"street{suffix}")
    (folder / "street.sci").write_bytes(bitstream(small_header(1), [coded(random_symbols(9))]))
    write_archive(folder / "takes.h5")
    write_spec(folder)
    make_run("full", 31.0).result.write(folder / "results" / "full-0" / "result.json")
    return folder


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("--help", set()),
        ("info street.dat --height 8 --width 16", set()),
        ("info street.sci", set()),
        ("info street.spl", set()),
        ("archive info takes.h5", set()),
        ("table table.yaml", {"jinja2"}),  # one of its three forms is a page
        (
            "reconstruct street.dat --height 8 --width 16 --method tfi --out a.png",
            {"torch", "numba", "scipy"},  # numba loads scipy
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
    done = run_python(COMMAND, *shlex.split(command))
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.rpartition("loaded: ")[2].split()
    assert "spike_zoo.cli.main" in loaded
    assert HEAVY & set(loaded) <= needed
