"""Fixed tables of the lossless coder's context model."""

import numpy as np
import pytest

from spike_zoo.coding.spl.spike_model import firing_model

MODEL = firing_model(3, 4)


def test_probabilities_follow_the_logistic_function() -> None:
    log_odds = np.arange(-3071, 3072) / 256
    np.testing.assert_allclose(MODEL.chance, 65536 / (1 + np.exp(-log_odds)), atol=1.01)
    assert (MODEL.chance[0], MODEL.chance[3071], MODEL.chance[-1]) == (1, 32768, 65535)


def test_log_odds_are_inverse_to_probabilities() -> None:
    middles = (np.arange(4096) + 0.5) * 16
    expected = 256 * np.log(middles / (65536 - middles))
    np.testing.assert_allclose(MODEL.odds, expected, rtol=0.01, atol=2)


def test_luminance_is_quantised_to_eighths_of_octaves() -> None:
    assert MODEL.octaves[16] == 8 + MODEL.octaves[8]
    assert MODEL.octaves[2047] == 63
    assert (np.diff(MODEL.octaves) >= 0).all()
    assert MODEL.octaves[1024] / 8 == pytest.approx(np.log2(1024 / 8), abs=0.01)
