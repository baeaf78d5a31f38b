from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.simulation import NOISE_PRESETS, CameraNoise, SpikeCamera
from spike_zoo.simulation.camera.noise import spurious_spikes

LIGHT = np.full((400, 40, 50), 0.5, dtype=np.float32)
DARK = np.zeros_like(LIGHT)


def rate(noise: CameraNoise, light: NDArray[np.float32] = LIGHT) -> float:
    """Spikes per pixel and plane at gain 0.6."""
    return float(SpikeCamera(noise=noise, generator=3).expose(light).mean())


def test_given_gaps_repeat_and_negative_sums_are_counted_from_the_end() -> None:
    gaps = np.array([-1.5, 3.0, 2.6], dtype=np.float32)  # sums -1.5 1.5 4.1 2.6 5.6 8.2 6.7 9.7
    spikes = spurious_spikes((10, 1, 1), gaps)
    assert np.flatnonzero(spikes).tolist() == [1, 2, 4, 5, 6, 8, 9]


@pytest.mark.parametrize(
    ("shape", "gaps", "message"),
    [
        ((10, 2, 2), np.zeros(3, np.float32), "positive on average"),
        ((10, 2, 2), np.full(4, -1, np.float32), "positive on average"),
        ((10**6, 1000, 1000), 0, "too many for sums in float32"),
    ],
)
def test_gaps_and_streams_that_cannot_be_summed_are_rejected(
    shape: tuple[int, int, int], gaps: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        spurious_spikes(shape, gaps)


def test_the_preset_none_adds_no_noise() -> None:
    exact = SpikeCamera(generator=1).expose(LIGHT[:50])
    np.testing.assert_array_equal(SpikeCamera(generator=1, noise="none").expose(LIGHT[:50]), exact)
    assert NOISE_PRESETS["none"].is_silent
    assert not CameraNoise(missed=0.1).is_silent


@pytest.mark.parametrize("preset", [name for name in NOISE_PRESETS if name != "none"])
def test_every_other_preset_changes_the_spikes(preset: str) -> None:
    noisy = SpikeCamera(generator=1, noise=preset).expose(LIGHT[:200])
    assert (noisy != SpikeCamera(generator=1).expose(LIGHT[:200])).any()


@pytest.mark.parametrize("electrons", [20.0, 60.0, 500.0])
def test_shot_noise_has_the_mean_and_variance_of_a_poisson_number_of_electrons(
    electrons: float,
) -> None:
    planes, theta = 64, 1000.0  # never fires: the charge is a sum of Poisson numbers
    camera = SpikeCamera(
        theta, gain=theta / 100, start="zero", noise=CameraNoise(electrons=electrons), generator=5
    )
    camera.expose(np.full((planes, 100, 100), 0.5, dtype=np.float32))
    charge: Any = camera.charge
    counts = charge / (theta / electrons)
    mean = electrons * planes * 0.5 / 100
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / counts.size))
    assert counts.var() == pytest.approx(mean, rel=4 * np.sqrt(2 / counts.size))
    np.testing.assert_allclose(counts, np.round(counts), atol=2e-3)


@pytest.mark.parametrize("electrons", [0.0, 300.0])
def test_dark_current_causes_spikes_in_the_dark_at_its_rate(electrons: float) -> None:
    noise = CameraNoise(electrons=electrons, dark=0.02, dark_deviation=0.5)
    spread = 0.02 * np.sqrt(np.exp(0.25) - 1) / np.sqrt(DARK[0].size)  # of the pattern's mean
    assert rate(noise, DARK) == pytest.approx(0.02, abs=4 * spread)


@pytest.mark.parametrize(
    ("noise", "exponent"),
    [(CameraNoise(gain_deviation=0.1), 1), (CameraNoise(threshold_deviation=0.1), -1)],
)
def test_a_pattern_spreads_rates_or_intervals_by_its_deviation(
    noise: CameraNoise, exponent: int
) -> None:
    values = SpikeCamera(noise=noise, generator=2).expose(LIGHT).mean(axis=0) ** exponent
    assert values.std() / values.mean() == pytest.approx(0.1, rel=0.08)


def test_a_named_sensor_keeps_its_pattern_and_an_unnamed_one_is_new() -> None:
    with_sensor = CameraNoise(gain_deviation=0.2, sensor=9)
    rates = [
        SpikeCamera(noise=with_sensor, generator=seed).expose(LIGHT).mean(axis=0) for seed in (1, 2)
    ]
    assert np.corrcoef(rates[0].ravel(), rates[1].ravel())[0, 1] > 0.98
    without_sensor = replace(with_sensor, sensor=None)
    rates = [
        SpikeCamera(noise=without_sensor, generator=seed).expose(LIGHT).mean(axis=0)
        for seed in (1, 2)
    ]
    assert abs(np.corrcoef(rates[0].ravel(), rates[1].ravel())[0, 1]) < 0.1


def test_reset_noise_jitters_intervals_but_keeps_the_rate() -> None:
    light = np.full((500, 30, 40), 0.25, dtype=np.float32)
    noise = CameraNoise(reset_deviation=0.1)
    spikes = SpikeCamera(gain=1.0, noise=noise, generator=4).expose(light)
    intervals = np.concatenate(
        [np.diff(np.flatnonzero(pixel)) for pixel in spikes.reshape(500, -1).T]
    )
    assert set(np.unique(intervals)) >= {3, 4, 5}
    assert intervals.mean() == pytest.approx(4, abs=0.01)


def test_spurious_spikes_have_their_mean_rate_from_the_first_plane() -> None:
    spikes = SpikeCamera(noise="ssdm-v1", generator=6, start="zero").expose(
        np.zeros((700, 60, 60), dtype=np.float32)
    )
    for part in np.split(spikes, 5):  # no start-up: the same rate in every part
        assert part.mean() == pytest.approx(1 / 140, rel=0.06)


def test_missed_spikes_remove_their_share_of_the_spikes() -> None:
    exact = SpikeCamera(generator=8).expose(LIGHT)
    incomplete = SpikeCamera(generator=8, noise=CameraNoise(missed=0.3)).expose(LIGHT)
    assert not (incomplete & ~exact).any()
    share = incomplete.sum() / exact.sum()
    assert share == pytest.approx(0.7, abs=4 * np.sqrt(0.3 * 0.7 / exact.sum()))


@pytest.mark.parametrize(
    "values",
    [{"electrons": -1}, {"dark": float("nan")}, {"missed": 1.5}, {"spurious_deviation": 3.0}],
)
def test_impossible_noise_is_rejected(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        CameraNoise(**values)  # type: ignore[arg-type]  # sensor is the only integer
