"""A convolution and a batch norm together against one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spike_zoo.nn.fast import conv_norm, lay_out


def learned_pair(**norm_arguments: bool) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return layers with running statistics, factors and summands other than the first ones."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8, **norm_arguments)
    for _ in range(5):
        norm(conv(3 * torch.randn(2, 3, 9, 9) + 1))
    if norm.affine:
        nn.init.uniform_(norm.weight)
        nn.init.normal_(norm.bias)
    return conv, norm


@pytest.mark.parametrize("arguments", [{}, {"affine": False}, {"track_running_stats": False}])
def test_pictures_are_the_same_with_the_norm_inside_the_convolution(
    arguments: dict[str, bool],
) -> None:
    conv, norm = learned_pair(**arguments)
    norm.eval()
    x = torch.randn(1, 3, 7, 7)
    with torch.no_grad():
        torch.testing.assert_close(conv_norm(conv, norm, x), norm(conv(x)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("is_training", [True, False])
def test_values_gradients_and_statistics_are_those_of_pytorch(
    layout: torch.memory_format, is_training: bool
) -> None:
    x = torch.randn(2, 3, 9, 9)
    results = []
    for compute in (conv_norm, lambda conv, norm, x: norm(conv(x))):
        conv, norm = learned_pair()
        lay_out(conv, layout)
        norm.train(is_training)
        y = compute(conv, norm, x)
        y.square().sum().backward()
        learned = [*conv.parameters(), *norm.parameters()]
        results.append([y, *(p.grad for p in learned), norm.running_mean, norm.running_var])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def test_statistics_of_channels_last_images_are_exact() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, momentum=1.0)
    nn.init.dirac_(conv.weight)  # it gives what it is given
    x = (10.0 + torch.rand(3, 4, 256, 256)).to(memory_format=torch.channels_last)
    conv_norm(conv, norm, x)
    assert norm.running_mean is not None
    wanted = x.double().mean(dim=(0, 2, 3))
    # 1.5e-4 by PyTorch alone
    torch.testing.assert_close(norm.running_mean.double(), wanted, rtol=0, atol=1e-6)
