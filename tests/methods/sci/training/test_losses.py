"""Losses of the stages against closed forms."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.methods.sci.analysis.fam import FAMOutput
from spike_zoo.methods.sci.features.motion_estimation import FACTORS
from spike_zoo.methods.sci.training.losses import (
    extraction_terms,
    motion_terms,
    reconstruction_terms,
)
from spike_zoo.nn.flow import MOTION_WEIGHTS


def test_a_feature_that_is_the_image_costs_its_roughness_alone() -> None:
    columns = torch.arange(8.0).view(1, 1, 1, 8) / 8
    parabola = columns.square().expand(1, 3, 8, 8)  # its second difference is 2 / 64
    terms = extraction_terms(parabola, parabola[:, :1], smoothness_weight=0.5)
    assert terms["anchor"] == 0
    assert terms["lap1"] == pytest.approx(1 / 32)
    assert terms["lap2"] == pytest.approx(1 / 32**2)
    assert terms["total"] == pytest.approx(0.5 * (1 / 32 + 1 / 32**2))


def test_the_anchor_is_the_mean_over_channels() -> None:
    feature = torch.tensor([0.1, 0.3, 0.8]).view(1, 3, 1, 1).expand(1, 3, 6, 6)
    terms = extraction_terms(feature, torch.full((1, 1, 6, 6), 0.9), smoothness_weight=0.0)
    assert terms["total"] == pytest.approx(0.25)


def test_the_truth_counts_at_every_level_by_its_weight() -> None:
    truth = torch.zeros(1, 2, 32, 32)
    truth[:, 0] = 16.0
    motions = [torch.zeros(1, 2, 32 // factor, 32 // factor) for factor in FACTORS]
    current, reference = torch.rand(2, 1, 3, 32, 32)
    terms = motion_terms(motions, current, reference, truth, flow_loss_weight=0.5)
    wanted = sum(MOTION_WEIGHTS[factor] * 16 / factor for factor in FACTORS)
    assert terms["true"] == pytest.approx(wanted, rel=1e-4)
    photometric = (current - reference).square().mean()
    assert terms["total"] == pytest.approx(float(photometric + 0.5 * wanted), rel=1e-4)
    alone = motion_terms(motions, current, reference, truth, flow_loss_weight=0.0)
    assert set(alone) == {"warp", "total"}
    assert alone["total"] == pytest.approx(float(photometric))


def test_preliminary_images_count_a_tenth() -> None:
    image = torch.zeros(1, 1, 4, 4)
    found = FAMOutput(image + 0.5, image + 1.0, image + 2.0)
    terms = reconstruction_terms(found, image)
    assert terms["total"] == pytest.approx(0.25 + 0.1 * (1.0 + 4.0))
