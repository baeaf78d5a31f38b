"""Tests of the compiled kernels with several threads."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.methods.classical import dispatch, kernels
from spike_zoo.methods.classical.plans import interval_runs

SPIKES = torch.rand(2, 40, 3, 17, generator=torch.Generator().manual_seed(3)) < 0.15


def test_values_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = interval_runs(range(40), 40, 5, "forward")
    missing = torch.full((2, 3, 17), torch.inf)
    around = dispatch.OutsideSpikes(-missing, missing)
    single_threaded = dispatch.mean_intervals(SPIKES.byte(), runs, around)
    monkeypatch.setattr(kernels, "MIN_PARALLEL_PIXELS", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert torch.equal(dispatch.mean_intervals(SPIKES.byte(), runs, around), single_threaded)


def test_an_error_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(top: int, bottom: int) -> None:
        if bottom == 5:
            raise ArithmeticError(f"rows {top}..{bottom}")

    monkeypatch.setattr(kernels, "MIN_PARALLEL_PIXELS", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(ArithmeticError, match=r"rows 2\.\.5"):
        kernels.over_rows(kernel, 5, 1)
