"""What enters each decoder and in which order flows are handed on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spike_zoo.methods.stir.decoder import (
    Features,
    FinestDecoder,
    Interaction,
    Level,
    RefiningDecoder,
    TopDecoder,
)


def features_of(channels: int, height: int, width: int) -> Features:
    return Features(*(torch.rand(1, channels, height, width) for _ in range(3)))


def coarser_level(hidden: int, height: int, width: int) -> Level:
    flow = torch.randn(1, 4, height, width)
    hidden_state = torch.randn(1, hidden, height, width)
    return Level(torch.rand(1, 1, height, width), hidden_state, flow=flow, upflow=flow + 1.0)


@pytest.mark.parametrize(
    ("interaction", "channels"), [("both", 13), ("warp_only", 13), ("synthesis_only", 9)]
)
def test_fusion_takes_the_described_number_of_channels(
    interaction: Interaction, channels: int
) -> None:
    per_feature = 2 if interaction == "warp_only" else 3
    decoder = RefiningDecoder(24, 96, interaction)
    assert decoder.fuse1.conv.in_channels == per_feature * 24 + channels


@pytest.mark.parametrize("fields", [1, 2, 3, 4])
def test_finest_fusion_grows_by_36_channels_a_motion_field(fields: int) -> None:
    decoder = FinestDecoder(16, 72, motion_fields=fields)
    assert decoder.fuse1.conv.in_channels == 25 + 36 * fields


def test_flow_is_corrected_and_the_image_predicted_anew() -> None:
    decoder = RefiningDecoder(8, 12)
    nn.init.zeros_(decoder.head.weight)
    level = decoder(features_of(8, 8, 8), coarser_level(12, 4, 4))
    bias = decoder.head.bias
    assert bias is not None
    torch.testing.assert_close(level.flow, level.upflow + bias[:4].view(1, 4, 1, 1))
    torch.testing.assert_close(level.image, bias[4].expand(1, 1, 8, 8))


def test_extra_fields_start_from_the_flow_before_its_refinement() -> None:
    decoder = FinestDecoder(16, 12, motion_fields=2)
    nn.init.zeros_(decoder.extra_flow.weight)
    coarser = coarser_level(12, 4, 4)
    level = decoder(features_of(16, 8, 8), coarser)
    bias = decoder.extra_flow.bias
    assert bias is not None
    assert coarser.upflow is not None
    start = coarser.upflow + bias.view(1, 4, 1, 1)
    torch.testing.assert_close(level.extra_flow, decoder.up_extra_flow(start))
    torch.testing.assert_close(level.upflow, decoder.up_flow(coarser.flow))


def test_synthesis_hands_on_no_flow() -> None:
    top = TopDecoder(8, predicts_motion=False)(torch.rand(1, 24, 4, 4))
    level = RefiningDecoder(8, 24, "synthesis_only")(features_of(8, 8, 8), top)
    finest = FinestDecoder(16, 24, "synthesis_only")(features_of(16, 16, 16), level)
    assert (finest.flow, finest.upflow, finest.extra_flow) == (None, None, None)
    assert finest.image.shape == (1, 1, 16, 16)
