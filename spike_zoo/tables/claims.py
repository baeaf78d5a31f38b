"""Results of claims: statistical tests over seeds and over photographs."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from spike_zoo.tables.columns import Column
from spike_zoo.tables.noise import LEVEL, Noise, PValue, Sample, noise_of
from spike_zoo.tables.spec import Claim

RELEVANT_PSNR: Final = 0.1
"""Smallest relevant difference of PSNR in decibels, as accepted by ``make reproduce``."""
MIN_PHOTOGRAPHS: Final = 6
"""Smallest number of photographs of a paired test; results on fewer ones are undecided."""
CLAIM_RULE: Final = (
    "A claim is decided by a t-test over seeds and a paired t-test over at least 6 photographs, "
    "which must agree, at a false discovery rate of 5 % over all claims of the page; without "
    "seeds, only by the test over photographs. 'p = 0.01 against 0' is the probability of such a "
    "difference if the true one is 0. All rules are in docs/tables.md, *Results of claims*."
)


class Result(StrEnum):
    """The result of a claim."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    UNDECIDED = "undecided"
    NOT_APPLICABLE = "not applicable"
    NOT_MEASURED = "not measured"


WITHIN_NOISE: Final = "within noise"
NO_SINGLE_VALUES: Final = "no values of single photographs"
DECIDED: Final = (Result.SUPPORTED, Result.NOT_SUPPORTED)


class Test(NamedTuple):
    """The result of one test, over seeds or over photographs."""

    result: Result
    noise: Noise
    p_value: PValue | None  #: None without noise, or if it is not known
    note: str = ""  #: the relevant difference, if the interval lies below it
    reason: str = ""  #: why it is undecided
    size: int = 0  #: number of photographs

    def text(self, column: Column) -> str:
        """Text of the result: ``within noise, p = 0.380 against 0``."""
        p_value = f", {self.p_value.text(column)}" if self.p_value else ""
        return f"{self.reason or self.result}{p_value}"


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its result."""

    claim: Claim  #: the claim
    result: Result  #: the result over seeds and photographs
    text: str  #: text of the claim
    #: improvement of the row over the other row, column or limit, positive if the row is better.
    #: For a claim of closeness the absolute difference.
    difference: float | None = None
    noise: float | None = None  #: smallest significant difference over seeds; None if not known
    detail: str = ""  #: text of the numbers
    seeds: int = 0  #: smallest number of runs among the compared rows with noise
    #: larger p-value of the tests that decide; None without noise or if the noise is not known
    p_value: float | None = None
    over_seeds: Test | None = None  #: the test over seeds; None without noise of seeds
    #: the paired test over photographs; None without results of single images
    photographs: Test | None = None
    reason: str = ""  #: why the result is undecided

    @property
    def label(self) -> str:
        """Text of the result in tables, for example ``undecided: 3 photographs``."""
        return f"{self.result}: {self.reason}" if self.reason else str(self.result)


def evaluate_claim(
    claim: Claim,
    column: Column,
    row: Sample | None,
    other: Sample | None,
    above: Sample | None = None,
    *,
    than: Column | None = None,
    paired: Sequence[float] = (),
    photographs: int | None = None,
) -> ClaimResult:
    """Return the result of a claim.

    Let d be the improvement of ``row`` over ``other``. The remainder is d - margin, for closeness
    margin - |d|. Over seeds, the claim is within noise if the remainder is not larger than its
    noise; otherwise its sign decides. The test over photographs must agree. ``docs/tables.md``
    describes the noise and the other results.
    ``above`` is the row that both must exceed, ``than`` the other column, ``paired`` has the
    difference of each photograph, and ``photographs`` is the number of photographs in the test set
    (default: as many as differences).
    """
    text = claim_text(claim, column, than)
    if claim.limit is not None and other is None:
        other = Sample(claim.limit)
    if row is None or other is None or (above is None and claim.above is not None):
        return ClaimResult(claim, Result.NOT_MEASURED, text)
    if reason := _not_applicable(claim, column, (row, other), above):
        return ClaimResult(claim, Result.NOT_APPLICABLE, text, detail=reason)
    difference = column.sign * (row.mean - other.mean)
    count = len(paired) if photographs is None else photographs
    over_seeds = _over_seeds(claim, column, difference, (row, other))
    over_photographs = _over_photographs(claim, column, paired, count)
    has_seeds = min(row.freedom, other.freedom) < math.inf
    deciding = [over_seeds] if has_seeds or not over_photographs else []
    if over_photographs and not column.is_exact:
        deciding.append(over_photographs)
    result, reason = _agreed(deciding)
    p_values = [one.p_value.value for one in deciding if one.p_value]
    is_tested = not (over_photographs and math.isnan(over_photographs.noise.bound))
    tested = ClaimResult(
        claim,
        result,
        text,
        abs(difference) if claim.is_close else difference,
        None if math.isnan(over_seeds.noise.bound) else over_seeds.noise.bound,
        seeds=min((one.count for one in (row, other) if one.freedom < math.inf), default=0),
        p_value=max(p_values) if p_values and (is_tested or column.is_exact) else None,
        over_seeds=over_seeds if has_seeds else None,
        photographs=over_photographs,
        reason=reason,
    )
    return replace(tested, detail=_detail(tested, column, (row, other)))


def _agreed(tests: Sequence[Test]) -> tuple[Result, str]:
    """Return the result on which the tests agree, otherwise undecided with the reason."""
    first, last = tests[0], tests[-1]
    for test in (last, first):
        if test.result is Result.UNDECIDED:
            over = ", over photographs" if test.reason == WITHIN_NOISE and test.size else ""
            return Result.UNDECIDED, f"{test.reason}{over}"
    if first.result is not last.result:
        return Result.UNDECIDED, f"{first.result} over seeds, {last.result} over photographs"
    return first.result, ""


def _relevant(claim: Claim, column: Column) -> float:
    """Return the difference below which a row is not better; 0 for claims of another kind."""
    if not (claim.better_than or claim.than) or claim.margin:
        return 0.0
    if claim.reported is not None:
        return claim.reported / 2
    return RELEVANT_PSNR if column.measure.startswith("psnr") else 0.0


def _tested(claim: Claim, column: Column, difference: float, noise: Noise) -> Test:
    """Return the test of a difference, with a note if the difference is small.

    It is small if its 95 % interval lies below the relevant difference, but not below 0.
    """
    rest = claim.margin - abs(difference) if claim.is_close else difference - claim.margin
    relevant = _relevant(claim, column)
    is_small = -noise.bound <= rest < relevant - noise.bound
    reported = claim.reported
    half = "" if reported is None else f"half of the reported {column.text(reported)}"
    note = f", less than {half or column.text(relevant)}" if is_small else ""
    p_value = noise.p_value(rest, relevant)
    if p_value:
        p_value = p_value._replace(null=p_value.null + (claim.margin or claim.limit or 0.0))
    if math.isnan(noise.bound):
        return Test(Result.UNDECIDED, noise, p_value, note, "one seed")
    if noise.bound > 0 and abs(rest) <= noise.bound and not is_small:
        return Test(Result.UNDECIDED, noise, p_value, note, WITHIN_NOISE)
    is_limit = claim.limit is not None and claim.anchor is None
    is_equal_enough = (claim.is_close or claim.margin or is_limit) and not is_small
    is_supported = rest > noise.bound or (rest == 0 and is_equal_enough)
    return Test(Result.SUPPORTED if is_supported else Result.NOT_SUPPORTED, noise, p_value, note)


def _over_seeds(
    claim: Claim, column: Column, difference: float, samples: tuple[Sample, Sample]
) -> Test:
    noise = noise_of(samples)
    test = _tested(claim, column, difference, noise)
    if test.reason != WITHIN_NOISE or noise.bound <= (claim.claimed or math.inf):
        return test
    single = noise_of([replace(sample, count=1) for sample in samples])
    needed = math.ceil((single.bound / (claim.claimed or math.inf)) ** 2)
    claimed = f"the claimed {column.text(claim.claimed or 0.0)}"
    return test._replace(reason=f"noise above {claimed}, which {needed} seeds can detect")


def _over_photographs(
    claim: Claim, column: Column, differences: Sequence[float], count: int
) -> Test | None:
    """Return the paired test over photographs; None if the images are not known."""
    if count > 0 and (count < MIN_PHOTOGRAPHS or not differences):
        few = f"{count} photograph{'s' if count > 1 else ''}"
        reason = few if count < MIN_PHOTOGRAPHS else NO_SINGLE_VALUES
        return Test(Result.UNDECIDED, Noise(math.nan, 0), None, "", reason, count)
    if not differences or column.is_cost:
        return None
    size = len(differences)
    noise = Noise(statistics.stdev(differences) / math.sqrt(size), size - 1)
    mean = column.sign * statistics.fmean(differences)
    return _tested(claim, column, mean, noise)._replace(size=size)


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


def _detail(tested: ClaimResult, column: Column, samples: tuple[Sample, Sample]) -> str:
    """Return the numbers of a result as text."""
    claim, difference, over = tested.claim, tested.difference or 0.0, tested.photographs
    is_single = claim.limit is not None
    sign = "" if is_single or claim.is_close or difference <= 0 else "+"
    parts = [f"{sign}{column.text(samples[0].mean if is_single else difference)}"]
    noisy = [sample for sample in samples if sample.freedom < math.inf]
    if noisy and max(sample.count for sample in noisy) == 1:
        parts.append("one seed" if is_single else "one seed each")
    if not noisy and over:
        parts.append("no seeds")
    if tested.noise and (over_seeds := tested.over_seeds):
        p_value = over_seeds.p_value.text(column) if over_seeds.p_value else ""
        parts.append(f"noise {column.text(tested.noise)}{over_seeds.note}")
        parts.append(f"over seeds {over_seeds.text(column)}" if over else p_value)
    text = ", ".join(parts)
    if not over or over.size < MIN_PHOTOGRAPHS:
        return text
    return f"{text}; {over.size} photographs: {over.text(column)}{over.note}"


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
    """Return the counts: ``4 of 6 supported (1 not supported, 1 undecided)``."""
    counts = Counter(one.result for one in results)
    others = [f"{counts[r]} {r}" for r in Result if counts[r] and r is not Result.SUPPORTED]
    rest = f" ({', '.join(others)})" if others else ""
    return f"{counts[Result.SUPPORTED]} of {len(results)} supported{rest}"


def controlled(results: Sequence[ClaimResult]) -> list[ClaimResult]:
    """Return the results of a page, decided only at a false discovery rate of 5 %.

    The correction for multiple tests is that of Benjamini and Hochberg. Claims without a p-value,
    such as those of parameters, stay as they are.
    """
    from scipy.stats import false_discovery_control

    p_values = [one.p_value for one in results if one.p_value is not None]
    adjusted = iter(false_discovery_control(p_values) if p_values else ())
    reason = "not significant at a false discovery rate of 5 %"
    return [
        replace(one, result=Result.UNDECIDED, reason=reason)
        if one.p_value is not None and next(adjusted) > LEVEL and one.result in DECIDED
        else one
        for one in results
    ]
