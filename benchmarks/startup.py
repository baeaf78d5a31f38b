"""How long a person waits before anything happens: importing, --help, a first picture."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.row import Row, alternate
from spike_zoo.formats import write_recording
from spike_zoo.spikes import SpikeRecording


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def rows() -> list[Row]:
    """Measure whole processes, beside the interpreter's own start and that of torch."""
    with tempfile.TemporaryDirectory() as folder:
        recording, picture = Path(folder, "street.npz"), Path(folder, "street.png")
        spikes = np.random.default_rng(0).random((301, 250, 400)) < 0.2
        write_recording(SpikeRecording.from_planes(spikes, rate_scale=0.6), recording)
        reconstruct = ("reconstruct", str(recording), "--out", str(picture), "--overwrite", "true")
        bare, imported, helped, torch, shown = alternate(
            [
                partial(_run, "-c", "pass"),
                partial(_run, "-c", "import spike_zoo"),
                partial(_run, "-m", "spike_zoo", "--help"),
                partial(_run, "-c", "import torch"),
                partial(_run, "-m", "spike_zoo", *reconstruct, "--method", "tfi"),
            ],
            repeats=9,
        )
    return [
        Row("import spike_zoo, beyond python's start", imported - bare, "s", goal=0.3),
        Row("python -m spike_zoo --help, whole process", helped, "s", goal=1.0),
        Row("reconstruct --method tfi, one picture", shown, "s", torch, "import torch", 1.3),
    ]
