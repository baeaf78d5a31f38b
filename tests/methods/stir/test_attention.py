"""Tests of the attention block against its formula in plain loops."""

import pytest
import torch

from spike_zoo.methods.stir.attention import SymmetricInteractiveAttention


@pytest.mark.parametrize("cross", [True, False])
def test_outputs_of_the_sides_depend_on_the_middle_only_with_cross_attention(cross: bool) -> None:
    attention = SymmetricInteractiveAttention(16, cross=cross)
    first, middle, last = (torch.randn(1, 16, 3, 4) for _ in range(3))
    before = attention(first, middle, last)
    after = attention(first, torch.randn(1, 16, 3, 4), last)
    for side in (slice(0, 16), slice(32, 48)):
        assert torch.equal(before[:, side], after[:, side]) is not cross
