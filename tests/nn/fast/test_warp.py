"""Warping of channels-last features against grid_sample."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.nn import warp
from spike_zoo.nn.fast.warp import warp_each, warp_rows

SIDES = st.integers(2, 19)


@given(
    batch=st.integers(1, 3),
    height=SIDES,
    width=SIDES,
    channels=st.integers(1, 20),
    reach=st.sampled_from([0.0, 0.4, 3.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_compiled_warping_equals_grid_sample(
    batch: int, height: int, width: int, channels: int, reach: float, seed: int
) -> None:
    torch.manual_seed(seed)
    features = torch.randn(batch, channels, height, width)
    flow = reach * torch.randn(batch, 2, height, width)
    expected = warp(features, flow)
    rows = features.to(memory_format=torch.channels_last)
    torch.testing.assert_close(warp_rows(rows, flow), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        warp_rows(rows.double(), flow.double()), warp(features.double(), flow.double())
    )


def test_a_flow_of_nan_gives_finite_values() -> None:
    flow = torch.full((1, 2, 4, 4), float("nan"))
    assert torch.isfinite(warp_rows(torch.rand(1, 3, 4, 4), flow)).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(6, 7), (1, 7), (6, 1)])
def test_features_are_warped_by_several_flows_in_every_layout(
    layout: torch.memory_format, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 5, *size).to(memory_format=layout).requires_grad_()
    flows = [torch.randn(2, 2, *size, requires_grad=True) for _ in range(3)]
    expected = [warp(features, flow) for flow in flows]
    actual = warp_each(features, flows)
    torch.testing.assert_close(actual, expected)
    with torch.no_grad():
        torch.testing.assert_close(warp_each(features, flows), expected, rtol=0, atol=1e-6)
    gradients = [torch.randn_like(image) for image in expected]
    torch.testing.assert_close(
        torch.autograd.grad(actual, [features, *flows], gradients),
        torch.autograd.grad(expected, [features, *flows], gradients),
    )
