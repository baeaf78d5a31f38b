"""Scenes and exposures of the archive of motion deblurring."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spike_zoo.simulation import Scene, default_scenes
from spike_zoo.simulation.kinds.deblurring import deblur_scenes, simulate_exposures
from spike_zoo.simulation.scenes.photographs import Split

SPLITS: list[Split] = ["train", "val", "test"]


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_have_the_textures_of_the_default_archive(split: Split) -> None:
    for scene, default in zip(deblur_scenes(split, 20), default_scenes(split, 20), strict=True):
        assert (scene.background, scene.objects) == (default.background, default.objects)
        assert (scene.seed, scene.tone) == (default.seed, default.tone)
        assert scene.name == f"blur-{default.name}"


def test_scenes_move_4_to_25_pixels_during_an_exposure() -> None:
    travelled = []
    for spec in deblur_scenes("train", 12) + deblur_scenes("test", 8):
        plain = replace(spec, background="noise", objects=(), height=24, width=24)
        motion = Scene(plain).motions[0]
        places = np.array([motion.pose(plane)[:2] for plane in range(20, 117)])
        travelled.append(float(np.hypot(*np.ptp(places, axis=0))))
    assert min(travelled) >= 2
    assert max(travelled) <= 40
    assert np.percentile(travelled, 20) >= 4
    assert np.percentile(travelled, 80) <= 25
    assert max(travelled) > 20


def test_spikes_per_plane_at_white_are_the_published_ones() -> None:
    rates = [deblur_scenes("train", 1, threshold=level)[0].rate_scale for level in (2, 4, 8)]
    np.testing.assert_allclose(rates, [0.993, 0.496, 0.248], atol=5e-4)


def test_an_exposure_is_blurry_and_its_spikes_have_the_light_of_its_images() -> None:
    spec = replace(deblur_scenes("test", 2, height=12, width=20, noise="none")[1])
    take: Any = simulate_exposures(spec)
    assert take.recording.shape == (137, 12, 20)
    assert take.images.shape == (7, 48, 80, 3)
    exact = Scene(spec).colour(20, 117).mean(axis=0).transpose(1, 2, 0)
    assert np.abs(take.blur[0] - 255 * exact).max() <= 0.51
    light = np.array([0.30, 0.59, 0.11]) @ (take.blur[0].reshape(-1, 3).T / 255)
    light = light.reshape(12, 4, 20, 4).mean((1, 3))
    rate = take.recording[20:117].mean(0) / spec.rate_scale
    # tolerance: one spike at each end, and rounding to levels
    assert np.abs(rate - light).max() < 2.5 / 97
    assert take.recording.threshold == 2
    assert take.recording.rate_scale == pytest.approx(0.9927, abs=1e-4)


@pytest.mark.parametrize("threshold", [4.0, 8.0])
def test_higher_thresholds_fire_less_often_and_change_no_image(threshold: float) -> None:
    specs = [
        replace(deblur_scenes("test", 1, threshold=level)[0], height=8, width=8, noise="none")
        for level in (2.0, threshold)
    ]
    low, high = (simulate_exposures(spec) for spec in specs)
    np.testing.assert_array_equal(low.blur, high.blur)
    ratio = low.recording[0:137].mean() / high.recording[0:137].mean()
    assert ratio == pytest.approx(threshold / 2, rel=0.05)
    assert high.recording.threshold == threshold


def test_noise_only_adds_spikes() -> None:
    spec = replace(deblur_scenes("test", 1)[0], height=16, width=16)
    noisy, exact = simulate_exposures(spec), simulate_exposures(replace(spec, noise="none"))
    with_noise, without = noisy.recording[0:137], exact.recording[0:137]
    assert not (without & ~with_noise).any()
    added = (with_noise & ~without).sum() / (~without).sum()
    assert 0.004 < added < 0.011  # one in 140 planes


def test_takes_depend_only_on_the_seed() -> None:
    spec = replace(deblur_scenes("val", 1)[0], height=8, width=8)
    first, second = simulate_exposures(spec), simulate_exposures(spec)
    np.testing.assert_array_equal(first.recording.packed, second.recording.packed)
    np.testing.assert_array_equal(first.images, second.images)
    other_seed = simulate_exposures(replace(spec, seed=spec.seed + 1))
    assert (first.recording.packed != other_seed.recording.packed).any()
