"""SCI compared with straightforward implementations of its parts."""

from __future__ import annotations

from benchmarks.row import Row, alternate
from benchmarks.sci_calls import (
    GROUPS,
    TAPS,
    analysis_step,
    extraction_step,
    forward_and_backward,
    image,
)
from benchmarks.sci_memory import CHANNELS, SIDE, peak_bytes
from benchmarks.stir_calls import THREADS
from spike_zoo.nn.threads import torch_threads

BATCH, TRAINED, CROPS = 8, 32, (64, 32)  # two targets with four neighbours each, at both scales
TRAINING_GOAL, IMAGE_GOAL = 2.0, 2.0
REPEATS = 15  # the first measurements here are of milliseconds


def rows() -> list[Row]:
    """Return speed and memory of deformable convolutions, on one thread and on two."""
    results = []
    for count in (1, THREADS):
        with torch_threads(count):
            results += [*(_training(count, side) for side in CROPS), _image(count)]
    with torch_threads(1):
        results += _steps()
    return [*results, _memory()]


def _steps() -> list[Row]:
    """Measure training steps of FEM, and of FAM compared with the reference convolutions."""
    (extraction,) = alternate([extraction_step(0.5, 4, 96)])
    ours, reference = alternate([analysis_step(who, 0.5, 2, 64) for who in ("ours", "reference")])
    name = "training step of FAM at half the width, 2x64x64, 1 thread"
    return [
        Row("training step of FEM at half the width, 4x96x96, 1 thread", extraction, "s"),
        Row(name, ours, "s", reference, "a sampler for each tap"),
    ]


def _training(count: int, side: int) -> Row:
    calls = [forward_and_backward(who, BATCH, TRAINED, side) for who in ("ours", "reference")]
    ours, reference = alternate(calls, REPEATS)
    name = f"deformable convolution with gradients {BATCH}x{TRAINED}x{side}x{side}, {count} threads"
    limit = "a sampler for each tap"
    return Row(name, 1 / ours, "per s", 1 / reference, limit, TRAINING_GOAL, at_least=True)


def _image(count: int) -> Row:
    calls = [image(who, CHANNELS, SIDE) for who in ("ours", "reference")]
    ours, reference = alternate(calls, REPEATS)
    name = f"deformable convolution 1x{CHANNELS}x{SIDE}x{SIDE}, {count} threads"
    limit = "a sampler for each tap"
    return Row(name, 1 / ours, "per s", 1 / reference, limit, IMAGE_GOAL, at_least=True)


def _memory() -> Row:
    """Measure memory apart from the arguments; the limit is offsets, masks and 3 results."""
    bound = 4 * SIDE**2 * (3 * GROUPS * TAPS + 3 * CHANNELS)
    name = f"deformable convolution peak memory 1x{CHANNELS}x{SIDE}x{SIDE}"
    limit = "offsets, masks and 3 outputs"
    return Row(name, peak_bytes("ours") / 1e6, "MB", bound / 1e6, limit, 1.0)
