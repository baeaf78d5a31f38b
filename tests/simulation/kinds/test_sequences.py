"""Speeds and disjoint splits of the scenes of the archive of sequences."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from spike_zoo.simulation import Scene
from spike_zoo.simulation.kinds.sequences import sequence_scenes
from spike_zoo.simulation.scenes.photographs import PHOTOGRAPHS, Split
from tests.simulation.test_defaults import photographs

SPLITS: list[Split] = ["train", "val", "test"]
LIMITS = {"slow": 0.2, "medium": 0.7, "fast": 3.0}


def speed_name(name: str) -> str:
    return next(word for word in name.split("-") if word in LIMITS)


@pytest.mark.parametrize("split", SPLITS)
def test_every_speed_noise_and_object_is_equally_frequent(split: Split) -> None:
    scenes = sequence_scenes(split, 24)
    counts = Counter((speed_name(spec.name), spec.noise) for spec in scenes)
    assert len(counts) == 6
    assert set(counts.values()) == {4}
    if split != "train":
        with_object = Counter(
            (speed_name(spec.name), spec.noise, len(spec.objects)) for spec in scenes
        )
        assert len(with_object) == 12
        assert set(with_object.values()) == {2}
    else:
        assert {len(spec.objects) for spec in scenes} == {0, 1, 2, 3}


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_show_the_photographs_of_their_split(split: Split) -> None:
    scenes = sequence_scenes(split, 72)
    assert set().union(*map(photographs, scenes)) == set(PHOTOGRAPHS[split])
    assert len({spec.name for spec in scenes}) == len({spec.seed for spec in scenes}) == 72
    noises = {(spec.background.partition(":")[0], spec.noise) for spec in scenes}
    assert {("photo", "none"), ("photo", "indoor-v1")} <= noises


def test_speeds_cover_their_ranges() -> None:
    speeds: dict[str, list[float]] = {name: [] for name in LIMITS}
    for spec in sequence_scenes("train", 300):
        speeds[speed_name(spec.name)].append(spec.speed)
        assert spec.object_speed < LIMITS[speed_name(spec.name)]
    assert max(speeds["slow"]) < 0.2 <= min(speeds["medium"])
    assert max(speeds["medium"]) < 0.7 <= min(speeds["fast"])
    assert 2.7 < max(speeds["fast"]) <= 3.0
    for low, minimum in (("slow", 0.02), ("medium", 0.2), ("fast", 0.7)):
        places = np.log(np.array(speeds[low]) / minimum) / math.log(LIMITS[low] / minimum)
        np.testing.assert_allclose(np.sort(places), np.linspace(0, 1, 100), atol=0.03)
    test_speeds = [
        spec.speed for spec in sequence_scenes("test", 12) if speed_name(spec.name) == "fast"
    ]
    assert min(test_speeds) < 1.1
    assert max(test_speeds) > 1.8


@pytest.mark.parametrize("split", SPLITS)
def test_motion_is_below_the_limit_of_the_named_speed(split: Split) -> None:
    for spec in sequence_scenes(split, 9, seed=3, height=40, width=40):
        scene, limit = Scene(replace(spec, background="noise")), LIMITS[speed_name(spec.name)]
        steps = [scene.motion(plane, plane - 1) for plane in range(1, 97, 6)]
        fastest = float(np.nanmax([np.hypot(*step) for step in steps]))
        assert fastest < limit
