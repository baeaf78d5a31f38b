"""GPU benchmarks: measurement on any device, and errors without a GPU."""

from __future__ import annotations

import pytest
import torch
import yaml

from benchmarks import gpu
from tests.conftest import ROOT

pytestmark = pytest.mark.repo


def test_without_a_gpu_the_benchmark_exits_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="PyTorch sees no GPU"):
        gpu.rows()


def test_rows_compare_latency_with_the_published_value_and_training_time_with_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "REPEATS", 1)
    rows = {row.name: row for row in gpu.measured("cpu", (16, 24), (1, 16), (1, 8), updates=600)}
    assert rows["STIR forward 1x61x16x24, bf16"].reference == gpu.PUBLISHED
    step = rows["STIR training step 1x61x16x16, float32"]
    training = rows["STIR's rows with the paper's claims, 600 updates"]
    assert training.value == pytest.approx(10 * step.value / 1e3)  # 600 / 60 minutes
    assert training.goal == 25


def test_the_budget_uses_the_number_of_rows_of_the_sweep() -> None:
    variants, updates, _ = gpu.rows_with_claims()
    sweep = yaml.safe_load((ROOT / "experiments/stir/sweep_gpu.yaml").read_text(encoding="utf-8"))
    assert variants == len(set(sweep["parameters"]["config"]["values"]))
    assert updates == 8 * 4000 // 16
