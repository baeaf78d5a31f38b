"""The faster ways of inference against the layers they stand for."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from spike_zoo.nn import warp
from spike_zoo.nn.fast.warp import fold, warp_rows

SIDES = st.integers(2, 19)


@given(
    batch=st.integers(1, 3),
    height=SIDES,
    width=SIDES,
    channels=st.integers(1, 20),
    reach=st.sampled_from([0.0, 0.4, 3.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_rows_are_sampled_as_the_general_sampler_does(
    batch: int, height: int, width: int, channels: int, reach: float, seed: int
) -> None:
    torch.manual_seed(seed)
    features = torch.randn(batch, channels, height, width)
    flow = reach * torch.randn(batch, 2, height, width)
    wanted = warp(features, flow)
    rows = features.to(memory_format=torch.channels_last)
    torch.testing.assert_close(warp_rows(rows, flow), wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        warp_rows(rows.double(), flow.double()), warp(features.double(), flow.double())
    )


def test_a_flow_that_is_no_number_still_samples_the_image() -> None:
    flow = torch.full((1, 2, 4, 4), float("nan"))
    assert torch.isfinite(warp_rows(torch.rand(1, 3, 4, 4), flow)).all()


def test_a_folded_batch_norm_changes_nothing() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
    for _ in range(5):
        norm(conv(3 * torch.randn(2, 3, 9, 9) + 1))
    nn.init.uniform_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.eval()
    x = torch.randn(1, 3, 7, 7)
    with torch.no_grad():
        torch.testing.assert_close(F.conv2d(x, *fold(conv, norm)), norm(conv(x)))
