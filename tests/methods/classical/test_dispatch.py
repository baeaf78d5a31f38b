"""Tensor operations for accelerators equal the compiled kernels for the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from spike_zoo.methods.classical import dispatch, tfi_video, tfp_video
from spike_zoo.methods.classical.plans import interval_runs, playback_windows

if TYPE_CHECKING:
    from spike_zoo.methods.classical.plans import Missing

SPIKES = torch.rand(2, 40, 3, 17, generator=torch.Generator().manual_seed(3)) < 0.15


WINDOWS = [playback_windows([0, 9, 9, 30], 40, window, "shrink") for window in (1, 7, 50)]
RUNS = [
    interval_runs(centers, 40, average, "forward")
    for centers in (list(range(40)), [0, 9, 9, 30])
    for average in (1, 6)
]
WAYS = [range(40), range(39, -1, -1), range(20, 23), range(5, 4, -1)]


@pytest.mark.parametrize("limit", [float("inf"), 5])
def test_an_accelerator_counts_as_the_cpu(monkeypatch: pytest.MonkeyPatch, limit: float) -> None:
    before = torch.full((2, 3, 17), -torch.inf)
    before[:, 0] = -4
    around = dispatch.Surroundings(before, torch.full((2, 3, 17), torch.inf), limit, 0.125)

    def computed() -> list[torch.Tensor]:
        first = [dispatch.nearest_spikes(SPIKES.byte(), way) for way in WAYS]
        return [
            *(dispatch.mean_in_windows(SPIKES.byte(), windows) for windows in WINDOWS),
            *(dispatch.mean_intervals(SPIKES.byte(), runs, around) for runs in RUNS),
            *first,
            *(
                dispatch.nearest_spikes(SPIKES.byte(), way, beyond=one)
                for way, one in zip(WAYS, first, strict=True)
            ),
        ]

    compiled = computed()
    monkeypatch.setattr(dispatch, "is_compiled_for", lambda _: False)
    for composed, wanted in zip(computed(), compiled, strict=True):
        torch.testing.assert_close(composed, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("missing", ["zero", "hold", "bound"])
@pytest.mark.parametrize("centers", [None, [31, 2]])
def test_an_accelerator_gives_the_pictures_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, missing: Missing, centers: list[int] | None
) -> None:
    def pictures() -> list[torch.Tensor]:
        return [
            tfi_video(SPIKES, centers, 3, "backward", missing),
            tfi_video(SPIKES, centers, max_search=4),
            tfp_video(SPIKES, centers, 9),
        ]

    compiled = pictures()
    monkeypatch.setattr(dispatch, "is_compiled_for", lambda _: False)
    for composed, wanted in zip(pictures(), compiled, strict=True):
        torch.testing.assert_close(composed, wanted, rtol=1e-6, atol=1e-7)
