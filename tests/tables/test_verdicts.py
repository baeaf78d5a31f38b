"""Verdicts on claims agree with a two-sample t-test."""

from __future__ import annotations

import dataclasses
import math
import statistics
from pathlib import Path

import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spike_zoo.errors import ConfigError
from spike_zoo.tables import Expectation, Judgement, read_table_file, summarize_verdicts
from spike_zoo.tables.columns import Column, plain_column
from spike_zoo.tables.significance import Sample, Spread, pool
from spike_zoo.tables.verdicts import false_discoveries, judge
from tests.helpers.tables import SPEC, write_spec

PSNR, LPIPS = plain_column("test/psnr"), plain_column("test/lpips")
BETTER = Expectation("A", "test/psnr", better_than="B")
CLOSE = Expectation("A", "test/psnr", within=0.5, of="B")
ABOVE = dataclasses.replace(CLOSE, above="C")
AT_MOST = Expectation("A", "test/lpips", at_most=0.4)
VALUES = st.lists(st.floats(20, 40).map(lambda x: round(x, 3)), min_size=1, max_size=6)


def _sample(values: list[float]) -> Sample:
    """Return a row with the spread of its seeds."""
    spread = pool([(len(values), statistics.stdev(values))]) if len(values) > 1 else None
    return Sample(statistics.fmean(values), len(values), spread)


def _exact(value: float) -> Sample:
    return Sample(value, is_exact=True)


def _pair(*rows: list[float]) -> list[Sample]:
    """Return two rows with their pooled spread."""
    spread = pool((len(values), statistics.stdev(values)) for values in rows if len(values) > 1)
    return [Sample(statistics.fmean(values), len(values), spread) for values in rows]


@pytest.mark.filterwarnings("ignore:Precision loss occurred")  # scipy on values nearly equal
@settings(max_examples=80, deadline=None)
@given(first=VALUES, second=VALUES)
def test_within_noise_agrees_with_a_t_test_at_95_percent(
    first: list[float], second: list[float]
) -> None:
    assume(len(first) + len(second) > 2)
    assume(len(set(first)) > 1 or len(set(second)) > 1)
    p_value = float(scipy.stats.ttest_ind(first, second).pvalue)
    assume(abs(p_value - 0.05) > 1e-3)
    judgement = judge(BETTER, PSNR, *_pair(first, second)).judgement
    assert (judgement is Judgement.NOISE) == (p_value > 0.05)


@pytest.mark.parametrize(
    ("first", "second", "judgement"),
    [
        ([31.0, 31.1, 31.2], [30.0, 30.1, 30.2], Judgement.HELD),
        ([30.0, 30.1, 30.2], [31.0, 31.1, 31.2], Judgement.NOT_HELD),
        ([30.0, 32.0], [30.5, 31.0], Judgement.NOISE),
    ],
)
def test_better_means_a_higher_psnr(
    first: list[float], second: list[float], judgement: Judgement
) -> None:
    assert judge(BETTER, PSNR, *_pair(first, second)).judgement is judgement


def test_better_means_a_lower_value_for_metrics_where_lower_is_better() -> None:
    claim = Expectation("A", "test/lpips", better_than="B")
    verdict = judge(claim, LPIPS, *_pair([0.10, 0.11], [0.30, 0.31]))
    assert verdict.judgement is Judgement.HELD
    assert verdict.difference == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("claim", "column", "values", "judgement"),
    [
        (BETTER, PSNR, (5.0, 5.0), Judgement.NOT_HELD),
        (dataclasses.replace(BETTER, at_least=0.9), PSNR, (31.0, 30.0), Judgement.HELD),
        (dataclasses.replace(BETTER, at_least=1.1), PSNR, (31.0, 30.0), Judgement.NOT_HELD),
        (CLOSE, PSNR, (30.4, 30.0), Judgement.HELD),
        (CLOSE, PSNR, (29.6, 30.0), Judgement.HELD),
        (CLOSE, PSNR, (30.6, 30.0), Judgement.NOT_HELD),
        (ABOVE, PSNR, (30.4, 30.2, 30.0), Judgement.HELD),
        (ABOVE, PSNR, (31.0, 30.1, 30.0), Judgement.NOT_HELD),
        (ABOVE, PSNR, (30.4, 30.0, 30.0), Judgement.NO_MEANING),  # equal is not above
        (ABOVE, PSNR, (29.9, 30.2, 30.0), Judgement.NO_MEANING),
        (ABOVE, PSNR, (30.4, 30.2), Judgement.NOT_MEASURED),
        (ABOVE, LPIPS, (0.1, 0.1, 0.2), Judgement.HELD),
        (ABOVE, LPIPS, (0.1, 0.3, 0.2), Judgement.NO_MEANING),
        (AT_MOST, LPIPS, (0.3,), Judgement.HELD),
        (AT_MOST, LPIPS, (0.5,), Judgement.NOT_HELD),
        (AT_MOST, LPIPS, (), Judgement.NOT_MEASURED),
    ],
)
def test_exact_values_are_compared_as_the_claim_states(
    claim: Expectation, column: Column, values: tuple[float, ...], judgement: Judgement
) -> None:
    samples = [*map(_exact, values), None, None, None][:3]
    verdict = judge(claim, column, *samples)
    assert verdict.judgement is judgement
    if judgement is Judgement.NO_MEANING:
        assert verdict.detail.startswith(f"no better than C {column.text(values[2])}: ")
    if claim is AT_MOST:
        assert verdict.text == "A at most 0.4000 (LPIPS)"


@pytest.mark.parametrize(
    ("values", "judgement"),
    [
        ([31.0, 31.1, 31.2], Judgement.HELD),
        ([29.0, 29.1, 29.2], Judgement.NOT_HELD),
        ([29.0, 32.0], Judgement.NOISE),
        ([30.0, 30.0], Judgement.HELD),  # a value equal to the limit is sufficient
        ([31.0], Judgement.ONE_SEED),
        ([29.0], Judgement.ONE_SEED),
    ],
)
def test_a_row_must_reach_a_limit(values: list[float], judgement: Judgement) -> None:
    claim = Expectation("A", "test/psnr", at_least=30.0)
    verdict = judge(claim, PSNR, _sample(values), None)
    assert verdict.judgement is judgement
    assert verdict.text == "A at least 30.00 (PSNR (dB))"
    assert verdict.detail.startswith(f"{statistics.fmean(values):.2f}"), (
        "the value, not the distance to the limit"
    )


def test_noise_around_a_limit_equals_that_of_a_one_sample_t_test() -> None:
    values = [29.0, 30.5, 31.5]
    claim = Expectation("A", "test/psnr", at_least=30.0)
    verdict = judge(claim, PSNR, _sample(values), None)
    low, high = scipy.stats.t.interval(0.95, 2, scale=scipy.stats.sem(values))
    assert verdict.noise == pytest.approx((high - low) / 2)
    assert verdict.p_value == pytest.approx(scipy.stats.ttest_1samp(values, 30.0).pvalue)


@pytest.mark.parametrize("value", [20.0, 30.0, 40.0])
def test_one_seed_each_without_a_known_spread_gives_the_verdict_one_seed(value: float) -> None:
    verdict = judge(BETTER, PSNR, Sample(value), Sample(30.0))
    assert (verdict.judgement, verdict.label) == (Judgement.ONE_SEED, "one seed")
    assert (verdict.noise, verdict.p_value) == (None, None)
    assert "one seed each" in verdict.detail


@pytest.mark.parametrize(
    ("freedom", "judgement"), [(1, Judgement.NOISE), (4, Judgement.HELD), (38, Judgement.HELD)]
)
def test_one_seed_each_is_tested_with_the_spread_of_other_rows(
    freedom: int, judgement: Judgement
) -> None:
    row, other = (Sample(mean, spread=Spread(0.15, freedom)) for mean in (31.0, 30.0))
    verdict = judge(BETTER, PSNR, row, other)
    t = scipy.stats.t.ppf(0.975, freedom)
    assert verdict.noise == pytest.approx(t * 0.15 * math.sqrt(2))
    assert verdict.judgement is judgement
    assert "one seed each, noise" in verdict.detail
    one_sided = judge(BETTER, PSNR, row, _exact(30.0))
    assert one_sided.noise == pytest.approx(t * 0.15)


@pytest.mark.parametrize(
    ("reported", "judgement"),
    [
        (1.0, Judgement.UNDECIDABLE),
        (2.0, Judgement.NOISE),
        (None, Judgement.NOISE),  # without a reported difference the claim cannot be undecidable
    ],
)
def test_noise_above_the_reported_difference_leaves_a_claim_undecidable(
    reported: float | None, judgement: Judgement
) -> None:
    claim = dataclasses.replace(BETTER, reported=reported)
    samples = _pair([30.0, 31.0, 31.2], [30.0, 30.1, 30.2, 31.4])
    verdict = judge(claim, PSNR, *samples)
    assert verdict.noise == pytest.approx(1.2767, abs=1e-3)
    assert verdict.judgement is judgement
    if judgement is Judgement.UNDECIDABLE:
        assert verdict.label == "undecidable with n = 3", "the smaller number of seeds of both rows"
        assert verdict.detail.endswith(", claimed 1.00, which 6 seeds can detect")


@pytest.mark.parametrize(
    ("shift", "judgement"), [(9.0, Judgement.HELD), (-9.0, Judgement.NOT_HELD)]
)
def test_a_difference_above_the_noise_decides_for_any_reported_difference(
    shift: float, judgement: Judgement
) -> None:
    claim = dataclasses.replace(BETTER, reported=0.01)
    samples = _pair([30.0 + shift, 31.0 + shift], [30.0, 31.0])
    assert judge(claim, PSNR, *samples).judgement is judgement


def test_the_margin_replaces_a_missing_reported_difference() -> None:
    samples = _pair([30.0, 31.0], [30.0, 30.8])
    close = dataclasses.replace(CLOSE, within=0.5)
    with_margin = dataclasses.replace(BETTER, at_least=0.5)
    assert judge(close, PSNR, *samples).judgement is Judgement.UNDECIDABLE
    assert judge(with_margin, PSNR, *samples).judgement is Judgement.UNDECIDABLE
    wide = dataclasses.replace(CLOSE, within=2.8)
    assert judge(wide, PSNR, *samples).judgement is Judgement.NOISE


def test_a_row_without_noise_is_not_counted_as_a_seed_of_an_undecidable_claim() -> None:
    claim = dataclasses.replace(BETTER, reported=0.1)
    verdict = judge(claim, PSNR, _sample([30.0, 30.9, 31.1]), _exact(30.5))
    assert verdict.label == "undecidable with n = 3"


def test_the_summary_counts_every_judgement() -> None:
    good, bad = _pair([31.0, 31.1], [30.0, 30.1])
    noisy = Sample(31.0, 2, Spread(2.8, 1))
    pairs = [(good, bad), (good, bad), (bad, good), (good, noisy), (good, None)]
    verdicts = [judge(BETTER, PSNR, first, second) for first, second in pairs]
    verdicts.append(judge(BETTER, PSNR, Sample(31.0), Sample(30.0)))
    assert summarize_verdicts(verdicts) == (
        "2 of 6 held over seeds (1 within noise, 1 not held, 1 not measured, 1 one seed)"
    )
    small = dataclasses.replace(BETTER, reported=0.1)
    undecidable = summarize_verdicts([judge(small, PSNR, good, noisy)])
    assert undecidable == "0 of 1 held over seeds (1 undecidable)"


def test_weak_evidence_is_rejected_at_a_false_discovery_rate() -> None:
    spread = Spread(0.1, 30)
    # p-values of d / (0.1 * sqrt(2)): 1e-7, 0.043 (above 0.05 * 2/4), 0.16 and 0.48
    pairs = [(Sample(30.0 + d, spread=spread), Sample(30.0, spread=spread)) for d in (1, 0.3)]
    pairs += [(Sample(30.0 + d, spread=spread), Sample(30.0, spread=spread)) for d in (0.2, 0.1)]
    verdicts = [judge(BETTER, PSNR, *pair) for pair in pairs]
    assert [verdict.judgement for verdict in verdicts] == [Judgement.HELD] * 2 + [
        Judgement.NOISE
    ] * 2
    assert false_discoveries(verdicts) == (
        "At a false discovery rate of 5 % (Benjamini-Hochberg), these verdicts remain significant: "
        "over seeds 1 of 2 held and 0 of 0 not held (tests: 4)."
    )
    assert false_discoveries([judge(BETTER, PSNR, _exact(2.0), _exact(1.0))]) == ""


HALF = "{name: half,"


def _claim(folder: Path, text: str) -> Expectation:
    return read_table_file(write_spec(folder, text)).tables[0].expect[0]


@pytest.mark.parametrize(
    ("half", "reported"),
    [
        ("published: {test/psnr: 38.1},", pytest.approx(0.7)),
        ("published: {test/psnr: 38.9},", None),  # the source reports the opposite
        (
            "published: {test/psnr: 38.1}, source: another,",
            None,
        ),  # values of two sources are not compared
        ("", None),
    ],
)
def test_a_reported_difference_is_computed_from_two_values_of_one_source(
    tmp_path: Path, half: str, reported: float | None
) -> None:
    assert _claim(tmp_path, SPEC.replace(HALF, f"{HALF} {half}")).reported == reported


def test_a_lower_published_value_is_a_reported_difference_for_metrics_where_lower_is_better(
    tmp_path: Path,
) -> None:
    text = SPEC.replace("by: test/psnr", "by: parameters").replace("psnr: 38.8", "psnr: 38.8, P: 5")
    text = text.replace("P:", "parameters:").replace(HALF, f"{HALF} published: {{parameters: 7}},")
    assert _claim(tmp_path, text).reported == 2


def test_the_reported_difference_of_a_claim_overrides_published_values(tmp_path: Path) -> None:
    text = SPEC.replace(HALF, f"{HALF} published: {{test/psnr: 38.1}},")
    text = text.replace("by: test/psnr}", "by: test/psnr, reported: 0.4}")
    assert _claim(tmp_path, text).reported == 0.4


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("better_than: never run, reported: 0", "expectation 2: reported: .* above 0, got 0"),
        ("better_than: never run, reported: -0.1", "expectation 2: reported: .* above 0, got -0.1"),
        ("better_than: never run, reported: .inf", "expectation 2: reported: .* finite number"),
        ("better_than: never run, reported: .nan", "expectation 2: reported: .* finite number"),
        (
            "better_than: never run, reported: much",
            "expectation 2: reported: expected float [|] None",
        ),
        (
            "within: 1, of: half, reported: 0.4",
            "expectation 2: a claim with \\w+ does not take the key 'reported'",
        ),
        (
            "at_least: 30, reported: 0.4",
            "expectation 2: a claim with \\w+ does not take the key 'reported'",
        ),
    ],
)
def test_a_reported_difference_must_be_a_positive_number_between_two_rows(
    tmp_path: Path, claim: str, message: str
) -> None:
    text = SPEC + f"  - {{row: full, by: test/psnr, {claim}}}\n"
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        _claim(tmp_path, text)
