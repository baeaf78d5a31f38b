"""STIR's latency on a GPU compared with the published latency, and the time of training steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml

from benchmarks.row import Row, alternate
from benchmarks.ssdm import our_step
from benchmarks.stir_calls import forward_pass, training_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
FRAME = (720, 1280)
STUDENT = (16, 96)  # exposures, and the side of their spikes: whole frames of the default archive
PUBLISHED = 19.0  # ms, +- 1, read off the figure of STIR's project page; hardware not stated
BUDGET = 25.0  # minutes
REPEATS = 10


def rows() -> list[Row]:
    """Return latencies, training step times, and the time of the rows with claims at that speed.

    Raises:
        SystemExit: Without a GPU.
    """
    if not torch.cuda.is_available():
        raise SystemExit(
            "gpu: PyTorch sees no GPU here, and on a processor these figures say nothing"
        )
    variants, updates, clips = rows_with_claims()
    return measured("cuda", FRAME, clips, STUDENT, variants * updates)


def rows_with_claims() -> tuple[int, int, tuple[int, int]]:
    """Return the number of rows with claims, their updates, batch size and crop."""
    files = (
        "experiments/stir/sweep_gpu",
        "experiments/stir/profiles/gpu/rows",
        "configs/profiles/gpu",
    )
    sweep, own, profile = (yaml.safe_load((ROOT / f"{name}.yaml").read_text()) for name in files)
    data = profile["data"]["init_args"]
    updates = own["trainer"]["max_epochs"] * data["samples_per_epoch"] // data["batch_size"]
    variants = len(sweep["parameters"]["config"]["values"])
    return variants, updates, (data["batch_size"], data["crop"])


def measured(
    device: str,
    frame: tuple[int, int],
    clips: tuple[int, int],
    student: tuple[int, int],
    updates: int,
) -> list[Row]:
    """Return the measurements of a device.

    Args:
        device: Where everything is computed.
        frame: Height and width of STIR's clip.
        clips: Batch and crop of STIR's training step.
        student: Batch of S-SDM's student, and the side of its spikes.
        updates: Training steps of all rows of STIR with claims.
    """
    exact, coarse, step, coarse_step, student_step = alternate(
        [
            _finished(forward_pass("ours", torch.float32, *frame, device), device),
            _finished(forward_pass("ours", torch.bfloat16, *frame, device), device),
            _finished(training_step("ours", torch.float32, *clips, device), device),
            _finished(training_step("ours", torch.bfloat16, *clips, device), device),
            _finished(our_step(torch.float32, *student, device), device),
        ],
        REPEATS,
    )
    forward, training = f"STIR forward 1x61x{frame[0]}x{frame[1]}", "STIR training step {}x61x{}x{}"
    training = training.format(*clips, clips[1])
    return [
        Row(f"{forward}, float32", 1e3 * exact, "ms", PUBLISHED, "published"),
        Row(f"{forward}, bf16", 1e3 * coarse, "ms", PUBLISHED, "published"),
        Row(f"{training}, float32", 1e3 * step, "ms"),
        Row(f"{training}, bf16", 1e3 * coarse_step, "ms"),
        Row(f"S-SDM student's training step of {student[0]}, float32", 1e3 * student_step, "ms"),
        Row(
            f"STIR's rows with the paper's claims, {updates} updates",
            updates * step / 60,
            "min",
            goal=BUDGET,
        ),
    ]


def _finished(call: Callable[[], Tensor], device: str) -> Callable[[], None]:
    """Return a call that waits until the device has finished."""

    def run() -> None:
        call()
        if device == "cuda":
            torch.cuda.synchronize()

    return run
