"""Widths and warping, as the specification states them."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.methods.sci.features.blocks import repeated, scaled, warped


@pytest.mark.parametrize(
    ("channels", "width", "wanted"),
    [(64, 1.0, 64), (64, 0.5, 32), (64, 0.125, 8), (32, 0.125, 8), (144, 0.25, 32), (96, 0.5, 48)],
)
def test_channels_are_multiples_of_eight_and_at_least_eight(
    channels: int, width: float, wanted: int
) -> None:
    assert scaled(channels, width) == wanted


def test_repeats_round_ties_to_the_even_and_stay_above_zero() -> None:
    assert [repeated(14, width) for width in (1.0, 0.5, 0.25, 0.125)] == [14, 7, 4, 2]
    assert [repeated(10, width) for width in (0.25, 0.05)] == [2, 1]


def test_a_backward_motion_of_minus_three_shifts_to_the_right() -> None:
    picture = torch.rand(1, 2, 24, 24, generator=torch.Generator().manual_seed(0))
    motion = torch.tensor([-3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 24, 24)
    moved = warped(picture, motion)
    torch.testing.assert_close(moved[..., 2:, 3:], picture[..., :-2, :-3], rtol=0, atol=1e-5)


def test_motion_that_is_no_number_is_refused_before_sampling() -> None:
    motion = torch.full((1, 2, 16, 16), torch.nan)
    with pytest.raises(ValueError, match=r"motion is not finite.*lower learning_rate"):
        warped(torch.zeros(1, 3, 16, 16), motion)
