"""Tests of the embeddings of a block of planes."""

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
    expected = [[2 / 21, 1 / 21], [2 / 17, 1 / 17], [1 / 13] * 2, [1 / 9] * 2, [1 / 5] * 2]
    torch.testing.assert_close(rates[0, :, 0], torch.tensor(expected))


@pytest.mark.parametrize("kind", ["multi_dilated", "hist", "resnet"])
def test_learned_channels_depend_on_every_plane(kind: EmbeddingKind) -> None:
    torch.manual_seed(0)
    block = torch.rand(1, 21, 12, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(HybridEmbedding(kind).eval()(block).sum(), block)
    assert (gradient.abs().amax(dim=(0, 2, 3)) > 0).all()


def test_dilated_branches_have_a_receptive_field_of_nine_pixels() -> None:
    torch.manual_seed(0)
    block = torch.rand(1, 21, 15, 15, requires_grad=True)
    middle = HybridEmbedding("multi_dilated")(block)[0, :, 7, 7].sum()
    (gradient,) = torch.autograd.grad(middle, block)
    rows = gradient.abs().amax(dim=(0, 1, 3)).nonzero().flatten().tolist()
    assert rows == list(range(3, 12))


@pytest.mark.parametrize("kind", ["tfp+resnet", "tfp", "hist"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_embeddings_are_the_same_with_and_without_gradients(
    kind: EmbeddingKind, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    embedding, block = HybridEmbedding(kind), (torch.rand(2, 21, 16, 24) < 0.3).float()
    embedding(block)  # running statistics other than 0 and 1
    embedding.eval().to(memory_format=layout)  # type: ignore[call-overload]  # it has this
    with torch.no_grad():
        actual = embedding(block)
    torch.testing.assert_close(actual, embedding(block), rtol=0, atol=1e-5)
