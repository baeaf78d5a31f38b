"""STIR compared with a straightforward implementation, and with a matrix product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import spike_zoo
from benchmarks.classical import moving_recording
from benchmarks.row import Row, alternate, rate_row
from benchmarks.stir_calls import THREADS, forward_pass, training_step
from benchmarks.stir_memory import What, peak_bytes
from spike_zoo.errors import SpikeZooError
from spike_zoo.methods.stir import STIRModule
from spike_zoo.methods.stir.streaming import Precision
from spike_zoo.metrics import psnr
from spike_zoo.nn.threads import torch_threads
from spike_zoo.simulation import default_scenes, simulate_take
from spike_zoo.spikes import SpikeRecording

SIDE, CROP, BATCHES = 256, 96, (2, 4)
FLOAT32_GOAL = 1.1  # both
FORWARD_BF16_GOAL, STEP_BF16_GOAL = 2.0, 1.6  # against the reference in float32
STREAM_GOAL, STRIDE, WINDOWS = 1.07, 20, 10
PSNR_LOSS_GOAL = 0.02  # dB
WEIGHTS = "stir"
IMAGE_GOALS: Mapping[Precision, float] = {"32": 0.85, "bf16": 0.45}  # seconds
PRODUCT_SIDE = 2048


def rows() -> list[Row]:
    """Return speed, memory and precision, on two threads."""
    with torch_threads(THREADS):
        speeds = [*_forward(), *(row for batch in BATCHES for row in _step(batch)), _stream()]
        return [*speeds, *_images(), _memory("forward"), _memory("step"), _psnr_lost()]


def _forward() -> list[Row]:
    calls = [
        forward_pass("ours", torch.float32, SIDE, SIDE),
        forward_pass("ours", torch.bfloat16, SIDE, SIDE),
        forward_pass("reference", torch.float32, SIDE, SIDE),
        matrix_product(torch.float32),
        matrix_product(torch.bfloat16),
    ]
    exact, coarse, reference, exact_product, coarse_product = alternate(calls)
    name = f"STIR forward 1x61x{SIDE}x{SIDE}"
    count = _operations(calls[0])
    return [
        rate_row(f"{name}, float32", exact, reference, FLOAT32_GOAL),
        rate_row(f"{name}, bf16", coarse, reference, FORWARD_BF16_GOAL),
        _throughput(f"{name}, float32", count / exact, exact_product),
        _throughput(f"{name}, bf16", count / coarse, coarse_product),
    ]


def _step(batch: int) -> list[Row]:
    exact, coarse, reference = alternate(
        [
            training_step("ours", torch.float32, batch, CROP),
            training_step("ours", torch.bfloat16, batch, CROP),
            training_step("reference", torch.float32, batch, CROP),
        ]
    )
    name = f"STIR training step {batch}x61x{CROP}x{CROP}"
    return [
        rate_row(f"{name}, float32", exact, reference, FLOAT32_GOAL),
        rate_row(f"{name}, bf16", coarse, reference, STEP_BF16_GOAL),
    ]


def _stream() -> Row:
    """Measure a video at stride 20 that encodes blocks once, compared with separate windows."""
    planes = STRIDE * (WINDOWS + 3)
    spikes = np.random.default_rng(0).random((planes, SIDE, SIDE)) < 0.3
    recording = SpikeRecording.from_planes(spikes, rate_scale=0.6)
    module, centers = STIRModule().eval(), range(30, 30 + STRIDE * WINDOWS, STRIDE)

    def shared() -> list[Tensor]:
        return list(module.reconstruct_stream(recording, centers))

    def apart() -> list[Tensor]:
        return [module.reconstruct(recording, [center]) for center in centers]

    together, alone = alternate([shared, apart], 3)
    name = f"STIR video {SIDE}x{SIDE}, every {STRIDE}th plane, float32"
    limit = WINDOWS / alone
    goal = STREAM_GOAL
    return Row(name, WINDOWS / together, "images/s", limit, "window by window", goal, at_least=True)


def _images() -> list[Row]:
    """Measure an image of the shipped weights ``stir-aligned`` on one thread."""
    results = []
    module = cast("STIRModule", spike_zoo.load("stir-aligned")).eval()
    recording = moving_recording(250, 400)
    with torch_threads(1):
        for precision, goal in IMAGE_GOALS.items():
            module.precision = precision
            (duration,) = alternate(
                [lambda: module.reconstruct(recording, [len(recording) // 2])], 3
            )
            results.append(
                Row(f"stir-aligned, one image of 250x400, {precision}", duration, "s", goal=goal)
            )
    return results


def _memory(what: What) -> Row:
    ours, reference = peak_bytes("ours", what), peak_bytes("reference", what)
    name = f"STIR peak memory, {what}, float32"
    return Row(name, ours / 1e6, "MB", reference / 1e6, "reference", 1.0)


def _psnr_lost() -> Row:
    """Measure the loss of PSNR by bf16 on simulated test scenes."""
    try:
        module = spike_zoo.load(WEIGHTS)
    except SpikeZooError:
        needed = f"PSNR lost by bf16: needs trained weights {WEIGHTS} in spike_zoo/weights"
        return Row(needed, float("nan"), "dB")
    if not isinstance(module, STIRModule):
        raise TypeError(f"{WEIGHTS} is not STIR")
    lost = [psnr_of(module, "32", index) - psnr_of(module, "bf16", index) for index in range(8)]
    return Row(f"PSNR lost by bf16, {WEIGHTS}", float(np.mean(lost)), "dB", goal=PSNR_LOSS_GOAL)


def psnr_of(module: STIRModule, precision: Precision, index: int) -> float:
    """Return the mean PSNR of one simulated test scene."""
    module.precision = precision
    take = simulate_take(default_scenes("test", index + 1)[index], image_stride=25)
    if take.images is None or take.image_index is None:
        raise ValueError("a simulated take has images")
    wanted = torch.from_numpy(take.images)[:, None] / 255
    return float(psnr(module.reconstruct(take.recording, take.image_index.tolist()), wanted).mean())


def matrix_product(dtype: torch.dtype) -> Callable[[], Tensor]:
    """Return a square matrix product, which reaches the peak speed of the threads."""
    a = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE).to(dtype)
    b = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE).to(dtype)
    return lambda: a @ b


def _throughput(name: str, rate: float, product_seconds: float) -> Row:
    limit = 2 * PRODUCT_SIDE**3 / product_seconds / 1e9
    return Row(f"{name}, throughput", rate / 1e9, "GFLOP/s", limit, "matrix product", at_least=True)


def _operations(call: Callable[[], Tensor]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
