"""Conditions of the fast layers, and memory format and precision of joined channels."""

import pytest
import torch
from torch import nn

from spike_zoo.nn.fast.layout import (
    has_rows,
    is_eager_cpu,
    is_eager_inference,
    join_channels,
    set_memory_format,
)

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("autocast", [False, True])
def test_parts_are_joined_in_precision_and_layout_of_their_consumer(
    layout: torch.memory_format, autocast: bool
) -> None:
    conv = nn.Conv2d(5, 5, 3)
    set_memory_format(conv, layout)
    parts = [torch.rand(2, channels, 6, 7) for channels in (1, 4)]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        joined = join_channels(parts, consumer=conv)
    assert joined.dtype == (torch.bfloat16 if autocast else torch.float32)
    assert joined.is_contiguous(memory_format=layout)
    torch.testing.assert_close(joined, torch.cat(parts, dim=1).to(joined.dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_a_consumer_the_result_has_the_layout_of_the_last_part(
    layout: torch.memory_format,
) -> None:
    parts = [torch.rand(2, 3, 6, 7), torch.rand(2, 4, 6, 7).to(memory_format=layout)]
    joined = join_channels(parts)
    assert torch.equal(joined, torch.cat(parts, dim=1))
    assert has_rows(joined) is (layout is torch.channels_last)


def test_fast_layers_apply_on_cpus_and_some_only_without_gradients() -> None:
    cpu, meta = torch.zeros(1), torch.zeros(1, device="meta")
    assert is_eager_cpu(cpu)
    assert not is_eager_inference(cpu)
    with torch.no_grad():
        assert is_eager_inference(cpu)
        assert not is_eager_cpu(meta)
        assert not is_eager_inference(meta)


def test_compiled_code_uses_pytorchs_layers() -> None:
    def add_conditions(x: torch.Tensor) -> torch.Tensor:
        return x + is_eager_cpu(x) + 2 * is_eager_inference(x)

    with torch.no_grad():
        assert torch.compile(add_conditions, backend="eager")(torch.zeros(1)).item() == 0
        assert add_conditions(torch.zeros(1)).item() == 3
