"""Fast convolutions (fused batch norm, PReLU, matrix products) against PyTorch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.nn.fast.convolutions import (
    ConvPReLU,
    JoiningConvPReLU,
    NarrowConv2d,
    PointwiseConv2d,
    conv_norm,
    convolve_to_few,
)
from spike_zoo.nn.fast.layout import set_memory_format

WIDTHS = (1, 60, 72)  # together 133 channels, 11 short of whole vectors
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def plain(layer: ConvPReLU) -> nn.Sequential:
    """Return PyTorch's standard layers with the same weights."""
    inside, outside = layer.conv.in_channels, layer.conv.out_channels
    standard = nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.PReLU(outside))
    standard.load_state_dict(
        dict(zip(standard.state_dict(), layer.state_dict().values(), strict=True))
    )
    return standard.to(layer.conv.weight.dtype)


def assert_equal(
    actual: Tensor, learned: list[Tensor], expected: Tensor, others: list[Tensor]
) -> None:
    """Compare two outputs, and the gradients of the tensors that they depend on."""
    torch.testing.assert_close(actual, expected)
    gradient = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, learned, gradient),
        torch.autograd.grad(expected, others, gradient),
    )


@pytest.mark.parametrize("side", [4, 50])  # without and with channels of zeros
@pytest.mark.parametrize("layout", LAYOUTS)
def test_joined_parts_equal_concatenation_in_values_and_gradients(
    side: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    joining, following = JoiningConvPReLU(133, 133).double(), ConvPReLU(133, 3).double()
    set_memory_format(joining, layout)
    set_memory_format(following, layout)
    shapes = [(1, width, side, side) for width in WIDTHS]
    parts = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    first, second = plain(joining), plain(following)
    expected = second(first(torch.cat(parts, dim=1)))
    actual = following(joining(joining.join(parts)))
    ours = [*parts, *joining.parameters(), *following.parameters()]
    theirs = [*parts, *first.parameters(), *second.parameters()]
    assert_equal(actual, ours, expected, theirs)


def learned_pair(**norm_arguments: bool) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return convolution and batch norm with statistics and parameters that are not initial."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8, **norm_arguments)
    for _ in range(5):
        norm(conv(3 * torch.randn(2, 3, 9, 9) + 1))
    if norm.affine:
        nn.init.uniform_(norm.weight)
        nn.init.normal_(norm.bias)
    return conv, norm


@pytest.mark.parametrize("arguments", [{}, {"affine": False}, {"track_running_stats": False}])
def test_fused_batch_norm_gives_the_same_images(arguments: dict[str, bool]) -> None:
    conv, norm = learned_pair(**arguments)
    norm.eval()
    x = torch.randn(1, 3, 7, 7)
    with torch.no_grad():
        torch.testing.assert_close(conv_norm(conv, norm, x), norm(conv(x)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("is_training", [True, False])
def test_values_gradients_and_statistics_equal_pytorch(
    layout: torch.memory_format, is_training: bool
) -> None:
    x = torch.randn(2, 3, 9, 9)
    results = []
    for compute in (conv_norm, lambda conv, norm, x: norm(conv(x))):
        conv, norm = learned_pair()
        set_memory_format(conv, layout)
        norm.train(is_training)
        y = compute(conv, norm, x)
        y.square().sum().backward()
        learned = [*conv.parameters(), *norm.parameters()]
        results.append([y, *(p.grad for p in learned), norm.running_mean, norm.running_var])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def test_statistics_of_channels_last_images_are_exact() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, momentum=1.0)
    nn.init.dirac_(conv.weight)  # identity
    x = (10.0 + torch.rand(3, 4, 256, 256)).to(memory_format=torch.channels_last)
    conv_norm(conv, norm, x)
    assert norm.running_mean is not None
    expected = x.double().mean(dim=(0, 2, 3))
    # PyTorch's error is 1.5e-4
    torch.testing.assert_close(norm.running_mean.double(), expected, rtol=0, atol=1e-6)


@given(
    batch=st.integers(1, 2),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 9),
    count=st.integers(1, 8),
)
def test_convolution_to_few_channels_equals_pytorch_in_values_and_gradients(
    batch: int, height: int, width: int, channels: int, count: int
) -> None:
    conv = nn.Conv2d(channels, count, 3, padding=1).double()
    assert conv.bias is not None
    x = torch.randn(batch, channels, height, width, dtype=torch.float64, requires_grad=True)
    expected, learned = conv(x), [x, conv.weight, conv.bias]
    with torch.no_grad():
        torch.testing.assert_close(convolve_to_few(x, conv.weight, conv.bias), expected)
    assert_equal(convolve_to_few(x, conv.weight, conv.bias), learned, expected, learned)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_narrow_convolution_equals_pytorch_in_every_layout(layout: torch.memory_format) -> None:
    narrow, theirs = NarrowConv2d(6, 2), nn.Conv2d(6, 2, 3, padding=1)
    theirs.load_state_dict(narrow.state_dict())
    set_memory_format(narrow, layout)
    x = torch.randn(2, 6, 5, 8)
    torch.testing.assert_close(narrow(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bias", [True, False])
def test_1x1_convolution_equals_pytorch(layout: torch.memory_format, bias: bool) -> None:
    ours, theirs = PointwiseConv2d(21, 11, bias=bias).double(), nn.Conv2d(21, 11, 1, bias=bias)
    theirs.double().load_state_dict(ours.state_dict())
    x = torch.randn(2, 21, 6, 5, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    actual = ours(x)
    assert actual.is_contiguous(memory_format=layout)
    assert_equal(actual, [x, *ours.parameters()], theirs(x), [x, *theirs.parameters()])


@pytest.mark.parametrize(("kind", "taps"), [(NarrowConv2d, 9), (PointwiseConv2d, 1)])
def test_fast_convolutions_have_the_flops_of_a_convolution(
    kind: type[NarrowConv2d | PointwiseConv2d], taps: int
) -> None:
    layer, x = kind(6, 2), torch.randn(2, 6, 5, 8).to(memory_format=torch.channels_last)
    set_memory_format(layer, torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(x)
    assert counter.get_total_flops() == 2 * 2 * 6 * 2 * taps * 5 * 8
