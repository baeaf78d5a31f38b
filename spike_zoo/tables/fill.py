"""Runs grouped into the rows of a table: means, deviations, and what must be said below it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spike_zoo.errors import ConfigError, closest
from spike_zoo.tables.columns import COSTS
from spike_zoo.tables.configurations import (
    configurations_of,
    data_digest,
    known_recipes,
    shown_configuration,
)
from spike_zoo.tables.curves import fill_curves
from spike_zoo.tables.expect import Judgement, Sample, Verdict, judge
from spike_zoo.tables.filled import Cell, FilledRow
from spike_zoo.tables.notes import notes_of, warnings_of
from spike_zoo.tables.prospects import Prospect, pooled, prospects_of, stated
from spike_zoo.tables.rates import BD_RATE, METHODS, NAMES, compared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.curves import FilledCurve
    from spike_zoo.tables.recorded import RecordedRun
    from spike_zoo.tables.spec import Expectation, Row, TableSpec


@dataclass(frozen=True)
class FilledTable:
    """A table with its numbers.

    Attributes:
        spec: What the table's file says.
        rows: The rows, top to bottom.
        warnings: Why the rows cannot simply be compared.
        notes: Where the numbers come from.
        verdicts: What became of the expectations.
        curves: What is drawn below the numbers.
        prospects: What the seeds can tell of the expectations.
    """

    spec: TableSpec
    rows: tuple[FilledRow, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    curves: tuple[FilledCurve, ...] = ()
    prospects: tuple[Prospect, ...] = ()

    @property
    def title(self) -> str:
        """The heading."""
        return self.spec.title

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, left to right."""
        return self.spec.columns


def fill_table(
    spec: TableSpec, runs: Sequence[RecordedRun], profile: str | None = None
) -> FilledTable:
    """Fill a table with the runs of its variants, mean and deviation over their seeds.

    A row shows one configuration, that of the place named first and there the newest, and takes
    one run of each seed; the first found counts.

    Args:
        spec: The table.
        runs: All there are; others than the rows' are left out.
        profile: Take only runs of this profile.

    Raises:
        ConfigError: If no run that the table shows has the metric of a column, or a curve is none.
    """
    chosen = [run for run in runs if profile is None or run.result.profile == profile]
    recipes = known_recipes(runs)
    rows: list[FilledRow] = []
    others: dict[str, list[RecordedRun]] = {}
    repeats = 0
    for row in spec.rows:
        archive = row.archive or spec.archive
        found = configurations_of([run for run in chosen if run.is_of(row, archive)], recipes)
        shown = shown_configuration(found).runs if found else []
        others[row.name] = [run for one in found if one.runs is not shown for run in one.runs]
        kept = _once_per_seed(shown)
        repeats += len(shown) - len(kept)
        rows.append(_filled(row, kept, spec.columns))
    _refuse_absent(spec, [run for row in rows for run in row.runs])
    marked = _marked(rows, one_data=spec.one_data)
    named = [(row.name, row.runs) for row in marked]
    curves = fill_curves(spec, marked)
    return FilledTable(
        spec,
        tuple(marked),
        tuple(warnings_of(spec, named)),
        tuple(notes_of(spec, named, repeats, others)),
        tuple(_verdicts(spec, marked, curves)),
        curves,
        prospects_of(spec, marked),
    )


def _filled(row: Row, runs: Sequence[RecordedRun], columns: Sequence[Column]) -> FilledRow:
    cells = tuple(_cell(runs, column, row.published.get(column.name)) for column in columns)
    return FilledRow(row, cells, tuple(runs))


def _once_per_seed(runs: Sequence[RecordedRun]) -> list[RecordedRun]:
    """Return the first run of each seed, configuration and data."""
    first: dict[tuple[object, ...], RecordedRun] = {}
    for run in runs:
        result = run.result
        first.setdefault((result.seed, result.config_hash, result.data_sha256), run)
    return list(first.values())


def _cell(runs: Sequence[RecordedRun], column: Column, published: float | None) -> Cell:
    values = [value for run in runs if (value := run.value(column)) is not None]
    if not values:
        return Cell(None, published=published)
    diverged = sum(not math.isfinite(value) for value in values)
    if diverged:
        return Cell(None, count=len(values), published=published, diverged=diverged)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), deviation, len(values), published)


def _refuse_absent(spec: TableSpec, used: Sequence[RecordedRun]) -> None:
    """Refuse what no run measured; n/a is for what some lack or what needs extra files."""
    known = sorted({key for run in used for key in _measured_by(run)})
    for column in spec.columns:
        kind = "costs/" if column.is_cost else "test/"
        is_needed = "/" in column.key and not column.may_be_missing
        if used and is_needed and column.key not in known:
            raise ConfigError(
                f"{spec.file or 'the table'}: table {spec.title!r}, column {column.key!r}: none of "
                f"its {len(used)} results has it.{closest(column.key, known, most=3)} They have "
                f"{', '.join(key for key in known if key.startswith(kind)) or 'nothing'}"
            )


def _measured_by(run: RecordedRun) -> Iterator[str]:
    """Yield the keys of all that a run measured."""
    yield from run.result.metrics
    for job, cost in run.result.costs.items():
        yield from (
            f"costs/{job}/{number}" for number in COSTS if getattr(cost, number) is not None
        )


def _marked(rows: Sequence[FilledRow], *, one_data: bool) -> list[FilledRow]:
    """Mark the rows whose data or profile are not those of most runs."""
    digest = data_digest([run for row in rows for run in row.runs])

    def origin(run: RecordedRun) -> tuple[str | None, str | None]:
        return (digest(run) if one_data else None, run.result.profile)

    origins = [origin(run) for row in rows for run in row.runs]
    if not origins:
        return list(rows)
    usual = statistics.mode(origins)
    return [
        dataclasses.replace(row, stands_out=any(origin(run) != usual for run in row.runs))
        for row in rows
    ]


def _verdicts(
    spec: TableSpec, rows: Sequence[FilledRow], curves: Sequence[FilledCurve]
) -> list[Verdict]:
    named = {row.name: row for row in rows}
    places = {column.name: index for index, column in enumerate(spec.columns)}

    def sample(row: str | None, column: str) -> Sample | None:
        place = places[column]
        if row is None:
            return None
        cell = named[row].cells[place]
        if cell.diverged:
            return Sample(math.nan, None, cell.count)
        if cell.mean is None:
            return None
        is_exact = named[row].is_exact(spec.columns[place])
        elsewhere = stated(spec, place) or pooled(spec, rows, place)
        return Sample(cell.mean, cell.deviation, cell.count, is_exact, elsewhere)

    found = []
    for expectation in spec.expect:
        if expectation.anchor is not None:
            found.append(_rate_verdict(expectation, rows, curves))
            continue
        by, than = expectation.by, expectation.than
        other = sample(expectation.other or expectation.row, than or by)
        found.append(
            judge(
                expectation,
                spec.columns[places[by]],
                sample(expectation.row, by),
                other,
                sample(expectation.above, by),
                than=spec.columns[places[than]] if than else None,
            )
        )
    return found


def _rate_verdict(
    expectation: Expectation, rows: Sequence[FilledRow], curves: Sequence[FilledCurve]
) -> Verdict:
    curve = next(one for one in curves if one.spec.name == expectation.by)
    found = {
        method: compared(curve, rows, expectation.row, str(expectation.anchor), method)
        for method in METHODS
    }
    verdicts = {
        method: judge(expectation, BD_RATE, one.sample, None) for method, one in found.items()
    }
    verdict, reason = verdicts[expectation.method], found[expectation.method].reason
    if {one.judgement for one in verdicts.values()} == {Judgement.HELD, Judgement.NOT_HELD}:
        values = ", ".join(f"{NAMES[method]} {one.text}" for method, one in found.items())
        detail = f"{values}: the way of interpolation decides it"
        return dataclasses.replace(verdict, judgement=Judgement.NO_MEANING, detail=detail)
    return dataclasses.replace(verdict, detail=reason) if reason else verdict
