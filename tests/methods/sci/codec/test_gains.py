"""Quality levels: gains begin evenly spaced, and the decoder's undo the encoder's."""

from __future__ import annotations

import pytest
import torch

from spike_zoo.methods.sci.codec.gains import Gains


def test_the_lowest_quality_begins_at_a_quarter_and_the_highest_at_one() -> None:
    gains, ones = Gains({"intra": 5}), torch.ones(1, 5, 2, 3)
    found = [float(gains.before("intra", ones, quality).detach().mean()) for quality in range(4)]
    assert found == pytest.approx([4 ** (-3 / 3), 4 ** (-2 / 3), 4 ** (-1 / 3), 1.0])


@pytest.mark.parametrize("quality", range(4))
def test_the_decoder_undoes_what_the_encoder_did(quality: int) -> None:
    gains, latent = Gains({"a": 4, "b": 7}), torch.randn(2, 7, 3, 3)
    back = gains.after("b", gains.before("b", latent, quality), quality)
    torch.testing.assert_close(back, latent)
