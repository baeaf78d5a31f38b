"""Convolutions by matrix products against PyTorch's, and their gradients."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spike_zoo.nn.fast.narrow_conv import convolve_pointwise, convolve_to_few


@given(
    batch=st.integers(1, 2),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 9),
    count=st.integers(1, 8),
)
def test_taps_add_up_to_the_convolution_and_so_do_their_gradients(
    batch: int, height: int, width: int, channels: int, count: int
) -> None:
    conv = nn.Conv2d(channels, count, 3, padding=1).double()
    assert conv.bias is not None
    x = torch.randn(batch, channels, height, width, dtype=torch.float64, requires_grad=True)
    wanted, found = conv(x), convolve_to_few(x, conv.weight, conv.bias)
    torch.testing.assert_close(found, wanted)
    with torch.no_grad():
        torch.testing.assert_close(convolve_to_few(x, conv.weight, conv.bias), wanted)
    gradient, learned = torch.randn_like(wanted), [x, conv.weight, conv.bias]
    torch.testing.assert_close(
        torch.autograd.grad(found, learned, gradient),
        torch.autograd.grad(wanted, learned, gradient),
    )


def test_a_pointwise_convolution_is_a_matrix_product() -> None:
    conv, x = nn.Conv2d(21, 11, 1), torch.randn(2, 21, 6, 5)
    found = convolve_pointwise(x, conv.weight, conv.bias)
    torch.testing.assert_close(found, conv(x), rtol=1e-5, atol=1e-5)
