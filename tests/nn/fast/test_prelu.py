"""PReLU in parts against PyTorch's."""

import pytest
import torch
from torch import Tensor, nn

from spike_zoo.nn.fast.prelu import PART, PReLU, prelu

LAYOUTS = [torch.contiguous_format, torch.channels_last]
SHAPES = [(2, 5, 7, 9), (1, 3, 300, 160), (1, PART // 16, 3, 33)]  # one part, several, single rows


def example(shape: tuple[int, ...], layout: torch.memory_format) -> Tensor:
    torch.manual_seed(0)
    x = torch.randn(shape)
    x[..., 0] = 0.0  # where the slope changes
    return x.to(memory_format=layout)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("is_shared", [True, False])
def test_values_and_gradients_equal_pytorch(
    shape: tuple[int, ...], layout: torch.memory_format, is_shared: bool
) -> None:
    act, fast = (kind(1 if is_shared else shape[1]) for kind in (nn.PReLU, PReLU))
    nn.init.uniform_(act.weight, -0.5, 1.5)
    fast.load_state_dict(act.state_dict())
    ours, theirs = (example(shape, layout).requires_grad_() for _ in range(2))
    gradient = torch.randn(shape)
    expected = act(theirs)
    expected_x, expected_slopes = torch.autograd.grad(expected, [theirs, act.weight], gradient)
    image = fast(ours)
    actual_x, actual_slopes = torch.autograd.grad(image, [ours, fast.weight], gradient)
    assert torch.equal(image, expected)
    assert torch.equal(actual_x, expected_x)
    torch.testing.assert_close(actual_slopes, expected_slopes, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_gradients_the_input_is_overwritten(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    act, x = nn.PReLU(shape[1]), example(shape, layout)
    with torch.no_grad():
        expected = act(x)
        assert torch.equal(prelu(x, act.weight), expected)
    assert torch.equal(x, expected)


def test_slope_has_a_gradient_if_the_input_requires_none() -> None:
    act, x = nn.PReLU(3), example((1, 3, 4, 4), torch.channels_last)
    prelu(x, act.weight).sum().backward()
    assert act.weight.grad is not None
    torch.testing.assert_close(act.weight.grad, x.clamp(max=0).sum(dim=(0, 2, 3)))
