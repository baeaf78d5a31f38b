"""Recipes of archives: options, errors and takes."""

from typing import Any

import pytest

from spike_zoo.errors import UsageError
from spike_zoo.simulation.kinds.recipes import RECIPES
from spike_zoo.simulation.scenes.photograph_sets import photograph_set

ONE_SMALL_SCENE: dict[str, Any] = {"train": 1, "val": 0, "test": 1, "height": 8, "width": 8}


def test_options_at_their_defaults_are_not_recorded_in_an_archive() -> None:
    recipe = RECIPES["reconstruction"]
    plain = recipe.request("small", 3, {}).options
    assert plain == {
        "simulator": "spike_zoo.simulation v1", "seed": 3, "noise": None, "train": 10, "val": 2,
        "test": 3, "height": 96, "width": 96, "planes": 161,
    }  # fmt: skip
    defaults = {"stride": 10, "margin": 75, "motion": False}
    assert recipe.request("small", 3, defaults).options == plain
    changed = recipe.request("small", 3, {"stride": 5, "margin": 30}).options
    assert changed == plain | {"stride": 5, "margin": 30}


def test_text_written_into_an_archive_keeps_its_order() -> None:
    options = RECIPES["deblur"].request("small", 0, {"threshold": 4}).options
    names = "simulator seed noise train val test height width planes threshold"
    assert list(options) == names.split()


def test_motion_is_stored_if_requested() -> None:
    size: dict[str, Any] = ONE_SMALL_SCENE | {"planes": 21, "margin": 4, "stride": 6}
    for kind, default in (("reconstruction", False), ("sequence", True)):
        for options in ({}, {"motion": True}, {"motion": False}):
            request = RECIPES[kind].request("small", 0, size | options)
            (make,) = request.takes()["test"].values()
            motion = make().motion
            assert (motion is not None) == options.get("motion", default)
            assert motion is None or motion.shape == (3, 2, 8, 8)
            assert ("motion" in request.options) == (options.get("motion", default) != default)


@pytest.mark.parametrize("kind", ["reconstruction", "colour", "sequence", "deblur"])
def test_the_photographs_of_an_archive_are_recorded_by_name_and_checksum(kind: str) -> None:
    size: dict[str, Any] = ONE_SMALL_SCENE | {"photographs": "default"}
    size |= {"testing": "photographs"} if kind == "reconstruction" else {}
    request = RECIPES[kind].request("small", 0, size)
    assert request.options["photographs"] == "default"
    assert request.options["photographs_sha256"] == photograph_set("default").sha256
    (name,) = request.takes()["test"]
    assert "test-spices-slow-0" in name


def test_sequences_have_thirteen_images_and_the_size_of_the_paper() -> None:
    recipe = RECIPES["sequence"]
    (make,) = recipe.request("default", 0, ONE_SMALL_SCENE | {"train": 0}).takes()["test"].values()
    take: Any = make()
    assert take.recording.shape[0] == 97
    assert take.image_index.tolist() == [6, 13, 20, 27, 34, 41, 48, 55, 62, 69, 76, 83, 90]
    options = recipe.request("paper", 0, {}).options
    sizes = [options[name] for name in ("train", "val", "test", "height", "width", "planes")]
    assert sizes == [2000, 200, 200, 128, 128, 97]
    assert options["simulator"] != RECIPES["reconstruction"].simulator
    with pytest.raises(UsageError, match="--size must be one of small, default, got paper"):
        RECIPES["deblur"].request("paper", 0, {})


@pytest.mark.parametrize(
    ("kind", "options", "planes"),
    [
        ("reconstruction", {"planes": 61, "stride": 20, "margin": 10}, [10, 30, 50]),
        ("deblur", {"planes": 99, "stride": 48, "margin": 1}, [1, 49, 97]),
    ],
)
def test_stride_and_margin_state_which_planes_have_an_image(
    kind: str, options: dict[str, int], planes: list[int]
) -> None:
    takes = RECIPES[kind].request("small", 0, ONE_SMALL_SCENE | options).takes()
    assert sorted(takes) == ["test", "train"]
    (make,) = takes["test"].values()
    take: Any = make()
    assert take.image_index.tolist() == planes
    assert take.recording.shape == (options["planes"], 8, 8)


def test_training_exposures_have_no_sharp_image() -> None:
    (make,) = RECIPES["deblur"].request("small", 0, ONE_SMALL_SCENE).takes()["train"].values()
    take = make()
    assert take.images is None
    assert take.blur is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 4}, "--threshold goes with --kind deblur"),
        ({"margin": 90}, "--planes must be at least 181 with --margin 90, got 161"),
        ({"train": 0, "val": 0, "test": 0}, "all 0"),
    ],
)
def test_invalid_options_are_rejected(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RECIPES["reconstruction"].request("small", 0, options)
