"""Timed calls of STIR: forward pass and training step, of the package and of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from benchmarks.stir_reference import ReferenceSTIR, reference_loss
from spike_zoo.methods.stir import STIR
from spike_zoo.methods.stir.losses import STIRLoss
from spike_zoo.nn.optimizers import adam

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

THREADS = 2
Who = Literal["ours", "reference"]


def forward_pass(
    who: Who, dtype: torch.dtype, height: int, width: int, device: str = "cpu"
) -> Callable[[], Tensor]:
    """Return a reconstruction of one random clip, in float32, float16, or bf16 by autocast."""
    network = (STIR() if who == "ours" else ReferenceSTIR()).eval().to(device)
    spikes = random_spikes(1, height, width).to(device)
    if dtype is torch.float16:
        network, spikes = network.half(), spikes.half()

    def run() -> Tensor:
        with torch.inference_mode(), autocast(dtype, device):
            return network(spikes)

    return run


def training_step(
    who: Who, dtype: torch.dtype, batch: int, side: int, device: str = "cpu"
) -> Callable[[], Tensor]:
    """Return a forward and backward pass with an Adam step on random clips."""
    spikes = random_spikes(batch, side, side).to(device)
    target = torch.rand(batch, 1, side, side).to(device)
    network = (STIR() if who == "ours" else ReferenceSTIR()).to(device)
    loss = STIRLoss()
    weights = network.parameters()
    optimizer = adam(weights, 1e-6) if who == "ours" else torch.optim.Adam(weights, lr=1e-6)

    def run() -> Tensor:
        with autocast(dtype, device):
            if isinstance(network, STIR):
                total = loss(network.pyramid(spikes), target)["total"]
            else:
                total = reference_loss(network.images(spikes), target)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total

    return run


def autocast(dtype: torch.dtype, device: str = "cpu") -> torch.autocast:
    """Return the context that computes in a precision."""
    return torch.autocast(device, torch.bfloat16, enabled=dtype is torch.bfloat16)


def random_spikes(batch: int, height: int, width: int) -> Tensor:
    """Return clips ``(batch, 61, H, W)`` of 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(batch, 61, height, width, generator=generator) < 0.3).float()
