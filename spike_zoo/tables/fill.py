"""Runs grouped into the rows of a table: means, deviations, and what must be said below it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING

from spike_zoo.errors import ConfigError, closest
from spike_zoo.tables.columns import COSTS
from spike_zoo.tables.configurations import configurations_of, shown_configuration
from spike_zoo.tables.curves import fill_curves
from spike_zoo.tables.filled import Cell, FilledRow, FilledTable
from spike_zoo.tables.notes import notes_of, warnings_of
from spike_zoo.tables.verdicts import verdicts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.recorded import RecordedRun
    from spike_zoo.tables.spec import Row, TableSpec


def fill_table(
    spec: TableSpec, runs: Sequence[RecordedRun], profile: str | None = None
) -> FilledTable:
    """Fill a single table, as :func:`fill_tables`."""
    (table,) = fill_tables([spec], runs, profile)
    return table


def fill_tables(
    specs: Sequence[TableSpec], runs: Sequence[RecordedRun], profile: str | None = None
) -> list[FilledTable]:
    """Fill the tables of a file with the runs of its variants, mean and deviation over seeds.

    A row shows one configuration, that of the place named first and there the newest, and takes
    one run of each seed; the first found counts. Claims are tested with the spread of seeds pooled
    over the rows of all tables.

    Args:
        specs: The tables.
        runs: All there are; others than the rows' are left out.
        profile: Take only runs of this profile.

    Raises:
        ConfigError: If no run that a table shows has the metric of a column, or a curve is none.
    """
    tables = [_without_verdicts(spec, runs, profile) for spec in specs]
    return [dataclasses.replace(table, verdicts=verdicts_of(table, tables)) for table in tables]


def _without_verdicts(
    spec: TableSpec, runs: Sequence[RecordedRun], profile: str | None
) -> FilledTable:
    chosen = [run for run in runs if profile is None or run.result.profile == profile]
    rows: list[FilledRow] = []
    others: dict[str, list[RecordedRun]] = {}
    repeats = 0
    for row in spec.rows:
        archive = row.archive or spec.archive
        found = configurations_of([run for run in chosen if run.is_of(row, archive)])
        shown = shown_configuration(found).runs if found else []
        others[row.name] = [run for one in found if one.runs is not shown for run in one.runs]
        kept = _once_per_seed(shown)
        repeats += len(shown) - len(kept)
        rows.append(_filled(row, kept, spec.columns))
    _check_present(spec, [run for row in rows for run in row.runs])
    marked = _marked(rows, one_data=spec.one_data)
    named = [(row.name, row.runs) for row in marked]
    return FilledTable(
        spec,
        tuple(marked),
        tuple(warnings_of(spec, named)),
        tuple(notes_of(spec, named, repeats, others)),
        curves=fill_curves(spec, marked),
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


def _check_present(spec: TableSpec, used: Sequence[RecordedRun]) -> None:
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

    def origin(run: RecordedRun) -> tuple[str | None, str | None]:
        return (run.result.data_sha256 if one_data else None, run.result.profile)

    origins = [origin(run) for row in rows for run in row.runs]
    if not origins:
        return list(rows)
    usual = statistics.mode(origins)
    return [
        dataclasses.replace(row, stands_out=any(origin(run) != usual for run in row.runs))
        for row in rows
    ]
