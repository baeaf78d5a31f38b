"""The attention block against its formula, written out pixel by pixel and head by head."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from spike_zoo.methods.stir.attention import ChannelNorm, SymmetricInteractiveAttention, attend


def test_norm_is_over_the_channels_of_a_pixel() -> None:
    norm = ChannelNorm(8)
    torch.nn.init.uniform_(norm.weight)
    x = torch.rand(2, 8, 3, 4, dtype=torch.float64)
    wanted = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    wanted = wanted * norm.weight.double().view(1, 8, 1, 1)
    torch.testing.assert_close(norm.double()(x), wanted)


def test_channels_attend_to_channels_within_their_head() -> None:
    query, key, value = (torch.randn(1, 8, 3, 5, dtype=torch.float64) for _ in range(3))
    temperature = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).view(4, 1, 1)
    mixed = attend(query, torch.cat((key, value), dim=1), temperature)
    for channel in range(8):
        head = channel // 2
        others = [2 * head, 2 * head + 1]
        likeness = [_cosine(query[0, channel], key[0, other]) * (head + 1) for other in others]
        weights = [math.exp(a) / sum(math.exp(b) for b in likeness) for a in likeness]
        wanted = sum(w * value[0, other] for w, other in zip(weights, others, strict=True))
        torch.testing.assert_close(mixed[0, channel], torch.as_tensor(wanted))


def _cosine(a: Tensor, b: Tensor) -> float:
    return (a * b).sum().item() / (a.norm() * b.norm()).item()


@pytest.mark.parametrize("cross", [True, False])
def test_middle_feature_passes_as_it_is(cross: bool) -> None:
    attention = SymmetricInteractiveAttention(16, cross=cross)
    first, middle, last = (torch.randn(2, 16, 3, 4) for _ in range(3))
    joined = attention(first, middle, last)
    torch.testing.assert_close(joined[:, 16:32], middle, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("cross", [True, False])
def test_sides_ask_the_middle_only_when_they_interact(cross: bool) -> None:
    attention = SymmetricInteractiveAttention(16, cross=cross)
    first, middle, last = (torch.randn(1, 16, 3, 4) for _ in range(3))
    before = attention(first, middle, last)
    after = attention(first, torch.randn(1, 16, 3, 4), last)
    for side in (slice(0, 16), slice(32, 48)):
        assert torch.equal(before[:, side], after[:, side]) is not cross


def test_exported_attention_takes_other_sizes_than_it_was_traced_with() -> None:
    attention = SymmetricInteractiveAttention(16).eval()
    traced, other = ([torch.rand(1, 16, *size) for _ in range(3)] for size in ((6, 7), (9, 5)))
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(attention, tuple(traced), dynamic_shapes=(free, free, free))
    torch.testing.assert_close(program.module()(*other), attention(*other))
