"""Statistical tests of the claims of a table, over seeds and over recordings."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from spike_zoo.tables.rates import BD_RATE, METHODS, NAMES, rate_samples
from spike_zoo.tables.significance import (
    Sample,
    Spread,
    StandardError,
    by_recording,
    error_of_mean,
    p_text,
    paired_differences,
    pool,
    seeds_needed,
    significant_at_fdr,
    standard_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spike_zoo.tables.aggregate import FilledRow, FilledTable
    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.spec import Expectation

NOISE_RULE: Final = (
    "A difference is within noise if it is smaller than t · s · sqrt(1/n₁ + 1/n₂): s is the "
    "standard deviation over seeds, pooled over all rows of the file that have two seeds or more, "
    "and t the two-sided 95 % point of Student's distribution with the degrees of freedom of s. "
    "Where no row has two seeds the verdict is 'one seed'. Parameters, MACs and methods without "
    "training have no noise of seeds. A result within noise is undecidable if the noise is larger "
    "than the claimed difference. After it follows the paired t-test over the recordings of the "
    "test set, means over seeds, where single images were recorded."
)


class Judgement(Enum):
    """The verdict on a claim."""

    HELD = "held"
    NOISE = "within noise"
    UNDECIDABLE = "undecidable"
    NOT_HELD = "not held"
    NO_MEANING = "without meaning"
    NOT_MEASURED = "not measured"
    ONE_SEED = "one seed"


@dataclass(frozen=True)
class OverRecordings:
    """The paired test of a claim over recordings.

    Attributes:
        judgement: Held, within noise or not held.
        count: Number of recordings.
        p_value: Two-sided; None if all recordings have the same difference.
    """

    judgement: Judgement
    count: int
    p_value: float | None

    @property
    def text(self) -> str:
        """Text of the result: ``8 recordings: within noise, p = 0.380``."""
        p_value = "" if self.p_value is None else f", {p_text(self.p_value)}"
        return f"{self.count} recordings: {self.judgement.value}{p_value}"


@dataclass(frozen=True)
class Verdict:
    """A claim and its verdict.

    Attributes:
        expectation: The claim.
        judgement: The verdict.
        text: Text of the claim.
        difference: Improvement of the row over the other row, column or limit, positive if the row
            is better. For a claim of closeness the absolute difference.
        noise: Smallest significant difference; None if it is not known.
        detail: Text of the numbers.
        seeds: Smallest number of runs among the compared rows with noise.
        p_value: p-value of the test over seeds; None without noise or if the noise is not known.
        recordings: The paired test over recordings; None without results of single images.
    """

    expectation: Expectation
    judgement: Judgement
    text: str
    difference: float | None = None
    noise: float | None = None
    detail: str = ""
    seeds: int = 0
    p_value: float | None = None
    recordings: OverRecordings | None = None

    @property
    def label(self) -> str:
        """Text of the judgement in tables, for example ``undecidable with n = 3``."""
        text = self.judgement.value
        return f"{text} with n = {self.seeds}" if self.judgement is Judgement.UNDECIDABLE else text


def judge(
    expectation: Expectation,
    column: Column,
    row: Sample | None,
    other: Sample | None,
    above: Sample | None = None,
    *,
    than: Column | None = None,
    paired: Sequence[float] = (),
) -> Verdict:
    """Test a claim.

    Let d be the improvement of ``row`` over ``other`` in the column's direction. The claim *better*
    is d > margin (d >= margin if a margin is given); the claim *close* is |d| <= margin. A value
    must reach its limit, d >= 0; a BD-rate must be below its limit, d > 0.

    The remainder is d - margin or margin - |d|. The claim is *within noise* if the absolute
    remainder is not larger than the bound of its standard error. A claim within noise is
    *undecidable* if this bound is larger than the claimed difference. Otherwise the sign of the
    remainder decides. If the noise is not known, the verdict is *one seed*. A claim with ``above``
    has no meaning unless the means of both rows are better than the mean of the row ``above``.

    Args:
        expectation: The claim.
        column: The column of ``by``.
        row: Result of the claim's row.
        other: Result of the other row or column; by default the limit, which is exact.
        above: Result of the row to exceed.
        than: The other column.
        paired: Differences between row and other, one for each recording.
    """
    text = claim_text(expectation, column, than)
    if expectation.limit is not None and other is None:
        other = Sample(expectation.limit, is_exact=True)
    if row is None or other is None or (above is None and expectation.above is not None):
        return Verdict(expectation, Judgement.NOT_MEASURED, text)
    reason = _diverged(expectation, (row, other, above))
    if not reason and above is not None:
        reason = _below(expectation, column, (row, other), above)
    if reason:
        return Verdict(expectation, Judgement.NO_MEANING, text, detail=reason)
    sign = -1.0 if column.better == "lower" else 1.0
    difference = sign * (row.mean - other.mean)
    rest = _remainder(expectation, difference)
    error = standard_error((row, other))
    judgement = Judgement.ONE_SEED if error is None else _decided(expectation, rest, error.bound)
    if judgement is Judgement.NOISE and error is not None and expectation.claimed is not None:
        is_too_large = error.bound > expectation.claimed
        judgement = Judgement.UNDECIDABLE if is_too_large else judgement
    counts = [sample.count for sample in (row, other) if not sample.is_exact]
    verdict = Verdict(
        expectation,
        judgement,
        text,
        abs(difference) if expectation.is_close else difference,
        None if error is None else error.bound,
        seeds=min(counts, default=0),
        p_value=None if error is None else error.p_value(rest),
        recordings=_over_recordings(expectation, [sign * one for one in paired]),
    )
    return replace(verdict, detail=_detail(verdict, column, (row, other), error))


def _remainder(expectation: Expectation, difference: float) -> float:
    """Return the difference minus the margin of a claim; for closeness the margin minus |d|."""
    if expectation.is_close:
        return expectation.margin - abs(difference)
    return difference - expectation.margin


def _decided(expectation: Expectation, rest: float, noise: float) -> Judgement:
    is_reached = expectation.limit is not None and expectation.anchor is None
    is_strict = not (expectation.is_close or expectation.margin or is_reached)
    if noise > 0 and abs(rest) <= noise:
        return Judgement.NOISE
    is_held = rest > 0 or (rest == 0 and not is_strict)
    return Judgement.HELD if is_held else Judgement.NOT_HELD


def _over_recordings(
    expectation: Expectation, differences: Sequence[float]
) -> OverRecordings | None:
    if len(differences) < 2:
        return None
    error = error_of_mean(differences)
    rest = _remainder(expectation, statistics.fmean(differences))
    judgement = _decided(expectation, rest, error.bound)
    return OverRecordings(judgement, len(differences), error.p_value(rest))


def verdicts_of(table: FilledTable, tables: Sequence[FilledTable]) -> tuple[Verdict, ...]:
    """Return the verdicts on a table's claims.

    Args:
        table: The table.
        tables: All tables of the file; the deviation over seeds is pooled over their rows.
    """
    columns = {column.name: column for column in table.columns}
    spreads = {name: _pooled(tables, column) for name, column in columns.items()}
    rows = {row.name: row for row in table.rows}

    def sample(row: str | None, column: str) -> Sample | None:
        if row is None:
            return None
        return _sample(table, rows[row], columns[column], spreads[column])

    verdicts = []
    for claim in table.spec.expect:
        if claim.anchor is not None:
            verdicts.append(_rate_verdict(claim, table))
            continue
        by, than = claim.by, claim.than or claim.by
        other = None if claim.limit is not None else claim.other or claim.row
        first = by_recording(rows[claim.row].runs, columns[by])
        second = by_recording(rows[other].runs, columns[than]) if other else claim.limit or 0.0
        verdicts.append(
            judge(
                claim,
                columns[by],
                sample(claim.row, by),
                sample(other, than),
                sample(claim.above, by),
                than=columns[than] if claim.than else None,
                paired=paired_differences(first, second),
            )
        )
    return tuple(verdicts)


def _pooled(tables: Sequence[FilledTable], column: Column) -> Spread | None:
    """Pool the deviations over seeds in a column, over all rows with two seeds or more."""
    groups: dict[tuple[int, ...], tuple[int, float]] = {}
    for table in tables:
        for index, table_column in enumerate(table.columns):
            if not table_column.is_same_as(column):
                continue
            for row in table.rows:
                cell = row.cells[index]
                if cell.deviation is not None and not row.is_exact(table_column):
                    runs = tuple(id(run) for run in row.runs)  # a row may be in several tables
                    groups[runs] = (cell.count, cell.deviation)
    return pool(groups.values())


def _sample(
    table: FilledTable, row: FilledRow, column: Column, spread: Spread | None
) -> Sample | None:
    cell = row.cells[table.columns.index(column)]
    if cell.diverged:
        return Sample(math.nan, cell.count)
    if cell.mean is None:
        return None
    return Sample(cell.mean, cell.count, spread, row.is_exact(column))


def _rate_verdict(expectation: Expectation, table: FilledTable) -> Verdict:
    curve = next(filled for filled in table.curves if filled.spec.name == expectation.by)
    row, anchor = expectation.row, str(expectation.anchor)
    verdicts = {
        method: judge(expectation, BD_RATE, *rate_samples(curve, table.rows, expectation, method))
        for method in METHODS
    }
    rates = {method: curve.bd_rate(row, anchor, method) for method in METHODS}
    verdict, reason = verdicts[expectation.method], rates[expectation.method].reason
    decided = {Judgement.HELD, Judgement.NOT_HELD, Judgement.ONE_SEED}
    signs = {(tested.difference or 0.0) > 0 for tested in verdicts.values()}
    if len(signs) > 1 and {tested.judgement for tested in verdicts.values()} <= decided:
        values = ", ".join(f"{NAMES[method]} {rate.text}" for method, rate in rates.items())
        detail = f"{values}: the way of interpolation decides it"
        return replace(verdict, judgement=Judgement.NO_MEANING, detail=detail)
    return replace(verdict, detail=reason) if reason else verdict


def summarize_verdicts(verdicts: Sequence[Verdict]) -> str:
    """Return the counts of both tests: ``4 of 4 held over seeds, 0 of 4 over recordings (...)``."""
    tests = [verdict.recordings.judgement for verdict in verdicts if verdict.recordings]
    parts = [_counts([verdict.judgement for verdict in verdicts], "held over seeds")]
    return ", ".join([*parts, *([_counts(tests, "over recordings")] if tests else [])])


def by_origin(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Return headings -> verdicts: the claims of the paper, then our own expectations."""
    groups = {
        "Claims of the paper": [one for one in verdicts if one.expectation.paper],
        "Our expectations": [one for one in verdicts if not one.expectation.paper],
    }
    return {heading: group for heading, group in groups.items() if group}


def _counts(judgements: Sequence[Judgement], what: str) -> str:
    counts = Counter(judgements)
    kinds = [one for one in Judgement if counts[one] and one is not Judgement.HELD]
    others = [f"{counts[one]} {one.value}" for one in kinds]
    rest = f" ({', '.join(others)})" if others else ""
    return f"{counts[Judgement.HELD]} of {len(judgements)} {what}{rest}"


def false_discoveries(verdicts: Sequence[Verdict]) -> str:
    """Return the number of decided claims that remain significant after the correction.

    The correction for multiple tests controls the false discovery rate (Benjamini-Hochberg).
    """
    seeds = [(verdict.judgement, verdict.p_value) for verdict in verdicts]
    paired_tests = [verdict.recordings for verdict in verdicts]
    recordings = [(test.judgement, test.p_value) for test in paired_tests if test is not None]
    parts = [
        f"over {level} {remaining}"
        for level, tests in (("seeds", seeds), ("recordings", recordings))
        if (remaining := _remaining(tests))
    ]
    if not parts:
        return ""
    rate = "At a false discovery rate of 5 % (Benjamini-Hochberg)"
    return f"{rate}, these verdicts remain significant: {'; '.join(parts)}."


def _remaining(tests: Iterable[tuple[Judgement, float | None]]) -> str:
    results = [(judgement, p_value) for judgement, p_value in tests if p_value is not None]
    kept = significant_at_fdr([p_value for _, p_value in results])
    before = Counter(judgement for judgement, _ in results)
    after = Counter(
        judgement for (judgement, _), is_kept in zip(results, kept, strict=True) if is_kept
    )
    parts = [
        f"{after[judgement]} of {before[judgement]} {judgement.value}"
        for judgement in (Judgement.HELD, Judgement.NOT_HELD)
    ]
    return f"{' and '.join(parts)} (tests: {len(results)})" if results else ""


def claim_text(expectation: Expectation, column: Column, than: Column | None = None) -> str:
    """Return the text of a claim; ``than`` is the other column."""
    row, other = expectation.row, expectation.other
    if expectation.anchor is not None and expectation.limit is not None:
        method = "" if expectation.method == "cubic" else f", {expectation.method}"
        limit = column.text(expectation.limit)
        return f"{row} below {limit} against {expectation.anchor} ({column.heading}{method})"
    if expectation.limit is not None:
        way = "at most" if column.better == "lower" else "at least"
        return f"{row} {way} {column.text(expectation.limit)} ({column.heading})"
    if expectation.is_close:
        return f"{row} within {column.text(expectation.margin)} of {other} by {column.heading}"
    by = f" by at least {column.text(expectation.margin)}" if expectation.margin else ""
    if than is not None:
        return f"{row}: {column.heading} better than {than.heading}{by}"
    return f"{row} better than {other}{by} ({column.heading})"


def _diverged(expectation: Expectation, samples: Sequence[Sample | None]) -> str:
    """Return the rows with a result that is not finite; empty without such rows."""
    names = (expectation.row, expectation.other or expectation.row, expectation.above)
    diverged = [
        str(name)
        for name, sample in zip(names, samples, strict=True)
        if sample is not None and math.isnan(sample.mean)
    ]
    return f"{', '.join(dict.fromkeys(diverged))} diverged" if diverged else ""


def _below(
    expectation: Expectation, column: Column, rows: tuple[Sample, Sample], above: Sample
) -> str:
    """Return the rows that are not better than the row to exceed; empty without such rows."""
    sign = -1.0 if column.better == "lower" else 1.0
    named = zip((expectation.row, str(expectation.other)), rows, strict=True)
    worse_rows = [
        f"{name} {column.text(sample.mean)}"
        for name, sample in named
        if sign * (sample.mean - above.mean) <= 0
    ]
    baseline = f"{expectation.above} {column.text(above.mean)}"
    return f"no better than {baseline}: {', '.join(worse_rows)}" if worse_rows else ""


def _detail(
    verdict: Verdict, column: Column, samples: tuple[Sample, Sample], error: StandardError | None
) -> str:
    """Return the numbers of a verdict as text."""
    claim, difference = verdict.expectation, verdict.difference or 0.0
    is_single = claim.limit is not None
    sign = "" if is_single or claim.is_close or difference <= 0 else "+"
    parts = [f"{sign}{column.text(samples[0].mean if is_single else difference)}"]
    noisy = [sample for sample in samples if not sample.is_exact]
    if noisy and max(sample.count for sample in noisy) == 1:
        parts.append("one seed" if is_single else "one seed each")
    if verdict.noise:
        parts.append(f"noise {column.text(verdict.noise)}")
    if verdict.judgement is Judgement.UNDECIDABLE and error is not None and claim.claimed:
        needed = seeds_needed(claim.claimed, noisy, error)
        parts.append(f"claimed {column.text(claim.claimed)}, which {needed} seeds can detect")
    text = ", ".join(parts)
    return f"{text}; {verdict.recordings.text}" if verdict.recordings else text
