"""The feature pyramid's sizes and slopes."""

from __future__ import annotations

import torch

from spike_zoo.methods.stir.encoder import PyramidEncoder


def test_each_level_halves_the_size() -> None:
    features = PyramidEncoder((16, 24, 32, 64, 96))(torch.rand(2, 16, 32, 48))
    shapes = [tuple(feature.shape) for feature in features]
    assert shapes == [(2, 24, 16, 24), (2, 32, 8, 12), (2, 64, 4, 6), (2, 96, 2, 3)]


def test_a_stage_has_one_slope_for_all_channels() -> None:
    slopes = [p.numel() for n, p in PyramidEncoder((16, 24)).named_parameters() if ".act." in n]
    assert slopes == [1, 1]
