"""GPU benchmarks: measurement on any device, limits of a card, and errors without a GPU."""

import pytest
import torch
from torch import nn

from benchmarks import gpu
from benchmarks.report import render
from benchmarks.roofline import counted, shortest_time

pytestmark = pytest.mark.repo


def test_without_a_gpu_the_benchmark_exits_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="PyTorch finds no GPU"):
        gpu.rows()


def test_operations_and_bytes_of_a_layer_give_its_shortest_time() -> None:
    layer, x = nn.Linear(64, 32, bias=False), torch.zeros(100, 64)

    def call() -> torch.Tensor:
        return layer(x).view(-1)

    operations, moved = counted(call)
    assert operations == 2 * 100 * 64 * 32
    assert moved == 4 * (100 * 64 + 64 * 32 + 100 * 32)
    assert shortest_time(call, torch.float32, "NVIDIA H100 80GB HBM3") == moved / 3.35e12
    assert shortest_time(call, torch.float32, "another card") is None


def test_every_row_is_measured_and_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "REPEATS", 1)
    monkeypatch.setattr(gpu, "_limit", lambda call, dtype: 1.0)
    rows = gpu.measured("cpu", gpu.Sizes((16, 32), (32, 48), video=1, batch=1, side=16))
    assert len(rows) == 6 + 3 + 2 + 2
    assert all(row.value > 0 for row in rows)
    table = render(rows).splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert table[0].endswith("value / limit of the card |")
