"""The tensor operations for accelerators against the compiled loops of the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from spike_zoo.methods.classical import dispatch, loops, tfi_video, tfp_video, voxel_bins
from spike_zoo.methods.classical.plans import interval_runs, playback_windows

if TYPE_CHECKING:
    from spike_zoo.methods.classical.plans import Missing

SPIKES = torch.rand(2, 40, 3, 17, generator=torch.Generator().manual_seed(3)) < 0.15


@pytest.mark.parametrize("centers", [list(range(40)), [0, 9, 9, 30]])
@pytest.mark.parametrize("window", [1, 7, 50])
def test_windows_are_counted_alike(centers: list[int], window: int) -> None:
    windows = playback_windows(centers, 40, window, "shrink")
    compiled = dispatch.mean_in_windows(SPIKES.byte(), windows)
    composed = loops.mean_in_windows(SPIKES, *windows).transpose(0, 1)
    torch.testing.assert_close(composed, compiled, rtol=1e-6, atol=0)


@pytest.mark.parametrize("centers", [list(range(40)), [0, 9, 9, 30]])
@pytest.mark.parametrize("average", [1, 6])
@pytest.mark.parametrize("limit", [float("inf"), 5])
def test_intervals_are_averaged_alike(centers: list[int], average: int, limit: float) -> None:
    runs = interval_runs(centers, 40, average, "forward")
    before = torch.full((2, 3, 17), -torch.inf)
    before[:, 0] = -4
    around = dispatch.Surroundings(before, torch.full((2, 3, 17), torch.inf), limit, 0.125)
    compiled = dispatch.mean_intervals(SPIKES.byte(), runs, around)
    rates = loops.inverse_intervals(SPIKES, runs.boundaries, *around)
    composed = loops.mean_over_runs(rates, runs.starts, runs.stops).transpose(0, 1)
    torch.testing.assert_close(composed, compiled, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("way", [range(40), range(39, -1, -1), range(20, 23), range(5, 4, -1)])
def test_nearest_spikes_are_found_alike(way: range) -> None:
    first = dispatch.nearest_spikes(SPIKES.byte(), way)
    nothing = torch.full((2, 3, 17), -way.step * torch.inf)
    assert torch.equal(loops.nearest_spikes(SPIKES, way, nothing), first)
    second = dispatch.nearest_spikes(SPIKES.byte(), way, beyond=first)
    assert torch.equal(loops.nearest_spikes(SPIKES, way, first), second)


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
            voxel_bins(SPIKES, 7),
        ]

    compiled = pictures()
    monkeypatch.setattr(dispatch, "is_compiled_for", lambda _: False)
    for composed, wanted in zip(pictures(), compiled, strict=True):
        torch.testing.assert_close(composed, wanted, rtol=1e-6, atol=1e-7)
