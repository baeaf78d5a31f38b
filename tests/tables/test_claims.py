"""Results of claims, over seeds and over photographs, agree with scipy's tests."""

from __future__ import annotations

import dataclasses
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spike_zoo.errors import ConfigError
from spike_zoo.tables import read_table_file, render_markdown
from spike_zoo.tables.claims import (
    Result,
    controlled,
    evaluate_claim,
    summarize_claims,
)
from spike_zoo.tables.columns import Column, plain_column
from spike_zoo.tables.noise import Sample, noise_of, outliers, pool
from spike_zoo.tables.runs import RecordedRun
from spike_zoo.tables.spec import Claim
from tests.helpers.tables import SPEC, filled, make_run, write_spec

PSNR, LPIPS = plain_column("test/psnr"), plain_column("test/lpips")
SSIM = plain_column("test/ssim")  # has no smallest relevant difference
BETTER = Claim("A", "test/psnr", better_than="B")
CLOSE = Claim("A", "test/psnr", within=0.5, of="B")
ABOVE = dataclasses.replace(CLOSE, above="C")
AT_MOST = Claim("A", "test/lpips", at_most=0.4)
VALUES = st.lists(st.floats(20, 40).map(lambda x: round(x, 3)), min_size=1, max_size=6)


def _rows(*rows: list[float]) -> list[Sample]:
    """Return rows with their pooled deviation over seeds."""
    spread = pool((len(values), statistics.stdev(values)) for values in rows if len(values) > 1)
    return [Sample(statistics.fmean(values), len(values), *spread) for values in rows]


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
    tested = evaluate_claim(BETTER, SSIM, *_rows(first, second))
    assert (tested.reason == "within noise") == (p_value > 0.05)
    assert tested.p_value == pytest.approx(p_value)


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ([31.0, 31.1, 31.2], [30.0, 30.1, 30.2], Result.SUPPORTED),
        ([40.0, 40.5], [30.0, 31.0], Result.SUPPORTED),
        ([30.0, 30.1, 30.2], [31.0, 31.1, 31.2], Result.NOT_SUPPORTED),
        ([30.0, 32.0], [30.5, 31.0], Result.UNDECIDED),
    ],
)
def test_better_means_a_higher_psnr(
    first: list[float], second: list[float], result: Result
) -> None:
    assert evaluate_claim(BETTER, PSNR, *_rows(first, second)).result is result


@pytest.mark.parametrize(
    ("claim", "column", "values", "result"),
    [
        (BETTER, PSNR, (5.0, 5.0), Result.NOT_SUPPORTED),
        (dataclasses.replace(BETTER, at_least=0.9), PSNR, (31.0, 30.0), Result.SUPPORTED),
        (dataclasses.replace(BETTER, at_least=1.1), PSNR, (31.0, 30.0), Result.NOT_SUPPORTED),
        (CLOSE, PSNR, (30.4, 30.0), Result.SUPPORTED),
        (CLOSE, PSNR, (29.6, 30.0), Result.SUPPORTED),
        (CLOSE, PSNR, (30.6, 30.0), Result.NOT_SUPPORTED),
        (ABOVE, PSNR, (30.4, 30.2, 30.0), Result.SUPPORTED),
        (ABOVE, PSNR, (31.0, 30.1, 30.0), Result.NOT_SUPPORTED),
        (ABOVE, PSNR, (30.4, 30.0, 30.0), Result.NOT_APPLICABLE),  # equal is not above
        (ABOVE, PSNR, (29.9, 30.2, 30.0), Result.NOT_APPLICABLE),
        (ABOVE, PSNR, (30.4, 30.2), Result.NOT_MEASURED),
        (ABOVE, LPIPS, (0.1, 0.1, 0.2), Result.SUPPORTED),
        (ABOVE, LPIPS, (0.1, 0.3, 0.2), Result.NOT_APPLICABLE),
        (dataclasses.replace(BETTER, by="test/lpips"), LPIPS, (0.1, 0.3), Result.SUPPORTED),
        (AT_MOST, LPIPS, (0.3,), Result.SUPPORTED),
        (AT_MOST, LPIPS, (0.5,), Result.NOT_SUPPORTED),
        (AT_MOST, LPIPS, (), Result.NOT_MEASURED),
    ],
)
def test_exact_values_are_compared_as_the_claim_states(
    claim: Claim, column: Column, values: tuple[float, ...], result: Result
) -> None:
    samples = [*map(Sample, values), None, None, None][:3]
    tested = evaluate_claim(claim, column, *samples)
    assert tested.result is result
    if result is Result.NOT_APPLICABLE:
        assert tested.detail.startswith(f"no better than C {column.text(values[2])}: ")
    if claim is AT_MOST:
        assert tested.text == "A at most 0.4000 (LPIPS)"


@pytest.mark.parametrize(
    ("values", "result"),
    [
        ([31.0, 31.1, 31.2], Result.SUPPORTED),
        ([29.0, 29.1, 29.2], Result.NOT_SUPPORTED),
        ([29.0, 32.0], Result.UNDECIDED),
        ([30.0, 30.0], Result.SUPPORTED),  # a value equal to the limit is sufficient
        ([31.0], Result.UNDECIDED),
        ([29.0], Result.UNDECIDED),
    ],
)
def test_a_row_must_reach_a_limit(values: list[float], result: Result) -> None:
    claim = Claim("A", "test/psnr", at_least=30.0)
    tested = evaluate_claim(claim, PSNR, _rows(values)[0], None)
    assert tested.result is result
    assert tested.text == "A at least 30.00 (PSNR (dB))"
    # the value, not the distance to the limit
    assert tested.detail.startswith(f"{statistics.fmean(values):.2f}")


def test_noise_around_a_limit_equals_that_of_a_one_sample_t_test() -> None:
    values = [29.0, 30.5, 31.5]
    claim = Claim("A", "test/psnr", at_least=30.0)
    tested = evaluate_claim(claim, PSNR, _rows(values)[0], None)
    low, high = scipy.stats.t.interval(0.95, 2, scale=scipy.stats.sem(values))
    assert tested.noise == pytest.approx((high - low) / 2)
    assert tested.p_value == pytest.approx(scipy.stats.ttest_1samp(values, 30.0).pvalue)


@pytest.mark.parametrize("value", [20.0, 30.0, 40.0])
def test_one_seed_each_without_a_known_spread_gives_the_result_one_seed(value: float) -> None:
    tested = evaluate_claim(BETTER, PSNR, *_rows([value], [30.0]))
    assert (tested.result, tested.label) == (Result.UNDECIDED, "undecided: one seed")
    assert (tested.noise, tested.p_value) == (None, None)
    assert "one seed each" in tested.detail


@pytest.mark.parametrize(
    ("freedom", "result"), [(1, Result.UNDECIDED), (4, Result.SUPPORTED), (38, Result.SUPPORTED)]
)
def test_one_seed_each_is_tested_with_the_spread_of_other_rows(
    freedom: int, result: Result
) -> None:
    row, other = (Sample(mean, 1, 0.15, freedom) for mean in (31.0, 30.0))
    tested = evaluate_claim(BETTER, PSNR, row, other)
    t = scipy.stats.t.ppf(0.975, freedom)
    assert tested.noise == pytest.approx(t * 0.15 * math.sqrt(2))
    assert tested.result is result
    assert "one seed each, noise" in tested.detail
    one_sided = evaluate_claim(BETTER, PSNR, row, Sample(30.0))
    assert one_sided.noise == pytest.approx(t * 0.15)


@pytest.mark.parametrize(
    ("reported", "reason"),
    [
        (1.0, "noise above the claimed 1.00, which 6 seeds can detect"),
        (2.0, "within noise"),
        (None, "within noise"),
    ],
)
def test_noise_above_the_reported_difference_is_the_reason_of_an_undecided_claim(
    reported: float | None, reason: str
) -> None:
    claim = dataclasses.replace(BETTER, reported=reported)
    samples = _rows([30.0, 31.0, 31.2], [30.0, 30.1, 30.2, 31.4])
    tested = evaluate_claim(claim, PSNR, *samples)
    assert tested.noise == pytest.approx(1.2767, abs=1e-3)
    assert (tested.result, tested.reason) == (Result.UNDECIDED, reason)
    assert tested.seeds == 3, "the smaller number of seeds of both rows"


def test_the_margin_replaces_a_missing_reported_difference() -> None:
    samples = _rows([30.0, 31.0], [30.0, 30.8])
    close = dataclasses.replace(CLOSE, within=0.5)
    with_margin = dataclasses.replace(BETTER, at_least=0.5)
    assert "the claimed 0.50" in evaluate_claim(close, PSNR, *samples).reason
    assert "the claimed 0.50" in evaluate_claim(with_margin, PSNR, *samples).reason
    wide = dataclasses.replace(CLOSE, within=2.8)
    assert evaluate_claim(wide, PSNR, *samples).reason == "within noise"


def test_a_row_without_noise_is_not_counted_as_a_seed() -> None:
    claim = dataclasses.replace(BETTER, reported=0.1)
    assert evaluate_claim(claim, PSNR, _rows([30.0, 30.9, 31.1])[0], Sample(30.5)).seeds == 3


def test_the_summary_counts_every_result() -> None:
    good, bad = _rows([31.0, 31.1], [30.0, 30.1])
    noisy = Sample(31.0, 2, 2.8, 1)
    pairs = [(good, bad), (good, bad), (bad, good), (good, noisy), (good, None)]
    results = [evaluate_claim(BETTER, PSNR, first, second) for first, second in pairs]
    results.append(evaluate_claim(BETTER, PSNR, *_rows([31.0], [30.0])))
    others = "1 not supported, 2 undecided, 1 not measured"
    assert summarize_claims(results) == f"2 of 6 supported ({others})"


def test_weak_evidence_is_rejected_at_a_false_discovery_rate() -> None:
    # p-values of d / (0.1 * sqrt(2)): 1e-7, 0.043 (above 0.05 * 2/4), 0.16 and 0.48
    pairs = [(Sample(30 + d, 1, 0.1, 30), Sample(30, 1, 0.1, 30)) for d in (1, 0.3, 0.2, 0.1)]
    results = [evaluate_claim(BETTER, PSNR, *pair) for pair in pairs]
    assert [tested.result for tested in results] == [Result.SUPPORTED] * 2 + [Result.UNDECIDED] * 2
    exact = evaluate_claim(BETTER, PSNR, Sample(2.0), Sample(1.0))
    labels = [tested.label for tested in controlled([*results, exact])]
    rejected = "undecided: not significant at a false discovery rate of 5 %"
    assert labels == ["supported", rejected, *["undecided: within noise"] * 2, "supported"]
    assert controlled(results[:1]) == results[:1]


def test_a_second_seed_never_makes_the_bound_larger() -> None:
    bounds = [noise_of([Sample(30.0, count, 0.131, 44)] * 2).bound for count in range(1, 6)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == pytest.approx(scipy.stats.t.ppf(0.975, 44) * 0.131 * math.sqrt(2))


def test_values_without_noise_add_none_and_unknown_noise_stays_unknown() -> None:
    noise = noise_of([Sample(30.0, 2, 0.2, 3), Sample(31.0)])
    assert noise.error == pytest.approx(0.2 / math.sqrt(2))
    assert noise.freedom == 3
    exact = noise_of([Sample(30.0)] * 2)
    assert (exact.bound, exact.p_value(1.0)) == (0.0, None)
    unknown = noise_of([Sample(30.0, 1, *pool([(1, 0.0)])), Sample(31.0, 2, 0.2, 1)])
    assert math.isnan(unknown.bound)
    assert unknown.p_value(1.0) is None


def test_deviations_of_two_columns_add_and_have_the_smaller_freedom() -> None:
    noise = noise_of([Sample(0.9, 3, 0.03, 7), Sample(0.8, 3, 0.04, 4)])
    assert noise.error == pytest.approx(0.05 / math.sqrt(3))
    assert noise.freedom == 4


@pytest.mark.parametrize("claimed", [0.05, 0.1])
def test_the_seeds_needed_are_the_fewest_whose_bound_reaches_the_claim(claimed: float) -> None:
    t = scipy.stats.t.ppf(0.975, 12)
    enough = [n for n in range(1, 999) if t * 0.15 * math.sqrt(2 / n) <= claimed]
    claim = dataclasses.replace(BETTER, reported=claimed)
    tested = evaluate_claim(claim, PSNR, *[Sample(30.0, 2, 0.15, 12)] * 2)
    assert f"which {min(enough)} seeds can detect" in tested.reason


@pytest.mark.parametrize(
    ("difference", "error", "column", "reported", "result", "note"),
    [
        (0.01, 0.04, PSNR, None, Result.NOT_SUPPORTED, "less than 0.10"),
        (-0.01, 0.04, PSNR, None, Result.NOT_SUPPORTED, "less than 0.10"),
        (0.01, 0.05, PSNR, None, Result.UNDECIDED, ""),
        (0.01, 0.04, SSIM, None, Result.UNDECIDED, ""),  # no relevant difference is defined
        (0.20, 0.14, PSNR, 1.0, Result.NOT_SUPPORTED, "less than half of the reported 1.00"),
        (0.20, 0.14, PSNR, 0.9, Result.UNDECIDED, ""),
        (0.05, 0.02, PSNR, None, Result.SUPPORTED, "less than 0.10"),  # better, but by little
        (-0.50, 0.14, PSNR, 1.0, Result.NOT_SUPPORTED, ""),  # worse
    ],
)
def test_an_interval_below_the_relevant_difference_does_not_support_a_claim(
    difference: float,
    error: float,
    column: Column,
    reported: float | None,
    result: Result,
    note: str,
) -> None:
    """An equivalence test: t(0.975, 200) = 1.97 errors on each side of the difference."""
    claim = dataclasses.replace(BETTER, reported=reported)
    tested = evaluate_claim(claim, column, Sample(30 + difference, 1, error, 200), Sample(30.0))
    assert tested.result is result
    assert note in tested.detail
    assert ("less than" in tested.detail) == bool(note)
    if result is Result.NOT_SUPPORTED and note:
        relevant = reported / 2 if reported else 0.1
        t = (relevant - difference) / error
        assert tested.p_value == pytest.approx(2 * scipy.stats.t.sf(t, 200))


def test_a_claim_with_a_margin_has_no_other_relevant_difference() -> None:
    claim = dataclasses.replace(BETTER, at_least=1.0, reported=5.0)
    tested = evaluate_claim(claim, PSNR, Sample(31.1, 1, 0.1, 200), Sample(30.0))
    assert tested.result is Result.UNDECIDED, "0.1 above the margin"
    assert "against 1.00" in tested.detail, "the null hypothesis is the margin"


@pytest.mark.parametrize(("variance", "is_outlier"), [(14.7, False), (15.1, True)])
def test_outliers_agree_with_the_critical_values_of_iso_5725(
    variance: float, is_outlier: bool
) -> None:
    """ISO 5725-2 lists 0.788 for 5 laboratories with 3 values each, at 1 %."""
    groups = {**dict.fromkeys("abcd", (3, 1.0)), "e": (3, math.sqrt(variance))}
    assert (variance / (variance + 4) > 0.788) == is_outlier
    assert outliers(groups) == ({"e"} if is_outlier else set())
    assert outliers({"a": (3, 0.0), "b": (3, 0.0), "c": (3, 0.0)}) == set()


HALF = "{name: half,"


def _claim(folder: Path, text: str) -> Claim:
    return read_table_file(write_spec(folder, text)).tables[0].claims[0]


@pytest.mark.parametrize(
    ("half", "stated", "reported"),
    [
        ("published: {test/psnr: 38.1},", "", pytest.approx(0.7)),
        ("published: {test/psnr: 38.9},", "", None),  # the source reports the opposite
        ("", "", None),
        ("published: {test/psnr: 38.1},", ", reported: 0.4", 0.4),
    ],
)
def test_a_reported_difference_is_stated_or_computed_from_two_published_values(
    tmp_path: Path, half: str, stated: str, reported: float | None
) -> None:
    text = SPEC.replace(HALF, f"{HALF} {half}")
    text = text.replace("by: test/psnr}", f"by: test/psnr{stated}}}")
    assert _claim(tmp_path, text).reported == reported


def test_a_lower_published_value_is_a_reported_difference_for_metrics_where_lower_is_better(
    tmp_path: Path,
) -> None:
    text = SPEC.replace("by: test/psnr", "by: parameters").replace("psnr: 38.8", "psnr: 38.8, P: 5")
    text = text.replace("P:", "parameters:").replace(HALF, f"{HALF} published: {{parameters: 7}},")
    assert _claim(tmp_path, text).reported == 2


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("better_than: never run, reported: 0", "claim 2: reported: .* above 0, got 0"),
        ("better_than: never run, reported: .nan", "claim 2: reported: .* finite number"),
        (
            "within: 1, of: half, reported: 0.4",
            "claim 2: a claim with \\w+ does not take the key 'reported'",
        ),
    ],
)
def test_a_reported_difference_must_be_a_positive_number_between_two_rows(
    tmp_path: Path, claim: str, message: str
) -> None:
    text = SPEC + f"  - {{row: full, by: test/psnr, {claim}}}\n"
    with pytest.raises(ConfigError, match=rf"table\.yaml: .*{message}"):
        _claim(tmp_path, text)


SCENES = {  # two scenes of photograph a, one of each other
    "test-a-slow-00": (29.0, 29.2),
    "test-a-fast-06": (33.0, 33.2),
    "test-b-slow-01": (31.0, 31.0),
    "test-c-fast-02": (25.0, 26.0),
    "test-d-slow-03": (27.0, 28.0),
    "test-e-fast-04": (24.0, 24.5),
    "test-f-slow-05": (35.0, 35.5),
}
GAINS = (0.7, 1.1, 1.0, 1.3, 1.1, 0.8, 1.2)
UNEQUAL = (-0.9, -0.9, 1.0, 1.3, -1.1, 0.8, -0.4)
ZERO = (0.0,) * 7


def _run(variant: str, gains: tuple[float, ...], **changes: Any) -> RecordedRun:
    """Return a run with two images of each scene and a given gain for each scene."""
    images = tuple(
        {"name": name, "plane": plane, "rate_scale": 0.6, "psnr": value + gain}
        for (name, values), gain in zip(SCENES.items(), gains, strict=False)
        for plane, value in enumerate(values)
    )
    return RecordedRun(make_run(variant, 30.0, **changes).result, images=images)


def _of_photographs(gains: tuple[float, ...]) -> list[float]:
    first, second, *others = gains
    return [(first + second) / 2, *others]


WEIGHTS = {"model": {"init_args": {"weights": "made/elsewhere.safetensors"}}}


@pytest.mark.parametrize(
    ("gains", "result"), [(GAINS, Result.SUPPORTED), (UNEQUAL, Result.UNDECIDED)]
)
def test_fixed_weights_are_compared_by_a_paired_t_test_over_photographs(
    tmp_path: Path, gains: tuple[float, ...], result: Result
) -> None:
    """The unit is the photograph, not the recording: two scenes of one photograph count once."""
    runs = [_run("half", ZERO, parameters=0), _run("full", gains, config=WEIGHTS)]
    table = filled(tmp_path, runs)
    (tested,) = table.claims
    expected = scipy.stats.ttest_1samp(_of_photographs(gains), 0).pvalue
    assert tested.result is result
    assert tested.p_value == pytest.approx(expected)
    assert tested.photographs is not None
    assert tested.photographs.size == 6
    text = "supported" if result is Result.SUPPORTED else "within noise"
    assert f"0.00, no seeds; 6 photographs: {text}, p " in tested.detail
    assert " against 0)" in render_markdown([table])


def test_fewer_than_six_photographs_leave_every_claim_undecided(tmp_path: Path) -> None:
    for config in (WEIGHTS, {}):
        runs = [_run("half", ZERO[:6], parameters=0), _run("full", GAINS[:6], config=config)]
        (tested,) = filled(tmp_path, runs).claims
        assert tested.label == "undecided: 5 photographs"
        assert tested.p_value is None, "it is not one of the tests of the page"


def _seeds(gains: tuple[float, ...], spread: float) -> list[RecordedRun]:
    return [
        _run(variant, own, seed=seed, metrics={"test/psnr": 30.0 + offset + spread * seed})
        for variant, own, offset in (("half", ZERO, 0.0), ("full", gains, 1.0))
        for seed in range(3)
    ]


@pytest.mark.parametrize(
    ("gains", "spread", "label"),
    [
        (GAINS, 0.01, "supported"),
        (UNEQUAL, 0.01, "undecided: within noise, over photographs"),
        (GAINS, 2.0, "undecided: within noise"),
        (tuple(-gain for gain in GAINS), 0.01, "undecided: supported over seeds, not supported"),
    ],
)
def test_a_claim_of_trained_rows_is_decided_if_both_tests_agree(
    tmp_path: Path, gains: tuple[float, ...], spread: float, label: str
) -> None:
    (tested,) = filled(tmp_path, _seeds(gains, spread)).claims
    assert tested.label.startswith(label)
    assert tested.photographs is not None
    assert tested.photographs.p_value is not None
    assert tested.p_value is not None
    assert tested.p_value >= tested.photographs.p_value.value, "the larger of the two p-values"


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"model": {"init_args": {"bsn": "runs/a-0/checkpoints/best.ckpt"}}}},
        {"config": WEIGHTS, "metrics": {"test/psnr": 30.0, "train/total": 0.1}},
        {},
    ],
)
def test_results_of_checkpoints_and_of_training_depend_on_the_seed(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = {"data": {"init_args": {"archive": "a.h5"}}} | changes.get("config", {})
    runs = [_run("half", ZERO), _run("full", GAINS, **{**changes, "config": config})]
    assert filled(tmp_path, runs).claims[0].reason == "one seed"


def test_seeds_are_averaged_before_photographs_are_compared(tmp_path: Path) -> None:
    runs = [_run("half", ZERO), _run("full", GAINS), _run("full", UNEQUAL, seed=1)]
    evidence: Any = filled(tmp_path, runs).claims[0].photographs
    means = tuple((a + b) / 2 for a, b in zip(GAINS, UNEQUAL, strict=True))
    expected = scipy.stats.ttest_1samp(_of_photographs(means), 0).pvalue
    assert evidence.p_value.value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("claim", "expected", "null"),
    [
        ("better_than: half, by: test/psnr, at_least: 2.0", "not supported", "2.00"),
        ("within: 2.0, of: half, by: test/psnr", "supported", "2.00"),
        ("within: 1.0, of: half, by: test/psnr", "within noise", "1.00"),
        ("by: test/psnr, at_least: 20.0", "supported", "20.00"),
        ("by: test/psnr, at_least: 30.0", "within noise", "30.00"),
    ],
)
def test_every_kind_of_claim_is_tested_over_photographs_and_states_its_null_hypothesis(
    tmp_path: Path, claim: str, expected: str, null: str
) -> None:
    text = SPEC.replace("{row: full, better_than: half, by: test/psnr}", f"{{row: full, {claim}}}")
    (tested,) = filled(tmp_path, [_run("half", ZERO), _run("full", GAINS)], text).claims
    assert f"; 6 photographs: {expected}, p " in tested.detail
    assert tested.detail.endswith(f" against {null}")


def test_a_column_of_one_speed_uses_only_its_recordings(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/psnr_slow,").replace(
        "by: test/psnr}", "by: test/psnr_slow}"
    )
    metrics = {"test/psnr": 30.0, "test/psnr_slow": 30.0}
    runs = [_run(name, g, metrics=metrics) for name, g in (("half", ZERO), ("full", GAINS))]
    assert filled(tmp_path, runs, text).claims[0].label == "undecided: 4 photographs"


@pytest.mark.parametrize("gains", [GAINS[:6], GAINS[:1], (1.0, float("nan"), *GAINS[2:])])
def test_other_recordings_or_diverged_ones_are_not_compared(
    tmp_path: Path, gains: tuple[float, ...]
) -> None:
    runs = [_run("half", ZERO), _run("full", gains)]
    assert filled(tmp_path, runs).claims[0].result is Result.NOT_APPLICABLE


def test_a_row_without_single_images_is_not_compared_with_zero(tmp_path: Path) -> None:
    runs = [make_run("half", 29.0), _run("full", GAINS)]
    assert filled(tmp_path, runs).claims[0].photographs is None


def test_a_metric_without_values_of_single_images_leaves_a_claim_undecided(tmp_path: Path) -> None:
    text = SPEC.replace("[test/psnr,", "[test/psnr, test/ssim,").replace(
        "test/psnr}\n", "test/ssim}\n"
    )
    shares = {"half": (ZERO, 0.8), "full": (GAINS, 0.9)}
    runs = [
        _run(name, gains, metrics={"test/psnr": 30.0, "test/ssim": ssim})
        for name, (gains, ssim) in shares.items()
    ]
    (tested,) = filled(tmp_path, runs, text).claims
    assert tested.label == "undecided: no values of single photographs"
    assert tested.p_value is None
