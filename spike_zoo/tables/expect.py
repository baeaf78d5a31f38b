"""Whether a claim about a row holds, does not hold, or drowns in the noise of the seeds."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.spec import Expectation

#: Two-sided 95 % points of Student's t for 1, 2, ... degrees of freedom.
STUDENT_T: Final = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
    *(2.0395, 2.0369, 2.0345, 2.0322, 2.0301, 2.0281, 2.0262, 2.0244),
)
MANY: Final = STUDENT_T[-1]  # for more: a little too large, so that a bound is never too small

NOISE_RULE: Final = (
    "A difference is within noise where it is smaller than t · s · sqrt(1/n₁ + 1/n₂): s the pooled "
    "standard deviation over the seeds of both rows, t the two-sided 95 % point of Student's "
    "distribution with n₁ + n₂ - 2 degrees of freedom. With one seed each s is what was stated "
    "beforehand, or that of all rows of the table that have two seeds or more; where nobody knows "
    "it, the bare difference decides. Parameters, MACs and methods that train nothing have no "
    "noise. Where the bound is larger than the difference that is claimed, a result within noise "
    "is undecidable: so few seeds could not have told it."
)


class Judgement(Enum):
    """What became of a claim."""

    HELD = "held"
    NOISE = "within noise"
    UNDECIDABLE = "undecidable"
    NOT_HELD = "not held"
    NO_MEANING = "without meaning"
    NOT_MEASURED = "not measured"


class SeedNoise(NamedTuple):
    """How much seeds differ in a column, as other runs tell.

    Attributes:
        deviation: Their standard deviation.
        freedom: Degrees of freedom that it has; None where it was stated, so that they are many.
    """

    deviation: float
    freedom: int | None = None


@dataclass(frozen=True)
class Sample:
    """A row's number.

    Attributes:
        mean: Mean over seeds.
        deviation: Their standard deviation; None for one.
        count: How many.
        is_exact: Whether seeds cannot change it.
        elsewhere: How much they differ as other runs tell, which counts where one seed each is
            compared.
    """

    mean: float
    deviation: float | None
    count: int
    is_exact: bool = False
    elsewhere: SeedNoise | None = None


@dataclass(frozen=True)
class Verdict:
    """A claim and what became of it.

    Attributes:
        expectation: The claim.
        judgement: What became of it.
        text: The claim in words.
        difference: By how much the row is better than the other (closeness: how far apart).
        noise: Smallest difference that counts; None where one seed each leaves it unknown.
        detail: The numbers in words.
        seeds: Runs of the row that has the fewest, of those with noise.
    """

    expectation: Expectation
    judgement: Judgement
    text: str
    difference: float | None = None
    noise: float | None = None
    detail: str = ""
    seeds: int = 0

    @property
    def said(self) -> str:
        """The judgement as tables show it: ``undecidable with n = 3``."""
        said = self.judgement.value
        return f"{said} with n = {self.seeds}" if self.judgement is Judgement.UNDECIDABLE else said


def judge(
    expectation: Expectation,
    column: Column,
    row: Sample | None,
    other: Sample | None,
    above: Sample | None = None,
    *,
    than: Column | None = None,
) -> Verdict:
    """Hold a claim against the numbers.

    Let d be by how much ``row`` is better than ``other`` in the column's direction. The claim
    *better* says d > margin (d >= margin where a margin is given), *close* says |d| <= margin. What
    is left, d - margin or margin - |d|, is within noise where it is not larger than the bound
    of :func:`noise_bound`, and undecidable where that bound is larger than what is claimed;
    otherwise its sign decides. Where the claim names a row to be
    ``above``, it says nothing unless the means of both rows are better than that row's. A limit is
    a number without noise that d >= 0 reaches; a BD-rate must be below it, d > 0.

    Args:
        expectation: The claim.
        column: The column it is about.
        row: What its row has there.
        other: What the other row has there, or its own row in another column.
        above: What the row to be above has there.
        than: The other column, where there is one.
    """
    text = claim_text(expectation, column, than)
    if expectation.limit is not None:
        other = Sample(expectation.limit, None, 1, is_exact=True)
    if row is None or other is None or (above is None and expectation.above is not None):
        return Verdict(expectation, Judgement.NOT_MEASURED, text)
    diverged = _diverged(expectation, (row, other, above))
    if diverged:
        return Verdict(expectation, Judgement.NO_MEANING, text, detail=f"{diverged} diverged")
    sign = -1.0 if column.better == "lower" else 1.0
    below = "" if above is None else _below(expectation, column, (row, other), above)
    if below:
        return Verdict(expectation, Judgement.NO_MEANING, text, detail=below)
    difference = sign * (row.mean - other.mean)
    if expectation.is_close:
        difference = abs(difference)
        left = expectation.margin - difference
    else:
        left = difference - expectation.margin
    noise = noise_bound(row, other)
    judgement = _decided(expectation, left, noise)
    counts = [sample.count for sample in (row, other) if not sample.is_exact]
    is_one_seed = bool(counts) and max(counts) == 1
    detail = _detail(expectation, column, row.mean, difference, noise, is_one_seed=is_one_seed)
    if judgement is Judgement.UNDECIDABLE and expectation.claimed is not None:
        detail += f", claimed {column.text(expectation.claimed)}"
    return Verdict(expectation, judgement, text, difference, noise, detail, min(counts, default=0))


def _decided(expectation: Expectation, left: float, noise: float | None) -> Judgement:
    """Return what became of a claim of which so much is left."""
    is_reached = expectation.limit is not None and expectation.anchor is None
    is_strict = not (expectation.is_close or expectation.margin or is_reached)
    if noise is not None and noise > 0 and abs(left) <= noise:
        is_told = expectation.claimed is None or noise <= expectation.claimed
        return Judgement.NOISE if is_told else Judgement.UNDECIDABLE
    is_held = left > 0 or (left == 0 and not is_strict)
    return Judgement.HELD if is_held else Judgement.NOT_HELD


def noise_bound(first: Sample, second: Sample) -> float | None:
    """Return the smallest difference of means that counts at 95 %, None where nobody knows it.

    It is t · s · sqrt(1/n1 + 1/n2) of the two-sample t-test with pooled variance s². A row with
    one seed borrows the other's deviation; with one seed each both need one from elsewhere. An
    exact sample has no noise of its own.
    """
    if first.is_exact and second.is_exact:
        return 0.0
    noisy = [sample for sample in (first, second) if not sample.is_exact]
    freedom = sum(sample.count - 1 for sample in noisy)
    if freedom == 0:
        return _bound_elsewhere([sample.elsewhere for sample in noisy])
    squares = sum((s.count - 1) * s.deviation**2 for s in noisy if s.deviation is not None)
    spread = math.sqrt(squares / freedom * sum(1 / sample.count for sample in noisy))
    return _student_t(freedom) * spread


def _bound_elsewhere(spreads: Sequence[SeedNoise | None]) -> float | None:
    known = [spread for spread in spreads if spread is not None]
    if len(known) < len(spreads):
        return None
    freedom = min((one.freedom for one in known if one.freedom is not None), default=None)
    return _student_t(freedom) * math.hypot(*(one.deviation for one in known))


def _student_t(freedom: int | None) -> float:
    return MANY if freedom is None or freedom > len(STUDENT_T) else STUDENT_T[freedom - 1]


def sum_up(verdicts: Sequence[Verdict]) -> str:
    """Return all judgements in one line: ``7 of 9 held, 1 within noise, 1 not held``."""
    counts = Counter(verdict.judgement for verdict in verdicts)
    parts = [f"{counts[Judgement.HELD]} of {len(verdicts)} held"]
    others = [one for one in Judgement if one is not Judgement.HELD]
    return ", ".join([*parts, *(f"{counts[one]} {one.value}" for one in others if counts[one])])


def claim_text(expectation: Expectation, column: Column, than: Column | None = None) -> str:
    """Return a claim in words; ``than`` is the other column, where it is held against one."""
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
    """Return the names of the rows that have a seed whose result is not finite."""
    names = (expectation.row, expectation.other or expectation.row, expectation.above)
    found = [
        str(name)
        for name, sample in zip(names, samples, strict=True)
        if sample is not None and math.isnan(sample.mean)
    ]
    return ", ".join(dict.fromkeys(found))


def _below(
    expectation: Expectation, column: Column, rows: tuple[Sample, Sample], above: Sample
) -> str:
    """Return which of two rows are no better than the one to be above, nothing where none."""
    sign = -1.0 if column.better == "lower" else 1.0
    named = zip((expectation.row, str(expectation.other)), rows, strict=True)
    worse = [
        f"{name} {column.text(sample.mean)}"
        for name, sample in named
        if sign * (sample.mean - above.mean) <= 0
    ]
    baseline = f"{expectation.above} {column.text(above.mean)}"
    return f"no better than {baseline}: {', '.join(worse)}" if worse else ""


def _detail(
    expectation: Expectation,
    column: Column,
    value: float,
    difference: float,
    noise: float | None,
    *,
    is_one_seed: bool,
) -> str:
    is_single = expectation.limit is not None
    sign = "" if is_single or expectation.is_close or difference <= 0 else "+"
    text = f"{sign}{column.text(value if is_single else difference)}"
    if is_one_seed:
        text += ", one seed" if is_single else ", one seed each"
    return f"{text}, noise {column.text(noise)}" if noise else text
