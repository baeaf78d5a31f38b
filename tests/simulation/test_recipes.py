"""Kinds of archive: what is asked, what is refused, and what makes the takes."""

from __future__ import annotations

from typing import Any

import pytest

from spike_zoo.errors import UsageError
from spike_zoo.simulation.footage import Footage
from spike_zoo.simulation.recipes import RECIPES, footage_request

ONE: dict[str, Any] = {"train": 1, "val": 0, "test": 1, "height": 8, "width": 8}


def test_options_at_their_defaults_leave_no_trace_in_an_archive() -> None:
    recipe = RECIPES["reconstruction"]
    plain = recipe.request("small", 3, {}).asked
    assert plain == {
        "simulator": "spike_zoo.simulation v1", "seed": 3, "noise": None, "train": 10, "val": 2,
        "test": 3, "height": 96, "width": 96, "planes": 161,
    }  # fmt: skip
    assert recipe.request("small", 3, {"stride": 10, "margin": 75}).asked == plain
    changed = recipe.request("small", 3, {"stride": 5, "margin": 30}).asked
    assert changed == plain | {"stride": 5, "margin": 30}


def test_text_written_into_an_archive_keeps_its_order() -> None:
    asked = RECIPES["deblur"].request("small", 0, {"threshold": 4}).asked
    assert list(asked) == [
        "simulator", "seed", "noise", "train", "val", "test", "height", "width", "planes",
        "threshold",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "options", "planes"),
    [
        ("reconstruction", {"planes": 61, "stride": 20, "margin": 10}, [10, 30, 50]),
        ("deblur", {"planes": 99, "stride": 48, "margin": 1}, [1, 49, 97]),
    ],
)
def test_stride_and_margin_say_which_planes_have_an_image(
    kind: str, options: dict[str, int], planes: list[int]
) -> None:
    takes = RECIPES[kind].request("small", 0, ONE | options).takes()
    assert sorted(takes) == ["test", "train"]
    (make,) = takes["test"].values()
    take = make()
    assert take.image_index is not None
    assert take.image_index.tolist() == planes
    assert take.recording.shape == (options["planes"], 8, 8)


def test_exposures_to_train_on_have_no_sharp_image() -> None:
    (make,) = RECIPES["deblur"].request("small", 0, ONE).takes()["train"].values()
    take = make()
    assert take.images is None
    assert take.blur is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 4}, "--threshold goes with --kind deblur"),
        ({"margin": 90}, "--planes must be at least 181 with --margin 90, got 161"),
        ({"margin": -1}, "--margin must be at least 0, got -1"),
        ({"train": 0, "val": 0, "test": 0}, "all 0"),
    ],
)
def test_options_that_mean_no_archive_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RECIPES["reconstruction"].request("small", 0, options)


def test_a_video_without_inserted_frames_is_refused_before_it_is_opened() -> None:
    with pytest.raises(UsageError, match="--inserted must be at least 1"):
        footage_request("nowhere.mp4", Footage(inserted=0), None)
