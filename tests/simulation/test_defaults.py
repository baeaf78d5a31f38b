import itertools
import re
from collections import Counter

import pytest

from spike_zoo.simulation import Scene, SceneSpec, default_scenes
from spike_zoo.simulation.defaults import TRAINING_MIXES
from spike_zoo.simulation.scenes.photograph_sets import photograph_set
from spike_zoo.simulation.scenes.photographs import PHOTOGRAPHS, Split

SPLITS: list[Split] = ["train", "val", "test"]


def photographs(spec: SceneSpec) -> set[str]:
    """Return the photographs in background and objects of a scene."""
    kinds = [spec.background, *spec.objects]
    photograph_names = (kind.partition(":")[2] for kind in kinds if ":" in kind)
    return {name for names in photograph_names for name in names.split("+")}


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_show_photographs_of_their_split_only(split: Split) -> None:
    scenes = default_scenes(split, 40)
    names = set().union(*map(photographs, scenes))
    assert names <= set(PHOTOGRAPHS[split])
    assert split == "train" or all(spec.background.startswith("photo:") for spec in scenes)


@pytest.mark.parametrize("split", SPLITS)
def test_names_and_seeds_are_unique_and_fit_an_archive(split: Split) -> None:
    scenes = default_scenes(split, 40)
    assert len({spec.name for spec in scenes}) == len({spec.seed for spec in scenes}) == 40
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,120}", spec.name) for spec in scenes)
    assert all(spec.name.startswith(f"{split}-") for spec in scenes)


def test_a_longer_list_of_scenes_starts_with_the_shorter_one() -> None:
    assert default_scenes("train", 30, 4)[:10] == default_scenes("train", 10, 4)
    assert default_scenes("train", 10, 4) != default_scenes("train", 10, 5)


def test_training_scenes_contain_all_photographs_textures_and_speeds() -> None:
    scenes = default_scenes("train", 60)
    assert set().union(*map(photographs, scenes)) == set(PHOTOGRAPHS["train"])
    kinds = {spec.background.partition(":")[0] for spec in scenes}
    assert kinds == {"photo", "leaves", "noise", "stripes", "checker", "text"}
    speeds = [spec.speed for spec in scenes]
    assert min(speeds) == 0.0
    assert max(speeds) <= 1.0
    assert sum(speed > 0.4 for speed in speeds) >= 10


@pytest.mark.parametrize("split", SPLITS)
def test_half_the_cameras_are_noisy_and_half_have_the_usual_rate_scale(split: Split) -> None:
    scenes = default_scenes(split, 40)
    assert sum(spec.noise != "none" for spec in scenes) == 20
    assert sum(spec.rate_scale == 0.6 for spec in scenes) >= 20
    assert all(0.3 <= spec.rate_scale <= 0.9 for spec in scenes)


def test_a_mix_changes_only_training_scenes() -> None:
    for split in ("val", "test"):
        plain = default_scenes(split, 8)
        assert all(default_scenes(split, 8, training=mix) == plain for mix in TRAINING_MIXES)
    scenes = {mix: default_scenes("train", 60, training=mix) for mix in TRAINING_MIXES}
    assert scenes["all"] == default_scenes("train", 60)
    layers = {mix: [(spec.background, *spec.objects) for spec in scenes[mix]] for mix in scenes}
    assert all(name.startswith("photo:") for spec in layers["photographs"] for name in spec)
    assert not set().union(*map(photographs, scenes["textures"]))
    assert {len(spec) for spec in layers["textures"]} == {1, 2, 3, 4}
    assert {len(spec) for spec in layers["unoccluded"]} == {1}
    fastest = {
        mix: max(max(spec.speed, spec.object_speed) for spec in scenes[mix]) for mix in scenes
    }
    assert fastest["slow"] <= 0.3
    assert 0.9 < fastest["all"] <= 1.0
    assert 2.0 < fastest["faster"] <= 3.0
    cameras = {mix: {(spec.rate_scale, spec.noise) for spec in scenes[mix]} for mix in scenes}
    assert cameras["one-camera"] == {(0.6, "none")}
    assert len(cameras["textures"]) > 10


def test_each_shipped_test_photograph_has_three_speeds() -> None:
    names = photograph_set("default").names["test"]
    scenes = default_scenes("test", 72, testing="photographs")
    assert all(re.fullmatch(r"test-[a-z-]+-(slow|medium|fast)-\d\d", spec.name) for spec in scenes)
    pairs = {(spec.background.removeprefix("photo:"), spec.speed) for spec in scenes}
    assert pairs == set(itertools.product(names, (0.08, 0.3, 0.8)))
    assert set().union(*map(photographs, scenes)) <= set(names)
    assert all(spec.background not in spec.objects for spec in scenes)
    balance = Counter((spec.speed, spec.noise, len(spec.objects)) for spec in scenes)
    assert len(balance) == 12
    assert set(balance.values()) == {6}


def test_a_set_replaces_photographs_of_training_and_validation_only() -> None:
    chosen = photograph_set("default")
    for split in ("train", "val"):
        scenes = default_scenes(split, 60, photographs=chosen)
        assert set().union(*map(photographs, scenes)) == set(chosen.names[split])
    scenes = default_scenes("test", 24, testing="eight", photographs=chosen)
    assert scenes == default_scenes("test", 24, testing="eight")


def test_unknown_mixes_and_splits_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"training must be one of \['all', .*got 'everything'"):
        default_scenes("train", 1, training="everything")
    with pytest.raises(ValueError, match="'dev'"):
        default_scenes("dev", 1)  # type: ignore[arg-type]  # the point of the test


def test_names_of_test_scenes_state_their_speed() -> None:
    scenes = default_scenes("test", 8)
    assert {spec.name.split("-")[2] for spec in scenes} == {"slow", "medium", "fast"}
    for spec in scenes:
        peak = Scene(spec).motions[0].peak_speed(spec.planes, (spec.width / 2, spec.height / 2))
        expected = {"slow": 0.08, "medium": 0.3, "fast": 0.8}[spec.name.split("-")[2]]
        assert 0.9 * expected <= peak <= expected
