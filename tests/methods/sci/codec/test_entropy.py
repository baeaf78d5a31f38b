"""Two passes over a checkerboard: what each sees, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from spike_zoo.methods.sci.codec.entropy import Gains, LatentEntropy, UncodedLatent, checkerboard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from spike_zoo.methods.sci.codec.hyperprior import HyperPrior
    from spike_zoo.methods.sci.codec.scale_net import ScaleNet


CHANNELS, HYPER = 6, 8


class Watched:
    """Rounds as a coder does, at one level, and keeps what it was asked."""

    def __init__(self) -> None:
        self.contexts: list[list[Tensor]] = []
        self.means: list[Tensor] = []
        self.masks: list[Tensor] = []

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        assert latent is not None
        return latent.round()

    def scale_indexes(
        self, net: ScaleNet, hyper: Tensor, context: Sequence[Tensor], quality: int
    ) -> Tensor:
        self.contexts.append(list(context))
        return torch.full((1, CHANNELS, *context[0].shape[-2:]), 22)

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        assert latent is not None
        self.means.append(mean)
        self.masks.append(mask)
        symbols = torch.where(mask, (latent - mean).round(), 0.0)
        return symbols, symbols


def test_means_are_whole_floats_within_autocast(entropy: LatentEntropy) -> None:
    latent = 4 * torch.randn(1, CHANNELS, 4, 4)
    plain, decoded, _ = code(entropy, latent)
    with torch.autocast("cpu", torch.bfloat16):
        halved, cast, _ = code(entropy, latent)
    for one, wanted in zip(halved.means, plain.means, strict=True):
        assert torch.equal(one, wanted)
    assert torch.equal(cast, decoded)


@pytest.fixture
def entropy() -> LatentEntropy:
    torch.manual_seed(0)
    return LatentEntropy(
        CHANNELS, HYPER, raised=(8, 6), fusion=(8,), spatial=(8,), hidden=8, previous=True
    )


def code(
    entropy: LatentEntropy, latent: Tensor, previous: Tensor | None = None
) -> tuple[Watched, Tensor, Tensor]:
    watched = Watched()
    before = torch.zeros_like(latent) if previous is None else previous
    with torch.no_grad():
        given = UncodedLatent(latent, torch.ones(1, HYPER, 1, 1))
        known = entropy(watched, given, (1, 1), 1, [], before)
    return watched, known.latent, known.symbols


def test_half_of_every_channel_and_of_every_place_is_coded_first() -> None:
    mask = checkerboard(6, torch.zeros(1, 1, 4, 8))
    assert (mask.sum(dim=(1, 2)) == 16).all()
    assert (mask.sum(dim=0) == 3).all()
    assert mask[0, :2, :3].tolist() == [[True, False, True], [False, True, False]]
    assert torch.equal(mask[5], ~mask[0])


def test_what_is_decoded_lies_within_half_a_step_of_what_was_coded(entropy: LatentEntropy) -> None:
    latent = 5 * torch.randn(1, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(1))
    watched, decoded, symbols = code(entropy, latent)
    assert (decoded - latent).abs().max() <= 0.5 + 1e-5
    first, second = watched.masks
    assert torch.equal(first, ~second)
    residuals = torch.where(first, latent - watched.means[0], latent - watched.means[1])
    torch.testing.assert_close(symbols, residuals.round())


def test_the_second_pass_predicts_from_the_first_and_levels_from_its_symbols(
    entropy: LatentEntropy,
) -> None:
    latent = 5 * torch.randn(1, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(1))
    previous = torch.full_like(latent, 3.0)
    watched, _, symbols = code(entropy, latent, previous)
    mask = watched.masks[0]
    (none, before), (first, before_too) = watched.contexts
    assert not none.any()
    assert torch.equal(first, torch.where(mask, symbols, 0.0))
    assert torch.equal(before, previous)
    assert torch.equal(before_too, previous)
    moved, _, _ = code(entropy, torch.where(mask, latent + 9, latent), previous)
    assert torch.equal(moved.means[0], watched.means[0])
    assert not torch.equal(moved.means[1], watched.means[1])
    unseen, _, _ = code(entropy, torch.where(mask, latent, latent + 9), previous)
    assert torch.equal(unseen.means[1], watched.means[1])


def test_the_lowest_quality_begins_at_a_quarter_and_the_highest_at_one() -> None:
    gains, ones = Gains({"intra": 5}), torch.ones(1, 5, 2, 3)
    found = [float(gains.before("intra", ones, quality).detach().mean()) for quality in range(4)]
    assert found == pytest.approx([4 ** (-3 / 3), 4 ** (-2 / 3), 4 ** (-1 / 3), 1.0])


@pytest.mark.parametrize("quality", range(4))
def test_the_decoder_undoes_what_the_encoder_did(quality: int) -> None:
    gains, latent = Gains({"a": 4, "b": 7}), torch.randn(2, 7, 3, 3)
    back = gains.after("b", gains.before("b", latent, quality), quality)
    torch.testing.assert_close(back, latent)
