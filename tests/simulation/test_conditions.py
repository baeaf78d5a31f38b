"""Test scenes with varied conditions."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from spike_zoo.errors import UsageError
from spike_zoo.simulation.camera.noise import NOISE_PRESETS
from spike_zoo.simulation.kinds.conditions import (
    CONDITIONS,
    SOFTNESS,
    ConditionedScene,
    conditioned_scenes,
    scaled_noise,
)
from spike_zoo.simulation.scenes.photographs import Split
from spike_zoo.simulation.scenes.scene import SceneSpec
from spike_zoo.tables.runs import condition_of

SPEC = SceneSpec(name="leaves", height=48, width=56, planes=152, seed=3)
SIZE = {"height": 48, "width": 56, "planes": 152, "noise": "none"}


@functools.cache
def spikes(condition: str, value: float) -> np.ndarray:
    return ConditionedScene(SPEC, condition, value).take().recording.read()


def test_every_scene_has_every_value_of_every_condition_in_its_name() -> None:
    scenes = conditioned_scenes("test", 2, 0, SIZE)
    assert len(scenes) == 2 * sum(map(len, CONDITIONS.values()))
    assert len({scene.name for scene in scenes}) == len(scenes)
    assert len({scene.scene.background for scene in scenes}) == 2
    for condition, values in CONDITIONS.items():
        values_in_names = {condition_of(scene.name, condition) for scene in scenes} - {None}
        assert values_in_names == set(values)


def test_softness_is_a_condition_of_its_own_archive() -> None:
    scenes = conditioned_scenes("test", 1, 0, SIZE, SOFTNESS)
    assert [condition_of(scene.name, "softness") for scene in scenes] == [0, 0.3, 0.6]
    specs = [scene.take().recording.meta["scene"] for scene in scenes]
    assert [spec["softness"] for spec in specs] == [0, 0.3, 0.6]


@pytest.mark.parametrize(("split", "count"), [("train", 1), ("val", 2), ("test", 25)])
def test_other_scenes_are_rejected(split: Split, count: int) -> None:
    with pytest.raises(UsageError, match=f"at most 24 scenes.*: got --{split}"):
        conditioned_scenes(split, count, 0, SIZE)


def test_condition_light_scales_the_number_of_spikes() -> None:
    rates = [spikes("light", value).mean() for value in (0.1, 0.4)]
    assert rates[1] == pytest.approx(4 * rates[0], rel=0.02)
    assert ConditionedScene(SPEC, "light", 0.1).take().recording.rate_scale == 0.1


@pytest.mark.parametrize(("condition", "value"), [("dead", 0.1), ("hot", 0.1), ("lost", 0.2)])
def test_defects_change_only_their_share_of_pixels_or_planes(condition: str, value: float) -> None:
    whole, changed = spikes(condition, 0.0), spikes(condition, value)
    if condition == "lost":
        defects = ~changed.any(axis=(1, 2))
        assert np.array_equal(changed[~defects], whole[~defects])
    else:
        level = condition == "hot"
        defects = (changed == level).all(axis=0) & ~(whole == level).all(axis=0)
        assert np.array_equal(changed[:, ~defects], whole[:, ~defects])
    assert defects.mean() == pytest.approx(value, abs=0.08)


def test_defects_depend_on_the_seed() -> None:
    scenes = [replace(SPEC, seed=seed) for seed in (3, 3, 4)]
    takes = [ConditionedScene(scene, "hot", 0.03).take() for scene in scenes]
    first, same, other = (take.recording.read() for take in takes)
    assert np.array_equal(first, same)
    assert (first.all(axis=0) != other.all(axis=0)).any()


def test_noise_grows_with_its_factor() -> None:
    assert scaled_noise(1) == NOISE_PRESETS["lowlight-v1"]
    assert scaled_noise(0).is_silent
    exact = spikes("noise", 0.0)
    differences = [(spikes("noise", factor) != exact).mean() for factor in (0.5, 1.0, 4.0)]
    assert differences == sorted(differences)
    assert differences[0] > 0


def test_a_speed_of_zero_gives_a_static_background() -> None:
    scene = ConditionedScene(SPEC, "speed", 0.0).take()
    assert scene.images is not None
    rates = scene.recording.read()[:76].mean(axis=0), scene.recording.read()[76:].mean(axis=0)
    assert np.abs(rates[0] - rates[1]).max() < 0.03
