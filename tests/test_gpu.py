"""What waits for a GPU: measured on any device, and refused without one."""

from __future__ import annotations

import pytest
import torch
import yaml

from benchmarks import gpu
from tests.conftest import ROOT

pytestmark = pytest.mark.repo


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="PyTorch sees no GPU"):
        gpu.rows()


def test_latency_stands_beside_the_published_one_and_rows_beside_their_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "REPEATS", 1)
    rows = {row.name: row for row in gpu.measured("cpu", (16, 24), (1, 16), (1, 8), updates=600)}
    assert rows["STIR forward 1x61x16x24, bf16"].limit == gpu.PUBLISHED
    step = rows["STIR training step 1x61x16x16, float32"]
    carrying = rows["STIR's carrying rows, 600 updates"]
    assert carrying.value == pytest.approx(10 * step.value / 1e3)  # 600 / 60 minutes
    assert carrying.goal == 25


def test_the_budget_counts_the_rows_of_the_sweep() -> None:
    variants, updates, _ = gpu.carrying_rows()
    sweep = yaml.safe_load((ROOT / "experiments/stir/sweep_gpu.yaml").read_text(encoding="utf-8"))
    assert variants == len(set(sweep["parameters"]["config"]["values"]))
    assert updates == 8 * 4000 // 16
