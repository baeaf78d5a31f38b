"""Pictures of what the networks saw, and norms and stillness that a test measures."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from lightning import seed_everything

from spike_zoo.methods.sci.analysis.alignment import Align
from spike_zoo.methods.sci.training.clips import (
    Intermediates,
    deviation_at_rest,
    stretched,
)
from tests.methods.sci.batches import batch_of
from tests.methods.sci.coding import small


@pytest.mark.parametrize(
    ("align", "steps"),
    [
        ("afr", ["warped", "deformed", "fused"]),
        ("dcn", ["embedded", "deformed"]),
        ("warp", ["warped"]),
        ("none", ["embedded"]),
    ],
)
def test_a_sample_is_shown_with_every_step_of_its_alignment(align: Align, steps: list[str]) -> None:
    seed_everything(0)
    module = small("fam", align=align)
    with torch.no_grad():
        seen = Intermediates.of(module.codec, batch_of(module, 17, 22))
        pictures = seen.pictures(1)
    feature, motion, *found = pictures
    assert feature == "feature"
    assert motion.startswith("motion, up to")
    assert found == steps
    assert pictures["feature"].shape == (3, 17, 22)
    assert all(0 <= one.min() <= one.max() <= 1 for one in pictures.values())


def test_stretching_fills_the_range_and_leaves_the_flat_dark() -> None:
    assert stretched(torch.tensor([[2.0, 4.0, 3.0]])).tolist() == [[0.0, 1.0, 0.5]]
    assert stretched(torch.full((2, 2), 7.0)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_pictures_that_do_not_change_have_no_deviation() -> None:
    class Constant:
        def __init__(self, step: float) -> None:
            self.step = step

        def reconstruct(self, recording: object, centers: list[int]) -> torch.Tensor:
            return torch.stack([torch.full((1, 4, 4), self.step * n) for n in range(len(centers))])

    assert deviation_at_rest(cast("Any", Constant(0.0))) == 0
    assert deviation_at_rest(cast("Any", Constant(0.1))) > 0.1


def test_the_scene_at_rest_is_at_rest() -> None:
    seed_everything(0)
    module = small("fem")
    # a scene that moved would flicker as much as it differs from itself: more than its noise
    assert 0 < deviation_at_rest(module) < 0.01
