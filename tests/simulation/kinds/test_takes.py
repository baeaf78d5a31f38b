from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from spike_zoo.simulation import Scene, SceneSpec, simulate_take
from spike_zoo.spikes import Take

SPEC = SceneSpec(name="a", seed=3, height=24, width=20, planes=171, background="leaves", speed=0.4)


@pytest.fixture(scope="module")
def take() -> Take:
    return simulate_take(SPEC)


def test_ground_truth_is_the_luminance_of_its_plane(take: Any) -> None:
    assert take.image_index.tolist() == [75, 85, 95]
    assert take.images.dtype == np.uint8
    scene = Scene(SPEC)
    for image, plane in zip(take.images, take.image_index, strict=True):
        light = scene.luminance(int(plane), int(plane) + 1)[0]
        assert np.abs(image - 255 * light).max() <= 0.5 + 1e-4


def test_the_recording_states_how_it_was_made(take: Take) -> None:
    recording = take.recording
    assert recording.shape == (171, 24, 20)
    assert (recording.fps, recording.threshold, recording.rate_scale) == (20000.0, 1.0, 0.6)
    assert recording.meta["source_format"] == "simulated"
    assert recording.meta["seed"] == 3
    assert recording.meta["scene"] == asdict(SPEC)


def test_the_firing_rate_is_proportional_to_the_light(take: Take) -> None:
    light = Scene(SPEC).luminance().mean(axis=0)
    rate = take.recording[:].mean(axis=0)
    assert np.abs(rate - 0.6 * light).max() <= 1 / 171 + 1e-6  # a soft reset keeps the charge


def test_a_scene_gives_the_same_take_every_time(take: Take) -> None:
    repeated = simulate_take(SPEC)
    np.testing.assert_array_equal(repeated.recording.packed, take.recording.packed)
    noisy = replace(SPEC, noise="lowlight-v1")
    first, second = (simulate_take(noisy).recording.packed for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first != take.recording.packed).any()


def test_a_soft_lens_changes_the_spikes_and_not_the_images(take: Take) -> None:
    soft = simulate_take(replace(SPEC, softness=0.5))
    assert take.images is not None
    assert soft.images is not None
    np.testing.assert_array_equal(soft.images, take.images)
    assert (soft.recording.packed != take.recording.packed).any()
    assert soft.recording.meta["softness"] == 0.5


def test_a_recording_too_short_for_its_images_is_rejected() -> None:
    with pytest.raises(ValueError, match="simulate at least 181 planes"):
        simulate_take(SPEC, margin=90)
