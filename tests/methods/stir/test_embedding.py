"""What one block of planes looks like to the encoder."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.methods.stir.embedding import (
    EmbeddingKind,
    HybridEmbedding,
    NestedTFP,
    nested_windows,
)


def test_windows_are_nested_around_the_middle_longest_first() -> None:
    assert nested_windows(21, 2) == [(0, 21), (2, 19), (4, 17), (6, 15), (8, 13)]
    lengths = [stop - start for start, stop in nested_windows(21, 1)]
    assert lengths == [21, 19, 17, 15, 13, 11, 9, 7, 5, 3]


def test_rates_count_the_spikes_of_each_window() -> None:
    block = torch.zeros(1, 21, 1, 2)
    block[:, 10] = 1.0  # in every window
    block[:, 3, :, 0] = 1.0  # in the two longest
    rates = NestedTFP(step=2)(block)
    wanted = [[2 / 21, 1 / 21], [2 / 17, 1 / 17], [1 / 13, 1 / 13], [1 / 9, 1 / 9], [1 / 5, 1 / 5]]
    torch.testing.assert_close(rates[0, :, 0], torch.tensor(wanted))


@pytest.mark.parametrize("kind", ["tfp+resnet", "tfp", "resnet"])
def test_every_embedding_has_16_channels(kind: EmbeddingKind) -> None:
    assert HybridEmbedding(kind)(torch.rand(2, 21, 9, 7)).shape == (2, 16, 9, 7)


def test_hybrid_embedding_begins_with_the_firing_rates() -> None:
    block = (torch.rand(3, 21, 8, 8) < 0.4).float()
    embedded = HybridEmbedding()(block)
    torch.testing.assert_close(embedded[:, 0], block.mean(dim=1))
    torch.testing.assert_close(embedded[:, 4], block[:, 8:13].mean(dim=1))
