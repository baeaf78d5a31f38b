"""Standard errors, pooled spreads and p-values agree with scipy's tests."""

from __future__ import annotations

import math
import statistics

import pytest
import scipy.stats

from spike_zoo.tables.significance import (
    Sample,
    Spread,
    discoveries,
    p_text,
    pool,
    seeds_needed,
    standard_error,
)


def test_a_pooled_spread_of_two_rows_gives_the_p_value_of_a_t_test() -> None:
    first, second = [31.0, 31.2, 31.1], [30.9, 31.1]
    spread = pool((len(one), statistics.stdev(one)) for one in (first, second))
    samples = [Sample(statistics.fmean(one), len(one), spread) for one in (first, second)]
    error = standard_error(samples)
    assert error is not None
    expected = scipy.stats.ttest_ind(first, second).pvalue
    assert error.p_value(samples[0].mean - samples[1].mean) == pytest.approx(expected)


def test_a_second_seed_never_makes_the_bound_larger() -> None:
    spread = Spread(0.131, 44)
    bounds = []
    for count in range(1, 6):
        error = standard_error([Sample(30.0, count, spread)] * 2)
        assert error is not None
        bounds.append(error.bound)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == pytest.approx(scipy.stats.t.ppf(0.975, 44) * 0.131 * math.sqrt(2))


def test_an_exact_sample_adds_no_noise() -> None:
    error = standard_error([Sample(30.0, 2, Spread(0.2, 3)), Sample(31.0, is_exact=True)])
    assert error is not None
    assert error.value == pytest.approx(0.2 / math.sqrt(2))
    assert error.freedom == 3
    exact = standard_error([Sample(30.0, is_exact=True)] * 2)
    assert exact is not None
    assert (exact.bound, exact.p_value(1.0)) == (0.0, None)


def test_a_spread_that_no_row_has_leaves_the_error_unknown() -> None:
    assert pool([(1, 0.0)]) is None
    assert standard_error([Sample(30.0), Sample(31.0, 2, Spread(0.2, 1))]) is None


def test_spreads_of_two_columns_add_and_have_the_smaller_freedom() -> None:
    error = standard_error([Sample(0.9, 3, Spread(0.03, 7)), Sample(0.8, 3, Spread(0.04, 4))])
    assert error is not None
    assert error.value == pytest.approx(0.05 / math.sqrt(3))
    assert error.freedom == 4


@pytest.mark.parametrize("claimed", [0.05, 0.1, 0.4, 3.0])
def test_the_seeds_needed_are_the_fewest_whose_bound_reaches_the_claim(claimed: float) -> None:
    samples = [Sample(30.0, 2, Spread(0.15, 12))] * 2
    error = standard_error(samples)
    assert error is not None
    t = scipy.stats.t.ppf(0.975, 12)
    enough = [n for n in range(1, 999) if t * 0.15 * math.sqrt(2 / n) <= claimed]
    assert seeds_needed(claimed, samples, error) == min(enough)


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    # sorted thresholds are 0.0125, 0.025, 0.0375, 0.05
    assert discoveries([0.03, 0.20, 0.01, 0.02]) == [True, False, True, True]
    assert discoveries([0.04, 0.20, 0.03, 0.06]) == [False] * 4
    assert discoveries([]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0004, "p < 0.001"), (0.0312, "p = 0.031"), (0.0496, "p = 0.050"), (0.5, "p = 0.500")],
)
def test_p_values_have_three_decimals(value: float, text: str) -> None:
    assert p_text(value) == text
