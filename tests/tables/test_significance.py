"""Standard errors, pooled spreads and p-values agree with scipy's tests."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from spike_zoo.tables import (
    Judgement,
    RecordedRun,
    as_plain,
    render_markdown,
)
from spike_zoo.tables.significance import (
    Sample,
    Spread,
    pool,
    seeds_needed,
    significant_at_fdr,
    standard_error,
)
from tests.helpers.tables import SPEC, filled, make_run


def test_a_pooled_spread_of_two_rows_gives_the_p_value_of_a_t_test() -> None:
    first, second = [31.0, 31.2, 31.1], [30.9, 31.1]
    spread = pool((len(values), statistics.stdev(values)) for values in (first, second))
    samples = [Sample(statistics.fmean(values), len(values), spread) for values in (first, second)]
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


def test_discoveries_equal_those_of_benjamini_and_hochberg() -> None:
    # sorted thresholds are 0.0125, 0.025, 0.0375, 0.05
    assert significant_at_fdr([0.03, 0.20, 0.01, 0.02]) == [True, False, True, True]
    assert significant_at_fdr([0.04, 0.20, 0.03, 0.06]) == [False] * 4
    assert significant_at_fdr([]) == []


HALF = {"a-slow-0": (29.0, 29.2), "b-slow-1": (31.0, 31.0), "c-fast-2": (25.0, 26.0)}


def _run(variant: str, gains: tuple[float, ...], **changes: Any) -> RecordedRun:
    """Return a run with two images of each recording and a given gain for each recording."""
    images = tuple(
        {"name": name, "plane": plane, "rate_scale": 0.6, "psnr": value + gain}
        for (name, values), gain in zip(HALF.items(), gains, strict=False)
        for plane, value in enumerate(values)
    )
    return RecordedRun(make_run(variant, 30.0, **changes).result, images=images)


def test_the_test_over_recordings_equals_the_paired_t_test_of_their_means(tmp_path: Path) -> None:
    runs = [_run("half", (0, 0, 0)), _run("full", (0.9, 1.0, 1.3))]
    table = filled(tmp_path, runs)
    evidence = table.verdicts[0].recordings
    assert evidence is not None
    expected = scipy.stats.ttest_rel([30.0, 32.0, 26.8], [29.1, 31.0, 25.5]).pvalue
    assert (evidence.count, evidence.judgement) == (3, Judgement.HELD)
    assert evidence.p_value == pytest.approx(expected)
    assert "3 recordings: held, p = 0.012)" in render_markdown([table])
    assert as_plain(table)["expectations"][0]["recordings"] == {
        "judgement": "held",
        "count": 3,
        "p_value": pytest.approx(expected),
    }


def test_seeds_are_averaged_before_recordings_are_compared(tmp_path: Path) -> None:
    runs = [_run("half", (0, 0, 0)), _run("full", (0.9, 1.0, 1.3))]
    runs.append(_run("full", (-0.9, 1.0, 1.1), seed=1))
    evidence = filled(tmp_path, runs).verdicts[0].recordings
    assert evidence is not None
    assert evidence.p_value == pytest.approx(scipy.stats.ttest_1samp([0.0, 1.0, 1.2], 0).pvalue)
    assert evidence.judgement is Judgement.NOISE


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("better_than: half, by: test/psnr, at_least: 2.0", Judgement.NOT_HELD),
        ("within: 2.0, of: half, by: test/psnr", Judgement.HELD),
        ("within: 1.0, of: half, by: test/psnr", Judgement.NOISE),
        ("by: test/psnr, at_least: 20.0", Judgement.HELD),
        ("by: test/psnr, at_least: 30.0", Judgement.NOISE),
    ],
)
def test_every_kind_of_claim_is_tested_over_recordings(
    tmp_path: Path, claim: str, expected: Judgement
) -> None:
    text = SPEC.replace("{row: full, better_than: half, by: test/psnr}", f"{{row: full, {claim}}}")
    runs = [_run("half", (0, 0, 0)), _run("full", (0.9, 1.0, 1.3))]
    evidence = filled(tmp_path, runs, text).verdicts[0].recordings
    assert evidence is not None
    assert evidence.judgement is expected


def test_a_column_of_one_speed_uses_only_its_recordings(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/psnr_slow,").replace(
        "by: test/psnr}", "by: test/psnr_slow}"
    )
    metrics = {"test/psnr": 30.0, "test/psnr_slow": 30.0}
    runs = [
        _run(name, gains, metrics=metrics)
        for name, gains in (("half", (0, 0, 0)), ("full", (0.9, 1.0, -9.0)))
    ]
    evidence = filled(tmp_path, runs, text).verdicts[0].recordings
    assert evidence is not None
    assert (evidence.count, evidence.judgement) == (2, Judgement.HELD)


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0,), (1.0, float("nan"), 1.0)])
def test_other_recordings_or_diverged_ones_are_not_compared(
    tmp_path: Path, gains: tuple[float, ...]
) -> None:
    runs = [_run("half", (0, 0, 0)), _run("full", gains)]
    assert filled(tmp_path, runs).verdicts[0].recordings is None


def test_a_row_without_single_images_is_not_compared_with_zero(tmp_path: Path) -> None:
    runs = [make_run("half", 29.0), _run("full", (0.9, 1.0, 1.3))]
    assert filled(tmp_path, runs).verdicts[0].recordings is None
