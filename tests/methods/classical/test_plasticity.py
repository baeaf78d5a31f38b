"""Tests of TFSTP against its steady state, a recursion in plain Python, and by blocks."""

import math

import numpy as np
import pytest
import torch

from spike_zoo.errors import PlaneRangeError
from spike_zoo.methods.classical import streams, tfstp, tfstp_stream
from spike_zoo.methods.classical.plasticity import PlasticityRates, _run
from spike_zoo.spikes import SpikeRecording

U0, F, TAU_D, TAU_F = 0.15, 0.15, 1.0, 10.0


def recursion(times: list[int]) -> tuple[float, float]:
    """Run the synapse over one pixel's spikes in float64 and invert its steady state."""
    resource, used, last = 1.0, U0, -1
    for time in times:
        gap = time - last
        resource, used = (
            1 - (1 - resource * (1 - used)) * math.exp(-gap / TAU_D),
            U0 + (used + F * (1 - used) - U0) * math.exp(-gap / TAU_F),
        )
        last = time
    if not times:
        return 0.0, 0.0
    by_resource = -1 / (TAU_D * math.log((1 - resource) / (1 - resource * (1 - used))))
    by_used = -1 / (TAU_F * math.log((used - U0) / (F - U0 + used * (1 - F))))
    return by_resource, by_used


def steady(period: int) -> torch.Tensor:
    spikes = torch.zeros(100 * period + 1, 1, 1)
    spikes[::period] = 1
    return spikes


def rates_at(spikes: torch.Tensor, center: int) -> PlasticityRates:
    (state,) = _run(spikes[None].bool().unbind(dim=1), [center])
    return PlasticityRates(*(rates[0] for rates in state.rates()))


@pytest.mark.parametrize("period", [1, 2, 20])
def test_both_estimates_of_a_periodic_pixel_equal_its_rate(period: int) -> None:
    spikes = steady(period)
    rates = rates_at(spikes, len(spikes) - 1)
    assert rates.resource.item() == pytest.approx(1 / period, rel=1e-5)
    assert rates.utilisation.item() == pytest.approx(1 / period, rel=1e-5)
    assert tfstp(spikes, len(spikes) - 1).item() == pytest.approx(1 / period, rel=1e-5)


def test_rates_of_irregular_spikes_equal_the_recursion() -> None:
    spikes = np.random.default_rng(2).random((60, 4, 5)) < 0.25
    rates = rates_at(torch.from_numpy(spikes), 47)
    for y, x in np.ndindex(4, 5):
        by_resource, by_used = recursion(np.flatnonzero(spikes[:48, y, x]).tolist())
        assert rates.resource[y, x].item() == pytest.approx(by_resource, rel=2e-4)
        assert rates.utilisation[y, x].item() == pytest.approx(by_used, rel=2e-4)


def test_a_pixel_is_0_until_its_first_spike_and_constant_after_its_last() -> None:
    spikes = torch.zeros(20, 1, 1)
    spikes[[6, 9]] = 1
    video = tfstp(spikes, list(range(20))).flatten()
    assert (video[:6] == 0).all()
    assert (video[6:] > 0).all()
    assert (video[9:] == video[9]).all()


def test_centres_in_any_order_and_batches_give_the_same_images() -> None:
    spikes = torch.rand(2, 30, 3, 4) < 0.3
    video = tfstp(spikes, [29, 3, 3])
    for index, center in enumerate([29, 3, 3]):
        assert torch.equal(video[:, index], tfstp(spikes, center))
    assert torch.equal(video[1], tfstp(spikes[1], [29, 3, 3]))


def test_a_recording_in_blocks_gives_the_images_of_the_whole_clip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "BLOCK_PIXELS", 7 * 12)
    spikes = np.random.default_rng(4).random((50, 3, 4)) < 0.3
    recording = SpikeRecording.from_planes(spikes)
    centers = [0, 6, 7, 7, 31, 49]
    images = torch.stack(list(tfstp_stream(recording, centers)))
    assert torch.equal(images, tfstp(torch.from_numpy(spikes), centers))


def test_descending_and_outside_planes_are_rejected() -> None:
    recording = SpikeRecording.from_planes(np.zeros((5, 2, 2), np.bool_))
    with pytest.raises(ValueError, match="ascending"):
        tfstp_stream(recording, [3, 1])
    with pytest.raises(PlaneRangeError, match="plane 5"):
        tfstp(torch.zeros(5, 2, 2), 5)
