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
NOISE_RULE: Final = (
    "A difference is within noise if it is smaller than t · s · sqrt(1/n₁ + 1/n₂): s is the "
    "standard deviation over seeds, pooled over all rows of the file that have two seeds or more, "
    "and t the two-sided 95 % point of Student's distribution with the degrees of freedom of s. "
    "Where no row has two seeds the result is 'one seed'. Parameters, MACs and methods without "
    "training have no noise of seeds. A result within noise is undecidable if the noise is larger "
    "than the claimed difference. After it follows the paired t-test over the recordings of the "
    "test set, means over seeds, where single images were recorded."
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

    def p_value(self, difference: float) -> float | None:
        """Return the two-sided p-value of a difference; None without noise."""
        if not self.error > 0:
            return None
        return 2 * float(_student(self.freedom).sf(abs(difference) / self.error))


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

    @property
    def text(self) -> str:
        """Text of the result: ``8 recordings: within noise, p = 0.380``."""
        text = f"{self.count} recordings: {self.result}"
        if self.p_value is None:
            return text
        return f"{text}, p < 0.001" if self.p_value < 0.001 else f"{text}, p = {self.p_value:.3f}"


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its result."""

    claim: Claim  #: the claim
    result: Result  #: the result over seeds
    text: str  #: text of the claim
    #: improvement of the row over the other row, column or limit, positive if the row is better.
    #: For a claim of closeness the absolute difference.
    difference: float | None = None
    noise: float | None = None  #: smallest significant difference; None if it is not known
    detail: str = ""  #: text of the numbers
    seeds: int = 0  #: smallest number of runs among the compared rows with noise
    #: p-value of the test over seeds; None without noise or if the noise is not known
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
    otherwise its sign decides. :data:`NOISE_RULE` describes the noise and the other results.
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
    rest = _remainder(claim, difference)
    result = _decided(claim, rest, noise.bound)
    if result is Result.NOISE and noise.bound > (claim.claimed or math.inf):
        result = Result.UNDECIDABLE
    tested = ClaimResult(
        claim,
        result,
        text,
        abs(difference) if claim.is_close else difference,
        None if result is Result.ONE_SEED else noise.bound,
        seeds=min((one.count for one in (row, other) if one.freedom < math.inf), default=0),
        p_value=noise.p_value(rest),
        recordings=_over_recordings(claim, [column.sign * one for one in paired]),
    )
    return replace(tested, detail=_detail(tested, column, (row, other)))


def _remainder(claim: Claim, difference: float) -> float:
    """Return the difference minus the margin of a claim; for closeness the margin minus |d|."""
    return claim.margin - abs(difference) if claim.is_close else difference - claim.margin


def _decided(claim: Claim, rest: float, bound: float) -> Result:
    if math.isnan(bound):
        return Result.ONE_SEED
    if bound > 0 and abs(rest) <= bound:
        return Result.NOISE
    is_limit = claim.limit is not None and claim.anchor is None
    is_equal_enough = claim.is_close or claim.margin or is_limit
    is_supported = rest > 0 or (rest == 0 and is_equal_enough)
    return Result.SUPPORTED if is_supported else Result.NOT_SUPPORTED


def _over_recordings(claim: Claim, differences: Sequence[float]) -> RecordingTest | None:
    count = len(differences)
    if count < 2:
        return None
    noise = Noise(statistics.stdev(differences) / math.sqrt(count), count - 1)
    rest = _remainder(claim, statistics.fmean(differences))
    return RecordingTest(_decided(claim, rest, noise.bound), count, noise.p_value(rest))


def _not_applicable(
    claim: Claim, column: Column, rows: tuple[Sample, Sample], above: Sample | None
) -> str:
    """Return why a claim cannot be tested: diverged rows, or rows that are not above another."""
    names = (claim.row, claim.other or claim.row)
    named = zip((*names, str(claim.above)), (*rows, above), strict=True)
    diverged = [name for name, one in named if one is not None and math.isnan(one.mean)]
    if diverged:
        return f"{', '.join(dict.fromkeys(diverged))} diverged"
    if above is None:
        return ""
    worse = [
        f"{name} {column.text(sample.mean)}"
        for name, sample in zip(names, rows, strict=True)
        if column.sign * (sample.mean - above.mean) <= 0
    ]
    baseline = f"{claim.above} {column.text(above.mean)}"
    return f"no better than {baseline}: {', '.join(worse)}" if worse else ""


def _detail(tested: ClaimResult, column: Column, samples: tuple[Sample, Sample]) -> str:
    """Return the numbers of a result as text."""
    claim, difference = tested.claim, tested.difference or 0.0
    is_single = claim.limit is not None
    sign = "" if is_single or claim.is_close or difference <= 0 else "+"
    parts = [f"{sign}{column.text(samples[0].mean if is_single else difference)}"]
    noisy = [sample for sample in samples if sample.freedom < math.inf]
    if noisy and max(sample.count for sample in noisy) == 1:
        parts.append("one seed" if is_single else "one seed each")
    if tested.noise:
        parts.append(f"noise {column.text(tested.noise)}")
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
    """Return the counts of both tests: ``4 of 4 supported over seeds, 0 of 4 over recordings``."""
    paired = [one.recordings.result for one in results if one.recordings]
    text = _counts([one.result for one in results], "supported over seeds")
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
    over = (("seeds", _remaining(results)), ("recordings", _remaining(paired)))
    parts = [f"over {level} {text}" for level, text in over if text]
    rate = "At a false discovery rate of 5 % (Benjamini-Hochberg)"
    return f"{rate}, these results remain significant: {'; '.join(parts)}." if parts else ""


def _remaining(tests: Iterable[ClaimResult | RecordingTest]) -> str:
    from scipy.stats import false_discovery_control

    tested = [(test.result, test.p_value) for test in tests if test.p_value is not None]
    adjusted = false_discovery_control([p_value for _, p_value in tested]) if tested else []
    before = Counter(result for result, _ in tested)
    after = Counter(result for (result, _), p in zip(tested, adjusted, strict=True) if p <= LEVEL)
    decided = (Result.SUPPORTED, Result.NOT_SUPPORTED)
    parts = [f"{after[result]} of {before[result]} {result}" for result in decided]
    return f"{' and '.join(parts)} (tests: {len(tested)})" if tested else ""
