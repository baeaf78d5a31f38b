"""Tests of the colour coding of optical flow."""

import math

import pytest
import torch

from spike_zoo.media.flow import flow_image


@pytest.mark.parametrize(
    ("degrees", "colour"),
    [
        (0, (1, 0, 0)),
        (60, (1, 1, 0)),
        (120, (0, 1, 0)),
        (180, (0, 1, 1)),
        (240, (0, 0, 1)),
        (300, (1, 0, 1)),
    ],
)
def test_the_hue_encodes_the_direction(degrees: int, colour: tuple[int, int, int]) -> None:
    turn = math.radians(degrees)
    motion = torch.tensor([math.cos(turn), math.sin(turn)]).view(2, 1, 1)
    actual = flow_image(motion, 1.0).flatten()
    torch.testing.assert_close(actual, torch.tensor(colour).float(), rtol=0, atol=1e-5)
    half = flow_image(motion, 2.0).flatten()
    torch.testing.assert_close(half, (actual + 1) / 2, rtol=0, atol=1e-5)


def test_zero_flow_is_white_and_unknown_flow_is_grey() -> None:
    motion = torch.zeros(2, 1, 2)
    motion[:, 0, 1] = torch.nan
    assert flow_image(motion, 3.0)[:, 0].tolist() == [[1.0, 0.5]] * 3
