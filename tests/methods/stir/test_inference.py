"""The faster ways of inference against the layers they stand for."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from spike_zoo.methods.stir import STIR
from spike_zoo.methods.stir.embedding import EmbeddingKind, HybridEmbedding
from spike_zoo.methods.stir.inference import fold, only_makes_pictures, warp_rows
from spike_zoo.nn import warp

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


@pytest.mark.parametrize("kind", get_args(EmbeddingKind))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_embedding_is_the_same_with_and_without_gradients(
    kind: EmbeddingKind, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    embedding, block = HybridEmbedding(kind), (torch.rand(2, 21, 16, 24) < 0.3).float()
    embedding(block)  # running statistics other than 0 and 1
    embedding.eval().to(memory_format=layout)  # type: ignore[call-overload]  # it has this
    with torch.no_grad():
        found = embedding(block)
    torch.testing.assert_close(found, embedding(block), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_image_is_the_same_with_and_without_gradients(
    layout: torch.memory_format, official_network: STIR
) -> None:
    torch.manual_seed(0)
    spikes = (torch.rand(2, 61, 50, 67) < 0.3).float()
    official_network.to(memory_format=layout)  # type: ignore[call-overload]  # it has this
    assert not only_makes_pictures(spikes)
    wanted = official_network(spikes).detach()
    with torch.no_grad():
        assert only_makes_pictures(spikes)
        found = official_network(spikes)
    official_network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # it has this
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
