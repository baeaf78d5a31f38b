"""Results of claims: statistical tests over seeds and over recordings."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from spike_zoo.tables.columns import Column
from spike_zoo.tables.spec import Claim

LEVEL: Final = 0.05
"""Significance level of every test, and the false discovery rate."""
RELEVANT_PSNR: Final = 0.1
"""Smallest relevant difference of PSNR in decibels, as accepted by ``make reproduce``."""
_OUTLIER_LEVEL: Final = 0.01  # ISO 5725-2
NOISE_RULE: Final = (
    "A difference is within noise if it is smaller than t · s · sqrt(1/n₁ + 1/n₂): s is the "
    "standard deviation over seeds, pooled over all rows of the file with the same data and two "
    "seeds or more whose results differ, and t the two-sided 95 % point of Student's distribution "
    "with the degrees of freedom of s. "
    "A row whose variance is an outlier (Cochran's test at 1 %, ISO 5725-2) has its own s. "
    "Where no row has two such seeds the noise is unknown: the result is 'one seed', or not "
    "applicable if there are several seeds. Parameters and MACs have no noise. "
    "'No seeds' are methods without training and fixed weights: the paired t-test over the "
    "recordings of the test set decides, or the difference itself if there are no values of two "
    "recordings; for BD-rates, the test is of jackknife pseudo-values. For other rows "
    "this test, of means over seeds, follows the result. 'Better' is also not supported if the "
    "95 % interval contains 0 and lies below half the reported difference or, without one, below "
    "0.1 dB of PSNR, the accepted difference of a reproduction. A result within noise is "
    "undecidable if the noise is larger than the claimed difference."
)


class Result(StrEnum):
    """The result of a claim."""

    SUPPORTED = "supported"
    NOISE = "within noise"
    UNDECIDABLE = "undecidable"
    NOT_SUPPORTED = "not supported"
    NOT_APPLICABLE = "not applicable"
    NOT_MEASURED = "not measured"
    ONE_SEED = "one seed"


DECIDED: Final = (Result.SUPPORTED, Result.NOT_SUPPORTED)


@dataclass(frozen=True)
class Sample:
    """The result of a row."""

    mean: float  #: mean over seeds; NaN if one of them diverged
    count: int = 1  #: number of seeds
    #: standard deviation over seeds, pooled over rows; NaN if no row has two seeds
    deviation: float = 0.0
    #: degrees of freedom of the deviation; infinite for a value without noise of seeds
    freedom: float = math.inf


class Noise(NamedTuple):
    """The standard error of a difference, NaN if it is unknown, with its degrees of freedom."""

    error: float
    freedom: float

    @property
    def bound(self) -> float:
        """Smallest difference that is significant (two-sided)."""
        return self.error * float(_student(self.freedom).ppf(1 - LEVEL / 2)) if self.error else 0.0

    def p_value(self, difference: float, relevant: float = 0.0) -> float | None:
        """Return the p-value of a difference that is above 0 or below the relevant difference.

        Both tests are one-sided, and the smaller p-value is doubled; 1 at most. None without noise.
        """
        if not self.error > 0:
            return None
        student = _student(self.freedom)
        p_values = [
            2 * float(student.sf(d / self.error)) for d in (difference, relevant - difference)
        ]
        return min(1.0, p_values[0] if p_values[0] <= LEVEL else min(p_values))


def outliers(groups: Mapping[Any, tuple[int, float]]) -> set[Any]:
    """Return the keys of groups whose variance is an outlier by Cochran's test, largest first.

    Each value is the number of values of a group and their standard deviation.
    """
    from scipy.stats import f

    rest = dict(groups)
    while len(rest) > 2:
        largest = max(rest, key=lambda key: rest[key][1])
        deviation, freedom = pool(group for key, group in rest.items() if key != largest)
        count, own = rest[largest]
        ratio = (own / deviation) ** 2 if deviation else 0.0
        if len(rest) * float(f.sf(ratio, count - 1, freedom)) >= _OUTLIER_LEVEL:
            break
        del rest[largest]
    return groups.keys() - rest.keys()


def pool(groups: Iterable[tuple[int, float]]) -> tuple[float, float]:
    """Pool pairs of number of values and standard deviation.

    Returns:
        The pooled deviation and its degrees of freedom; NaN and 0 without two values of a group.
    """
    weighted = [(count - 1, deviation) for count, deviation in groups]
    freedom = sum(count for count, _ in weighted)
    variance = sum(count * deviation**2 for count, deviation in weighted)
    return math.sqrt(variance / freedom) if freedom else math.nan, freedom


def noise_of(samples: Sequence[Sample]) -> Noise:
    """Return the noise of a difference of means."""
    variance = sum(sample.deviation**2 / sample.count for sample in samples)
    return Noise(math.sqrt(variance), min(sample.freedom for sample in samples))


def paired_differences(
    first: Mapping[str, float], second: Mapping[str, float] | float
) -> list[float]:
    """Return the difference of each recording between two rows, or between a row and a number.

    The list is empty if the recordings are not the same or a difference is not finite.
    """
    others = dict.fromkeys(first, second) if isinstance(second, int | float) else second
    if first.keys() != others.keys():
        return []
    differences = [value - others[name] for name, value in first.items()]
    return differences if all(map(math.isfinite, differences)) else []


def _student(freedom: float) -> Any:  # noqa: ANN401  (scipy has no hints)
    from scipy.stats import t

    return t(freedom)


@dataclass(frozen=True)
class RecordingTest:
    """The paired test over recordings."""

    result: Result
    count: int  #: number of recordings
    p_value: float | None  #: None if all have the same difference
    note: str = ""  #: the relevant difference, if the interval lies below it

    @property
    def text(self) -> str:
        """Text of the result: ``8 recordings: within noise, p = 0.380``."""
        text = f"{self.count} recordings: {self.result}{self.note}"
        if self.p_value is None:
            return text
        return f"{text}, p < 0.001" if self.p_value < 0.001 else f"{text}, p = {self.p_value:.3f}"


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its result."""

    claim: Claim  #: the claim
    result: Result  #: the result over seeds, or over recordings for rows without seeds
    text: str  #: text of the claim
    #: improvement of the row over the other row, column or limit, positive if the row is better.
    #: For a claim of closeness the absolute difference.
    difference: float | None = None
    noise: float | None = None  #: smallest significant difference; None if it is not known
    detail: str = ""  #: text of the numbers
    seeds: int = 0  #: smallest number of runs among the compared rows with noise
    #: p-value of the test that decides; None without noise or if the noise is not known
    p_value: float | None = None
    #: the paired test over recordings; None without results of single images
    recordings: RecordingTest | None = None

    @property
    def label(self) -> str:
        """Text of the result in tables, for example ``undecidable with n = 3``."""
        return f"{self.result}{f' with n = {self.seeds}' if self.result == 'undecidable' else ''}"


def evaluate_claim(
    claim: Claim,
    column: Column,
    row: Sample | None,
    other: Sample | None,
    above: Sample | None = None,
    *,
    than: Column | None = None,
    paired: Sequence[float] = (),
) -> ClaimResult:
    """Return the result of a claim.

    Let d be the improvement of ``row`` over ``other``. The remainder is d - margin, for closeness
    margin - |d|. The claim is *within noise* if the remainder is not larger than its noise;
    otherwise its sign decides. If neither row has noise, the test over recordings decides.
    :data:`NOISE_RULE` describes the noise and the other results.
    ``above`` is the row that both must exceed, ``than`` the other column, and ``paired`` has the
    difference of each recording.
    """
    text = claim_text(claim, column, than)
    if claim.limit is not None and other is None:
        other = Sample(claim.limit)
    if row is None or other is None or (above is None and claim.above is not None):
        return ClaimResult(claim, Result.NOT_MEASURED, text)
    if reason := _not_applicable(claim, column, (row, other), above):
        return ClaimResult(claim, Result.NOT_APPLICABLE, text, detail=reason)
    difference, noise = column.sign * (row.mean - other.mean), noise_of((row, other))
    result, p_value, note = _tested(claim, column, difference, noise)
    recordings = _over_recordings(claim, column, paired)
    if recordings is not None and row.freedom == other.freedom == math.inf:
        result, p_value = recordings.result, recordings.p_value
    if result is Result.NOISE and noise.bound > (claim.claimed or math.inf):
        result = Result.UNDECIDABLE
    tested = ClaimResult(
        claim,
        result,
        text,
        abs(difference) if claim.is_close else difference,
        None if result is Result.ONE_SEED else noise.bound,
        seeds=min((one.count for one in (row, other) if one.freedom < math.inf), default=0),
        p_value=p_value,
        recordings=recordings,
    )
    return replace(tested, detail=_detail(tested, column, (row, other), note))


def _relevant(claim: Claim, column: Column) -> float:
    """Return the difference below which a row is not better; 0 for claims of another kind."""
    if not (claim.better_than or claim.than) or claim.margin:
        return 0.0
    if claim.reported is not None:
        return claim.reported / 2
    return RELEVANT_PSNR if column.measure.startswith("psnr") else 0.0


def _tested(
    claim: Claim, column: Column, difference: float, noise: Noise
) -> tuple[Result, float | None, str]:
    """Return the result of a difference, its p-value, and a note if the difference is small.

    It is small if its 95 % interval lies below the relevant difference, but not below 0.
    """
    rest = claim.margin - abs(difference) if claim.is_close else difference - claim.margin
    relevant = _relevant(claim, column)
    is_small = -noise.bound <= rest < relevant - noise.bound
    reported = claim.reported
    half = "" if reported is None else f"half of the reported {column.text(reported)}"
    note = f", less than {half or column.text(relevant)}" if is_small else ""
    result = _decided(claim, rest, noise, is_small=is_small)
    return result, noise.p_value(rest, relevant), note


def _decided(claim: Claim, rest: float, noise: Noise, *, is_small: bool) -> Result:
    if math.isnan(noise.bound):
        return Result.ONE_SEED
    if noise.bound > 0 and abs(rest) <= noise.bound:
        return Result.NOT_SUPPORTED if is_small else Result.NOISE
    is_limit = claim.limit is not None and claim.anchor is None
    is_equal_enough = claim.is_close or claim.margin or is_limit
    is_supported = rest > 0 or (rest == 0 and is_equal_enough)
    return Result.SUPPORTED if is_supported else Result.NOT_SUPPORTED


def _over_recordings(
    claim: Claim, column: Column, differences: Sequence[float]
) -> RecordingTest | None:
    count = len(differences)
    if count < 2:
        return None
    noise = Noise(statistics.stdev(differences) / math.sqrt(count), count - 1)
    mean = column.sign * statistics.fmean(differences)
    result, p_value, note = _tested(claim, column, mean, noise)
    return RecordingTest(result, count, p_value, note)


def _not_applicable(
    claim: Claim, column: Column, rows: tuple[Sample, Sample], above: Sample | None
) -> str:
    """Return why a claim cannot be tested: diverged or equal seeds, or rows not above another."""
    names = (claim.row, claim.other or claim.row)
    named = zip((*names, str(claim.above)), (*rows, above), strict=True)
    diverged = [name for name, one in named if one is not None and math.isnan(one.mean)]
    if diverged:
        return f"{', '.join(dict.fromkeys(diverged))} diverged"
    noisy = [sample for sample in rows if sample.freedom < math.inf]
    if noisy and all(math.isnan(one.deviation) and one.count > 1 for one in noisy):
        return "all seeds have the same result, so the noise is unknown"
    if above is None:
        return ""
    worse = [
        f"{name} {column.text(sample.mean)}"
        for name, sample in zip(names, rows, strict=True)
        if column.sign * (sample.mean - above.mean) <= 0
    ]
    baseline = f"{claim.above} {column.text(above.mean)}"
    return f"no better than {baseline}: {', '.join(worse)}" if worse else ""


def _detail(tested: ClaimResult, column: Column, samples: tuple[Sample, Sample], note: str) -> str:
    """Return the numbers of a result as text."""
    claim, difference = tested.claim, tested.difference or 0.0
    is_single = claim.limit is not None
    sign = "" if is_single or claim.is_close or difference <= 0 else "+"
    parts = [f"{sign}{column.text(samples[0].mean if is_single else difference)}"]
    noisy = [sample for sample in samples if sample.freedom < math.inf]
    if noisy and max(sample.count for sample in noisy) == 1:
        parts.append("one seed" if is_single else "one seed each")
    if not noisy and tested.recordings:
        parts.append("no seeds")
    if tested.noise:
        parts.append(f"noise {column.text(tested.noise)}{note}")
    if tested.result is Result.UNDECIDABLE and claim.claimed:
        single = noise_of([replace(sample, count=1) for sample in samples])
        needed = math.ceil((single.bound / claim.claimed) ** 2)
        parts.append(f"claimed {column.text(claim.claimed)}, which {needed} seeds can detect")
    text = ", ".join(parts)
    return f"{text}; {tested.recordings.text}" if tested.recordings else text


def claim_text(claim: Claim, column: Column, than: Column | None = None) -> str:
    """Return the text of a claim; ``than`` is the other column."""
    row, other, margin = claim.row, claim.other, column.text(claim.margin)
    if claim.limit is not None:
        limit = column.text(claim.limit)
        if claim.anchor is not None:
            return f"{row} below {limit} against {claim.anchor} ({column.heading})"
        way = "at most" if column.better == "lower" else "at least"
        return f"{row} {way} {limit} ({column.heading})"
    if claim.is_close:
        return f"{row} within {margin} of {other} by {column.heading}"
    by = f" by at least {margin}" if claim.margin else ""
    if than is not None:
        return f"{row}: {column.heading} better than {than.heading}{by}"
    return f"{row} better than {other}{by} ({column.heading})"


def summarize_claims(results: Sequence[ClaimResult]) -> str:
    """Return the counts: ``4 of 4 supported, 0 of 4 over recordings``."""
    paired = [one.recordings.result for one in results if one.recordings]
    text = _counts([one.result for one in results], "supported")
    return f"{text}, {_counts(paired, 'over recordings')}" if paired else text


def _counts(results: Sequence[Result], what: str) -> str:
    counts = Counter(results)
    others = [f"{counts[r]} {r}" for r in Result if counts[r] and r is not Result.SUPPORTED]
    rest = f" ({', '.join(others)})" if others else ""
    return f"{counts[Result.SUPPORTED]} of {len(results)} {what}{rest}"


def false_discoveries(results: Sequence[ClaimResult]) -> str:
    """Return the number of decided claims that remain significant after the correction.

    The correction for multiple tests controls the false discovery rate (Benjamini-Hochberg).
    """
    paired = [one.recordings for one in results if one.recordings]
    parts = [_remaining(results), _remaining(paired)]
    parts[1] = f"over recordings {parts[1]}" if parts[1] else ""
    rate = "At a false discovery rate of 5 % (Benjamini-Hochberg)"
    text = "; ".join(filter(None, parts))
    return f"{rate}, these results remain significant: {text}." if text else ""


def significant(tests: Iterable[ClaimResult | RecordingTest]) -> list[ClaimResult | RecordingTest]:
    """Return the tests whose p-value is at most 5 % after the correction for multiple tests."""
    from scipy.stats import false_discovery_control

    tested = [(test, test.p_value) for test in tests if test.p_value is not None]
    adjusted = false_discovery_control([p_value for _, p_value in tested]) if tested else []
    return [test for (test, _), p_value in zip(tested, adjusted, strict=True) if p_value <= LEVEL]


def _remaining(tests: Sequence[ClaimResult | RecordingTest]) -> str:
    before = Counter(test.result for test in tests if test.p_value is not None)
    after = Counter(test.result for test in significant(tests))
    parts = [f"{after[result]} of {before[result]} {result}" for result in DECIDED]
    return f"{' and '.join(parts)} (tests: {before.total()})" if before else ""
