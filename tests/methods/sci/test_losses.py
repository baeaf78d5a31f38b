"""Losses of the stages against closed forms."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.methods.sci.fam import Branches
from spike_zoo.methods.sci.losses import (
    LEVEL_WEIGHTS,
    end_point_error,
    extraction_terms,
    motion_terms,
    pooled_motion,
    reconstruction_terms,
)
from spike_zoo.methods.sci.motion import FACTORS


def test_a_feature_that_is_the_image_costs_its_roughness_alone() -> None:
    columns = torch.arange(8.0).view(1, 1, 1, 8) / 8
    parabola = columns.square().expand(1, 3, 8, 8)  # its second difference is 2 / 64
    terms = extraction_terms(parabola, parabola[:, :1], w_lap=0.5)
    assert terms["anchor"] == 0
    assert terms["lap1"] == pytest.approx(1 / 32)
    assert terms["lap2"] == pytest.approx(1 / 32**2)
    assert terms["total"] == pytest.approx(0.5 * (1 / 32 + 1 / 32**2))


def test_the_anchor_is_the_mean_over_channels() -> None:
    feature = torch.tensor([0.1, 0.3, 0.8]).view(1, 3, 1, 1).expand(1, 3, 6, 6)
    terms = extraction_terms(feature, torch.full((1, 1, 6, 6), 0.9), w_lap=0.0)
    assert terms["total"] == pytest.approx(0.25)


def test_motion_shrinks_with_the_picture_and_knows_what_is_unknown() -> None:
    truth = torch.zeros(1, 2, 4, 4)
    truth[:, 0] = 6.0
    truth[:, :, :2] = torch.nan
    truth[:, :, 2, :2] = torch.nan
    half = pooled_motion(truth, 2)
    assert torch.isnan(half[:, :, 0]).all()
    assert half[0, 0, 1].tolist() == [3.0, 3.0]  # pixels of the smaller picture
    assert end_point_error(half.new_zeros(1, 2, 2, 2), half) == pytest.approx(3.0)


def test_the_truth_counts_at_every_level_by_its_weight() -> None:
    truth = torch.zeros(1, 2, 32, 32)
    truth[:, 0] = 16.0
    motions = [torch.zeros(1, 2, 32 // factor, 32 // factor) for factor in FACTORS]
    current, reference = torch.rand(2, 1, 3, 32, 32)
    terms = motion_terms(motions, current, reference, truth, w_true=0.5)
    wanted = sum(w * 16 / f for w, f in zip(LEVEL_WEIGHTS, FACTORS, strict=True))
    assert terms["true"] == pytest.approx(wanted, rel=1e-4)
    photometric = (current - reference).square().mean()
    assert terms["total"] == pytest.approx(float(photometric + 0.5 * wanted), rel=1e-4)
    alone = motion_terms(motions, current, reference, truth, w_true=0.0)
    assert set(alone) == {"warp", "total"}
    assert alone["total"] == pytest.approx(float(photometric))


def test_preliminary_images_count_a_tenth() -> None:
    image = torch.zeros(1, 1, 4, 4)
    found = Branches(image + 0.5, image + 1.0, image + 2.0)
    terms = reconstruction_terms(found, image)
    assert terms["total"] == pytest.approx(0.25 + 0.1 * (1.0 + 4.0))
