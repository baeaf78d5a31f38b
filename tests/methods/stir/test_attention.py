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


@pytest.mark.slow
def test_exported_attention_accepts_other_sizes_than_the_traced_one() -> None:
    attention = SymmetricInteractiveAttention(16).eval()
    traced, other = ([torch.rand(1, 16, *size) for _ in range(3)] for size in ((6, 7), (9, 5)))
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(attention, tuple(traced), dynamic_shapes=(free, free, free))
    torch.testing.assert_close(program.module()(*other), attention(*other))
