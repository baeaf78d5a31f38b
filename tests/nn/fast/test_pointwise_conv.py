"""The 1x1 convolution by a matrix product against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.nn.fast import PointwiseConv2d


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_pytorch(layout: torch.memory_format, bias: bool) -> None:
    ours, theirs = PointwiseConv2d(21, 11, bias=bias).double(), nn.Conv2d(21, 11, 1, bias=bias)
    theirs.double().load_state_dict(ours.state_dict())
    x = torch.randn(2, 21, 6, 5, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    found, wanted = ours(x), theirs(x)
    torch.testing.assert_close(found, wanted)
    assert found.is_contiguous(memory_format=layout)
    gradient = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, *ours.parameters()], gradient),
        torch.autograd.grad(wanted, [x, *theirs.parameters()], gradient),
    )


def test_it_is_counted_as_the_convolution() -> None:
    x = torch.randn(2, 21, 6, 5).to(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter:
        PointwiseConv2d(21, 11)(x)
    assert counter.get_total_flops() == 2 * 2 * 21 * 11 * 6 * 5
