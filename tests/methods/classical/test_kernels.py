"""What only the compiled loops have: threads that share rows, and a search in packed planes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spike_zoo.methods.classical import dispatch, kernels
from spike_zoo.methods.classical.plans import interval_runs
from spike_zoo.spikes import pack_bits

SPIKES = torch.rand(2, 40, 3, 17, generator=torch.Generator().manual_seed(3)) < 0.15


def test_threads_share_the_rows_without_changing_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = interval_runs(range(40), 40, 5, "forward")
    missing = torch.full((2, 3, 17), torch.inf)
    around = dispatch.Surroundings(-missing, missing)
    alone = dispatch.mean_intervals(SPIKES.byte(), runs, around)
    monkeypatch.setattr(kernels, "MIN_PARALLEL_PIXELS", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert torch.equal(dispatch.mean_intervals(SPIKES.byte(), runs, around), alone)


def test_an_error_in_a_thread_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(top: int, bottom: int) -> None:
        if bottom == 5:
            raise ArithmeticError(f"rows {top}..{bottom}")

    monkeypatch.setattr(kernels, "MIN_PARALLEL_PIXELS", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(ArithmeticError, match=r"rows 2\.\.5"):
        kernels.over_rows(kernel, 5, 1)


@pytest.mark.parametrize("step", [1, -1])
def test_packed_planes_give_up_their_first_or_last_spike(step: int) -> None:
    spikes = SPIKES[0].numpy()
    pending = pack_bits(np.ones((3, 17), np.bool_))
    found = np.full((3, 24), -1, np.float32)
    kernels.nearest_packed_spikes(pack_bits(spikes), 100, step, pending, found, 0, 3)
    planes = 100 + np.arange(40)[:, None, None]
    earliest, latest = np.where(spikes, planes, 999).min(0), np.where(spikes, planes, 0).max(0)
    nearest = earliest if step > 0 else latest
    np.testing.assert_array_equal(found[:, :17], np.where(spikes.any(0), nearest, -1))
    np.testing.assert_array_equal(pending, pack_bits(np.asarray(~spikes.any(0))))
