"""Conditions of the fast layers, and memory format and precision of joined channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spike_zoo.nn.fast import join_channels, lay_out
from spike_zoo.nn.fast.layout import (
    has_rows,
    is_channels_last,
    is_eager_cpu,
    laid_out_for,
    only_makes_pictures,
)

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("autocast", [False, True])
def test_parts_are_joined_in_precision_and_layout_of_their_consumer(
    layout: torch.memory_format, autocast: bool
) -> None:
    conv = nn.Conv2d(5, 5, 3)
    lay_out(conv, layout)
    parts = [torch.rand(2, channels, 6, 7) for channels in (1, 4)]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        joined = join_channels(parts, consumer=conv)
    assert joined.dtype == (torch.bfloat16 if autocast else torch.float32)
    assert joined.is_contiguous(memory_format=layout)
    torch.testing.assert_close(joined, torch.cat(parts, dim=1).to(joined.dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_a_consumer_the_last_part_gives_the_layout(layout: torch.memory_format) -> None:
    parts = [torch.rand(2, 3, 6, 7), torch.rand(2, 4, 6, 7).to(memory_format=layout)]
    joined = join_channels(parts)
    assert torch.equal(joined, torch.cat(parts, dim=1))
    assert has_rows(joined) is (layout is torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_come_in_the_layout_of_the_weights(layout: torch.memory_format) -> None:
    convs = nn.Sequential(nn.Conv2d(4, 5, 3), nn.Conv2d(5, 2, 3))
    lay_out(convs, layout)
    first = convs[0]
    assert isinstance(first, nn.Conv2d)
    assert is_channels_last(first) is (layout is torch.channels_last)
    for given in LAYOUTS:
        x = torch.rand(2, 4, 8, 9).to(memory_format=given)
        convs.zero_grad()
        convs(laid_out_for(first, x)).sum().backward()
        assert first.weight.grad is not None
        assert first.weight.grad.is_contiguous(memory_format=layout)


def test_they_apply_on_cpus_and_some_only_without_gradients() -> None:
    cpu, elsewhere = torch.zeros(1), torch.zeros(1, device="meta")
    assert is_eager_cpu(cpu)
    assert not only_makes_pictures(cpu)
    with torch.no_grad():
        assert only_makes_pictures(cpu)
        assert not is_eager_cpu(elsewhere)
        assert not only_makes_pictures(elsewhere)


def test_a_compiler_gets_pytorch_s_own_layers() -> None:
    def answers(x: torch.Tensor) -> torch.Tensor:
        return x + is_eager_cpu(x) + 2 * only_makes_pictures(x)

    with torch.no_grad():
        assert torch.compile(answers, backend="eager")(torch.zeros(1)).item() == 0
        assert answers(torch.zeros(1)).item() == 3
