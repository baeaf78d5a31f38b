"""S-SDM compared with a straightforward implementation of the same networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.row import Row, alternate, rate_row
from benchmarks.ssdm_reference import (
    ReferenceBSN,
    ReferenceEDSR,
    ReferenceLDN,
    reference_labels,
    reference_loss,
    reference_sequence,
)
from benchmarks.stir_calls import THREADS, autocast
from spike_zoo.methods.ssdm import BSN, EDSR, LDN, SSDMTeacher
from spike_zoo.methods.ssdm.losses import DistillationLoss, make_distance
from spike_zoo.methods.ssdm.module import windows_around
from spike_zoo.nn.threads import torch_threads
from spike_zoo.spikes.windows import spread_planes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PLANES, SPAN = 137, (20, 117)
FRAME = (180, 320)  # of the spikes; images are four times as large
TEACHER_SIDE, CROP, BATCH = 64, 128, 4
TIMES, SEQUENCE = spread_planes(*SPAN, 5), spread_planes(*SPAN, 7)
REBLUR = 25.0
FORWARD_GOAL, SEQUENCE_GOAL, TEACHER_GOAL, STEP_GOAL = 1.3, 1.4, 1.3, 1.2  # float32
BF16_GOAL = 1.5  # a step, against the reference in float32
STEP_REPEATS = 2  # half a minute each


def rows() -> list[Row]:
    """Return forward pass, sequence, teacher and training step, on two threads."""
    with torch_threads(THREADS):
        return [_forward(), _sequence(), _teacher(), *_step()]


def exposure(batch: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return random blurry images and their spikes."""
    generator = torch.Generator().manual_seed(0)
    blur = torch.rand(batch, 3, 4 * height, 4 * width, generator=generator)
    spikes = torch.rand(batch, PLANES, height, width, generator=generator) < 0.5
    return blur, spikes.float()


def _forward() -> Row:
    blur, spikes = exposure(1, *FRAME)
    window = spikes[:, 58:79]
    ours, reference = LDN().eval(), ReferenceLDN().eval()
    calls = [without_gradient(lambda: ours(blur, window))]
    calls += [without_gradient(lambda: reference(blur, window))]
    seconds, limit = alternate(calls)
    return rate_row("S-SDM LDN forward 720x1280, float32", seconds, limit, FORWARD_GOAL)


def _sequence() -> Row:
    blur, spikes = exposure(1, *FRAME)
    ours, reference = LDN().eval(), ReferenceLDN().eval()

    def encoded_once() -> list[Tensor]:
        encoded = ours.encode_blur(blur)
        return [ours.decode(encoded, windows_around(spikes, [time], 21)) for time in SEQUENCE]

    def apart() -> Tensor:
        return reference_sequence(reference, blur, spikes, SEQUENCE)

    seconds, limit = alternate([without_gradient(encoded_once), without_gradient(apart)], 3)
    return rate_row("S-SDM sequence of 7 at 720x1280, float32", seconds, limit, SEQUENCE_GOAL)


def _teacher() -> Row:
    blur, spikes = exposure(1, TEACHER_SIDE, TEACHER_SIDE)
    ours = SSDMTeacher(BSN(), EDSR()).eval()
    bsn, edsr = ReferenceBSN().eval(), ReferenceEDSR().eval()
    calls = [
        without_gradient(lambda: ours(blur, spikes, TIMES, SPAN)),
        without_gradient(lambda: reference_labels(bsn, edsr, blur, spikes, TIMES)),
    ]
    name = "S-SDM teacher at 5 times, 256x256, float32"
    seconds, limit = alternate(calls)
    return rate_row(name, seconds, limit, TEACHER_GOAL)


def _step() -> list[Row]:
    calls = [our_step(torch.float32), our_step(torch.bfloat16), reference_step()]
    exact, coarse, reference = alternate(calls, STEP_REPEATS)
    name = f"S-SDM student's training step {BATCH}x{4 * CROP}x{4 * CROP}, 5 times"
    return [
        rate_row(f"{name}, float32", exact, reference, STEP_GOAL),
        rate_row(f"{name}, bf16", coarse, reference, BF16_GOAL),
    ]


def our_step(
    dtype: torch.dtype, batch: int = BATCH, crop: int = CROP, device: str = "cpu"
) -> Callable[[], Tensor]:
    """Return a training step: teacher labels, five time steps in one pass, Adam."""
    blur, spikes = (part.to(device) for part in exposure(batch, crop, crop))
    network, teacher = LDN().to(device), SSDMTeacher(BSN(), EDSR()).eval().to(device)
    loss = DistillationLoss(make_distance("charbonnier"), 1.0, REBLUR)
    on_gpu = device == "cuda"
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-6, capturable=on_gpu)

    def run() -> Tensor:
        with autocast(dtype, device):
            windows = windows_around(spikes, TIMES, network.window_length)
            predictions = network.decode(network.encode_blur(blur), windows)
            labels = teacher(blur, spikes, TIMES, SPAN)
            total = loss(blur, labels, predictions)["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total

    return run


def reference_step() -> Callable[[], Tensor]:
    """Return the same training step, one time step after another."""
    blur, spikes = exposure(BATCH, CROP, CROP)
    network, bsn, edsr = ReferenceLDN(), ReferenceBSN().eval(), ReferenceEDSR().eval()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)

    def run() -> Tensor:
        labels = reference_labels(bsn, edsr, blur, spikes, TIMES)
        predictions = reference_sequence(network, blur, spikes, TIMES)
        total = reference_loss(blur, labels, predictions, REBLUR)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total

    return run


def without_gradient(call: Callable[[], object]) -> Callable[[], object]:
    """Return a call without gradients."""

    def run() -> object:
        with torch.inference_mode():
            return call()

    return run
