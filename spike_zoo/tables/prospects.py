"""What the seeds of a table can tell: the noise bound of every claim, before and after its runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spike_zoo.tables.expect import Sample, SeedNoise, claim_text, noise_bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.filled import FilledRow
    from spike_zoo.tables.spec import Expectation, TableSpec

MOST_SEEDS: Final = 20  # nobody repeats a training more often than that
FEWEST_FREEDOM: Final = 4  # of a spread that counts for more than the stated one
UNKNOWN: Final = "unknown"
CAPTION: Final = "What the seeds can tell"
HEADER: Final = ("claim", "claimed", "spread s", "n", "n can tell", "n needed")
PROSPECT_RULE: Final = (
    "What n seeds can tell is that bound before the result: t · s · sqrt(2/n), or "
    "t · s · sqrt(1/n) where only one side has noise, with s pooled over all rows of the table "
    "that have two seeds or more, or as stated beforehand while these have fewer than four degrees "
    "of freedom and differ by less. Claimed is the difference that the "
    "source reports, less what the claim asks for at least, or that margin alone; n needed are the "
    "seeds that can tell it, and find it in about half of all repetitions."
)


@dataclass(frozen=True)
class Prospect:
    """What the seeds of a claim's rows can tell.

    Attributes:
        expectation: The claim.
        text: The claim in words.
        column: How its numbers are written.
        spread: Standard deviation over seeds; None where nobody knows it yet.
        is_stated: Whether the table's file states that spread, as too little ran.
        seeds: How many runs each row has, or is meant to have.
        bound: Smallest difference that so many seeds can tell; None without a spread.
        needed: Fewest seeds that can tell the claimed difference; None where that or the spread is
            unknown, or where :data:`MOST_SEEDS` are too few.
    """

    expectation: Expectation
    text: str
    column: Column
    spread: float | None
    is_stated: bool
    seeds: int
    bound: float | None
    needed: int | None

    @property
    def cells(self) -> list[str]:
        """What stands below :data:`HEADER`."""
        front = [self.text, self._claimed]
        if self.spread is None or self.bound is None:
            return [*front, UNKNOWN, str(self.seeds), UNKNOWN, UNKNOWN]
        spread = f"{self.column.text(self.spread)}{' (stated)' if self.is_stated else ''}"
        needed = f"more than {MOST_SEEDS}" if self.needed is None else str(self.needed)
        needed = UNKNOWN if self.expectation.claimed is None else needed
        return [*front, spread, str(self.seeds), self.column.text(self.bound), needed]

    @property
    def _claimed(self) -> str:
        """The difference to tell, and what it is made of."""
        claim, text = self.expectation, self.column.text
        margin = text(claim.margin)
        if claim.claimed is None:
            return UNKNOWN
        if claim.reported is None:
            return f"within {margin}" if claim.is_close else f"at least {margin}"
        is_less = claim.claimed < claim.reported
        return f"{text(claim.reported)} - {margin}" if is_less else text(claim.reported)


def prospects_of(spec: TableSpec, rows: Sequence[FilledRow]) -> tuple[Prospect, ...]:
    """Return what the seeds of a table can tell of each claim that has noise.

    Left out are claims about what no seed changes, and BD-rates, whose noise no spread of a column
    gives. A row that has not run yet counts as one with noise.
    """
    found = [_prospect(spec, rows, one) for one in spec.expect if one.anchor is None]
    return tuple(one for one in found if one is not None)


def prospect_cells(prospects: Sequence[Prospect]) -> list[list[str]]:
    """Return what stands below :data:`HEADER`, a line a claim.

    Claims of which nobody reports a difference share a line where their numbers are the same.
    """
    lines: dict[tuple[str, ...], list[Prospect]] = {}
    for number, one in enumerate(prospects):
        alike = (
            one.column.name if one.expectation.claimed is None else str(number),
            *one.cells[1:],
        )
        lines.setdefault(alike, []).append(one)
    found = []
    for group in lines.values():
        first, *rest = group[0].cells
        several = f"{len(group)} claims ({group[0].column.heading})"
        found.append([several if len(group) > 1 else first, *rest])
    return found


def prospect_notes(spec: TableSpec, prospects: Sequence[Prospect]) -> list[str]:
    """Return where the spread was taken from that a table's file states."""
    if not any(one.is_stated for one in prospects):
        return []
    return [f"s stated beforehand: {spec.spread.source}."]


def pooled(spec: TableSpec, rows: Sequence[FilledRow], place: int) -> SeedNoise | None:
    """Return how much seeds differ in a column, of all rows that have two seeds or more."""
    column = spec.columns[place]
    cells = [row.cells[place] for row in rows if not row.is_exact(column)]
    seeded = [(cell.count - 1, cell.deviation) for cell in cells if cell.deviation is not None]
    freedom = sum(count for count, _ in seeded)
    if freedom == 0:
        return None
    return SeedNoise(math.sqrt(sum(count * s**2 for count, s in seeded) / freedom), freedom)


def stated(spec: TableSpec, place: int) -> SeedNoise | None:
    """Return how much seeds differ in a column, as the table's file states."""
    deviation = spec.spread.values.get(spec.columns[place].name)
    return None if deviation is None else SeedNoise(deviation)


def seeds_needed(claimed: float, spreads: Sequence[float]) -> int | None:
    """Return the fewest seeds whose bound is not above a difference, None for too many.

    Args:
        claimed: The difference.
        spreads: Standard deviations over seeds of one or two sides that have noise.
    """
    numbers = range(2, MOST_SEEDS + 1)
    return next((n for n in numbers if expected_bound(spreads, n) <= claimed), None)


def expected_bound(spreads: Sequence[float], seeds: int) -> float:
    """Return the smallest difference that counts at 95 % with so many seeds on every side.

    Args:
        spreads: Standard deviations over seeds of one or two sides that have noise.
        seeds: At least 2.
    """
    sides = [Sample(0.0, spread, seeds) for spread in spreads]
    sides.append(Sample(0.0, None, 1, is_exact=True))  # only counts where it is the second
    bound = noise_bound(*sides[:2])
    return math.inf if bound is None else bound


def _prospect(
    spec: TableSpec, rows: Sequence[FilledRow], expectation: Expectation
) -> Prospect | None:
    named = {row.name: row for row in rows}
    places = {column.name: place for place, column in enumerate(spec.columns)}
    sides = [(named[expectation.row], places[expectation.by])]
    if expectation.limit is None:
        other, by = expectation.other or expectation.row, expectation.than or expectation.by
        sides.append((named[other], places[by]))
    noisy = [(row, place) for row, place in sides if not row.is_exact(spec.columns[place])]
    if not noisy:
        return None
    counts = [row.cells[place].count for row, place in noisy]
    seeds = min(counts) if min(counts) >= 2 else spec.seeds
    if seeds < 2:  # one tells nothing about noise
        return None
    found = [_spread(spec, rows, place) for _, place in noisy]
    known = [spread for spread in found if spread is not None]
    spreads = [spread.deviation for spread in known]
    is_known, claimed = len(known) == len(noisy), expectation.claimed
    column = spec.columns[sides[0][1]]
    than = spec.columns[places[expectation.than]] if expectation.than else None
    return Prospect(
        expectation=expectation,
        text=claim_text(expectation, column, than),
        column=column,
        spread=math.sqrt(sum(s**2 for s in spreads) / len(spreads)) if is_known else None,
        is_stated=is_known and any(spread.freedom is None for spread in known),
        seeds=seeds,
        bound=expected_bound(spreads, seeds) if is_known else None,
        needed=seeds_needed(claimed, spreads) if is_known and claimed is not None else None,
    )


def _spread(spec: TableSpec, rows: Sequence[FilledRow], place: int) -> SeedNoise | None:
    """Return how much seeds differ in a column, at least as stated until enough of them ran."""
    measured, beforehand = pooled(spec, rows, place), stated(spec, place)
    if measured is None or beforehand is None or (measured.freedom or 0) >= FEWEST_FREEDOM:
        return measured or beforehand
    return max(measured, beforehand, key=lambda one: one.deviation)
