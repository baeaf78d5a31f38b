from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from spike_zoo.simulation.camera import kernels

DRAWS = 40_000


def bits(key: int) -> list[np.uint64]:
    return [
        np.uint64(kernels._mixed(np.uint64(key), np.uint64(counter))) for counter in range(DRAWS)
    ]


@pytest.mark.parametrize("mean", [0.02, 1.5, 9.9, 10.0, 33.0, 50.0])
def test_electrons_follow_the_poisson_law_exactly_up_to_fifty(mean: float) -> None:
    counts = [kernels._poisson(mean, np.uint64(11), np.uint64(counter)) for counter in range(DRAWS)]
    law = stats.poisson(mean)
    low, high = int(law.ppf(1e-3)), max(int(law.isf(1e-3)), int(law.ppf(1e-3)) + 1)
    seen = np.bincount(np.clip(counts, low, high).astype(int) - low, minlength=high - low + 1)
    chances = law.pmf(np.arange(low, high + 1))
    chances[0], chances[-1] = law.cdf(low), law.sf(high - 1)
    assert stats.chisquare(seen, chances * DRAWS).pvalue > 1e-4


@pytest.mark.parametrize("mean", [50.1, 400.0])
def test_many_electrons_have_the_mean_and_spread_of_the_poisson_law(mean: float) -> None:
    counts = [kernels._poisson(mean, np.uint64(12), np.uint64(counter)) for counter in range(DRAWS)]
    assert np.mean(counts) == pytest.approx(mean, abs=4 * np.sqrt(mean / DRAWS))
    assert np.var(counts) == pytest.approx(mean, rel=0.03)
    assert all(count == int(count) for count in counts)


def test_normal_numbers_are_normal() -> None:
    numbers = [kernels._normal(one) for one in bits(13)]
    assert stats.kstest(numbers, "norm").pvalue > 1e-4


@pytest.mark.parametrize("uniform", [1e-12, 1e-6, 0.01, 0.08, 0.5, 0.93, 0.999, 1 - 1e-9])
def test_normal_numbers_invert_the_distribution(uniform: float) -> None:
    code = np.uint64(int(uniform * 2**52) << 12)
    assert kernels._normal(code) == pytest.approx(stats.norm.ppf(uniform), rel=1e-4, abs=1e-6)


def test_random_bits_are_those_of_splitmix64() -> None:
    # published first outputs of the generator seeded with 1234567
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [int(kernels._mixed(np.uint64(1234567), np.uint64(n))) for n in range(3)] == expected
