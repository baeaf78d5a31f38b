"""What STIR computes in a second, beside a matrix product on the same thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.row import Row, alternate
from spike_zoo.methods.stir import STIR, STIRLoss

THREADS = 1
PRODUCT_SIDE = 2048
PRECISIONS = {"float32": torch.float32, "bf16 autocast": torch.bfloat16}


def rows() -> list[Row]:
    """Return seconds and throughput of a forward pass and of a training step."""
    measured: list[Row] = []
    with threads(THREADS):
        for label, dtype in PRECISIONS.items():
            forward = forward_pass(dtype, height=256, width=256)
            step = training_step(dtype, batch=4, side=96)
            calls = [forward, step, matrix_product(dtype)]
            operations = [_operations(call) for call in (forward, step)]
            *seconds, product_seconds = alternate(calls)
            limit = 2 * PRODUCT_SIDE**3 / product_seconds / 1e9
            names = (
                f"STIR forward 1x61x256x256, {label}, {THREADS} thread",
                f"STIR training step 4x61x96x96, {label}, {THREADS} thread",
            )
            for name, taken, count in zip(names, seconds, operations, strict=True):
                measured += _described(name, taken, count, limit)
    return measured


def forward_pass(dtype: torch.dtype, height: int, width: int) -> Callable[[], Tensor]:
    """Return a reconstruction of one random clip."""
    network = _channels_last(STIR().eval())
    spikes = _spikes(1, height, width)

    def run() -> Tensor:
        with torch.inference_mode(), _autocast(dtype):
            return network(spikes)

    return run


def training_step(dtype: torch.dtype, batch: int, side: int) -> Callable[[], Tensor]:
    """Return a forward and backward pass with an Adam step on random clips."""
    network, loss = _channels_last(STIR()), STIRLoss(clamp=False)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    spikes, target = _spikes(batch, side, side), torch.rand(batch, 1, side, side)

    def run() -> Tensor:
        with _autocast(dtype):
            total = loss(network.pyramid(spikes), target)["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total

    return run


def matrix_product(dtype: torch.dtype) -> Callable[[], Tensor]:
    """Return a square matrix product, the most a thread computes."""
    a = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE).to(dtype)
    b = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE).to(dtype)
    return lambda: a @ b


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _described(name: str, seconds: float, operations: int, limit: float) -> list[Row]:
    rate = operations / seconds / 1e9
    name = f"{name} ({operations / 2e9:.1f} GMAC)"
    return [
        Row(name, seconds, "s"),
        Row(f"{name}, throughput", rate, "GFLOP/s", limit, "matrix product", at_least=True),
    ]


def _operations(call: Callable[[], Tensor]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _autocast(dtype: torch.dtype) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16)


def _channels_last(network: STIR) -> STIR:
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # true


def _spikes(batch: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(batch, 61, height, width, generator=generator) < 0.3).float()
