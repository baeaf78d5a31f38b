"""Pictures of what the networks saw, and norms and stillness that a test measures."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from lightning import seed_everything

from spike_zoo.methods.sci.analysis.alignment import Align
from spike_zoo.methods.sci.training.clips import add_norms, deviation_at_rest, norm_metrics
from spike_zoo.methods.sci.training.visualization import Intermediates, stretched
from tests.methods.sci.batches import batch_of
from tests.methods.sci.coding import stage_module

WIDTHS = {"fem_width": 0.125, "codec_width": 0.125, "fam_width": 0.125}


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
    module = stage_module("fam", align=align, lpips="off", **WIDTHS)
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


def test_norms_are_means_over_features() -> None:
    metrics = norm_metrics("test/")
    flat = torch.full((1, 3, 8, 8), 0.5)
    parabola = (torch.arange(8.0).view(1, 1, 1, 8) / 8).square().expand(1, 3, 8, 8)
    add_norms(metrics, torch.cat([flat, parabola]))
    found: dict[str, Any] = metrics.compute()
    assert found["test/lap1"] == pytest.approx(0.5 / 32)
    assert found["test/lap2"] == pytest.approx(0.5 / 32**2)
    deviation = parabola.std(correction=0)
    assert found["test/lap1_normalised"] == pytest.approx(0.5 / 32 / float(deviation))


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
    module = stage_module("fem", fem_width=0.125, lpips="off")
    # a scene that moved would flicker as much as it differs from itself: more than its noise
    assert 0 < deviation_at_rest(module) < 0.01
