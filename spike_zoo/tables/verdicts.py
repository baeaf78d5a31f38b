"""Verdicts on the claims of filled tables; the spread of seeds is pooled over all of them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from spike_zoo.tables.expect import Judgement, Verdict, judge
from spike_zoo.tables.noise import Sample, Spread, pool
from spike_zoo.tables.rates import BD_RATE, METHODS, NAMES, compared, rate_samples
from spike_zoo.tables.recordings import by_recording, paired_differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.curves import FilledCurve
    from spike_zoo.tables.filled import FilledRow, FilledTable
    from spike_zoo.tables.spec import Expectation


def verdicts_of(table: FilledTable, tables: Sequence[FilledTable]) -> tuple[Verdict, ...]:
    """Return the verdicts on a table's claims.

    Args:
        table: The table.
        tables: All tables of the file, whose rows give the deviation over seeds.
    """
    columns = {column.name: column for column in table.columns}
    spreads = {name: pooled(tables, column) for name, column in columns.items()}
    rows = {row.name: row for row in table.rows}

    def sample(row: str | None, column: str) -> Sample | None:
        if row is None:
            return None
        return _sample(table, rows[row], columns[column], spreads[column])

    found = []
    for claim in table.spec.expect:
        if claim.anchor is not None:
            found.append(_rate_verdict(claim, table.rows, table.curves))
            continue
        by, than = claim.by, claim.than or claim.by
        other = None if claim.limit is not None else claim.other or claim.row
        first = by_recording(rows[claim.row], columns[by])
        second = by_recording(rows[other], columns[than]) if other else claim.limit or 0.0
        found.append(
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
    return tuple(found)


def pooled(tables: Sequence[FilledTable], column: Column) -> Spread | None:
    """Return how much seeds differ in a column, over all rows of tables with two seeds or more."""
    groups: dict[tuple[int, ...], tuple[int, float]] = {}
    for table in tables:
        for place, one in enumerate(table.columns):
            if not one.is_same_as(column):
                continue
            for row in table.rows:
                cell = row.cells[place]
                if cell.deviation is not None and not row.is_exact(one):
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


def _rate_verdict(
    expectation: Expectation, rows: Sequence[FilledRow], curves: Sequence[FilledCurve]
) -> Verdict:
    curve = next(one for one in curves if one.spec.name == expectation.by)
    row, anchor = expectation.row, str(expectation.anchor)
    verdicts = {
        method: judge(expectation, BD_RATE, *rate_samples(curve, rows, expectation, method))
        for method in METHODS
    }
    found = {method: compared(curve, rows, row, anchor, method) for method in METHODS}
    verdict, reason = verdicts[expectation.method], found[expectation.method].reason
    decided = {Judgement.HELD, Judgement.NOT_HELD, Judgement.ONE_SEED}
    signs = {(one.difference or 0.0) > 0 for one in verdicts.values()}
    if len(signs) > 1 and {one.judgement for one in verdicts.values()} <= decided:
        values = ", ".join(f"{NAMES[method]} {one.text}" for method, one in found.items())
        detail = f"{values}: the way of interpolation decides it"
        return dataclasses.replace(verdict, judgement=Judgement.NO_MEANING, detail=detail)
    return dataclasses.replace(verdict, detail=reason) if reason else verdict
