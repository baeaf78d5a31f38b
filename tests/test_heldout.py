"""Held-out likelihood: normalised probabilities, and correct ranking of images."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.heldout.likelihood import count_log2, heldout_likelihood
from spike_zoo.simulation import SpikeCamera


@given(charge=st.floats(0, 11), sigma=st.sampled_from([0.0, 1e-9, 0.25, 0.5]))
def test_probabilities_of_counts_sum_to_1(charge: float, sigma: float) -> None:
    counts = torch.arange(-20, 40)
    expected = torch.full((60,), charge, dtype=torch.float64)
    probability = count_log2(counts, expected, 11, sigma=sigma, epsilon=0.0).exp2()
    assert float(probability.sum()) == pytest.approx(1, abs=1e-12)


def _scene(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return an image, and the planes before and after a gap of 20 planes."""
    rng = np.random.default_rng(seed)
    image = np.clip(0.5 + 0.3 * np.sin(np.linspace(0, 30, 96 * 96)).reshape(96, 96), 0, 1)
    image = np.clip(image + 0.1 * rng.standard_normal((96, 96)), 0.05, 0.95).astype(np.float32)
    spikes = SpikeCamera(gain=0.6, generator=rng).record([np.tile(image, (60, 1, 1))])[:]
    return torch.from_numpy(image), torch.from_numpy(spikes[:11]), torch.from_numpy(spikes[40:51])


def test_the_true_image_has_the_best_score_and_larger_errors_have_lower_scores() -> None:
    truth, before, block = _scene()
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(truth.shape, generator=rng)
    images = [truth, *(truth + 10 ** (-decibel / 20) * noise for decibel in (36, 30, 24, 18))]

    def score(image: torch.Tensor, **options: object) -> float:
        result = heldout_likelihood(image, block, 50, rate_scale=0.6, preceding=before, **options)  # type: ignore[arg-type]
        assert result.share == 1
        return result.bits

    scores = [score(image.clamp(0, 1)) for image in images]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.1
    blurred = torch.nn.functional.avg_pool2d(truth[None, None], 3, 1, 1)[0, 0]
    assert score(blurred) < scores[0]
    assert score(0.95 * truth, gain="one") < score(truth, gain="one")
    assert score(0.5 * truth) == pytest.approx(scores[0]), "the gain is fitted"
    still = score(truth, velocity=torch.zeros(2, 96, 96))
    assert still == pytest.approx(scores[0])


def test_an_image_is_warped_along_the_motion() -> None:
    rng = np.random.default_rng(0)
    wide = rng.random((48, 160)).astype(np.float32)
    wide = np.apply_along_axis(lambda row: np.convolve(row, np.ones(9) / 9, "same"), 1, wide)
    # the image moves to the right
    planes = [wide[:, 60 - round(0.1 * t) : 124 - round(0.1 * t)] for t in range(70)]
    camera = SpikeCamera(gain=0.6, generator=rng)
    spikes = torch.from_numpy(camera.record([np.array(planes, np.float32)])[:])
    image = torch.from_numpy(planes[0].copy())
    velocity = torch.zeros(2, 48, 64)
    velocity[0] = 0.1

    along, still, against = (
        heldout_likelihood(
            image, spikes[40:51], 40, rate_scale=0.6, preceding=spikes[:11], velocity=motion
        )
        for motion in (velocity, None, -velocity)
    )
    assert along.bits > max(still.bits, against.bits) + 0.05
    assert 0.9 < along.share < 1, "pixels from outside the image do not count"


def test_motion_out_of_the_image_gives_nan() -> None:
    truth, before, block = _scene()
    fast = torch.full((2, 96, 96), 5.0)
    result = heldout_likelihood(truth, block, 50, rate_scale=0.6, preceding=before, velocity=fast)
    assert result.share == 0
    assert math.isnan(result.bits)
