"""Means and standard deviations over seeds for the rows of a table."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spike_zoo.tables.columns import COSTS
from spike_zoo.tables.notes import notes_of, warnings_of
from spike_zoo.tables.rates import FilledCurve, fill_curves, missing_result
from spike_zoo.tables.runs import choose_configuration, configurations_of
from spike_zoo.tables.verdicts import verdicts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.runs import RecordedRun
    from spike_zoo.tables.spec import Row, TableSpec
    from spike_zoo.tables.verdicts import Verdict


@dataclass(frozen=True)
class Cell:
    """Results of a row in one column.

    Attributes:
        mean: Mean over the runs; None without runs, or if one of them diverged.
        deviation: Standard deviation over the runs (n - 1); None for fewer than two.
        count: Number of runs.
        published: The published value; None if none exists.
        diverged: Number of runs with a value that is not finite.
    """

    mean: float | None
    deviation: float | None = None
    count: int = 0
    published: float | None = None
    diverged: int = 0


@dataclass(frozen=True)
class FilledRow:
    """A row with its results.

    Attributes:
        row: The row of the table file.
        cells: One cell for each column.
        runs: The runs behind the results.
        is_different: Whether data or profile differ from the most frequent ones among all runs.
    """

    row: Row
    cells: tuple[Cell, ...]
    runs: tuple[RecordedRun, ...]
    is_different: bool = False

    @property
    def name(self) -> str:
        """Text of the first column."""
        return self.row.name

    @property
    def is_trained(self) -> bool:
        """Whether a run of the row was trained, so that results depend on the seed."""
        return any(run.is_trained for run in self.runs)

    def is_exact(self, column: Column) -> bool:
        """Return whether the row's value in a column is independent of the seed."""
        if column.is_exact or column.is_score:
            return True
        return bool(self.runs) and not self.is_trained and not column.is_cost


@dataclass(frozen=True)
class FilledTable:
    """A table with its results.

    Attributes:
        spec: The table of the table file.
        rows: Rows, top to bottom.
        warnings: Reasons why the rows cannot be compared.
        notes: Origin of the numbers.
        verdicts: Verdicts on the claims.
        curves: Charts below the numbers.
    """

    spec: TableSpec
    rows: tuple[FilledRow, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    curves: tuple[FilledCurve, ...] = ()

    @property
    def title(self) -> str:
        """The heading."""
        return self.spec.title

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns, left to right."""
        return self.spec.columns


def fill_table(
    spec: TableSpec, runs: Sequence[RecordedRun], profile: str | None = None
) -> FilledTable:
    """Fill one table; see :func:`fill_tables`."""
    (table,) = fill_tables([spec], runs, profile)
    return table


def fill_tables(
    specs: Sequence[TableSpec], runs: Sequence[RecordedRun], profile: str | None = None
) -> list[FilledTable]:
    """Fill the tables of a file with means and standard deviations over seeds.

    A row uses the runs of one configuration, the newest in the first searched path, and the first
    run of each seed. The spread over seeds is pooled over the rows of all tables.

    Args:
        specs: The tables.
        runs: All runs; runs of other variants are ignored.
        profile: Profile of the used runs; None uses all profiles.

    Raises:
        ConfigError: If no run of a table has the metric of a column, or if a curve is not valid.
    """
    tables = [_without_verdicts(spec, runs, profile) for spec in specs]
    return [replace(table, verdicts=verdicts_of(table, tables)) for table in tables]


def _without_verdicts(
    spec: TableSpec, runs: Sequence[RecordedRun], profile: str | None
) -> FilledTable:
    candidates = [run for run in runs if profile is None or run.result.profile == profile]
    rows: list[FilledRow] = []
    others: dict[str, list[RecordedRun]] = {}
    repeats = 0
    for row in spec.rows:
        archive = row.archive or spec.archive
        groups = configurations_of([run for run in candidates if run.is_of(row, archive)])
        chosen = choose_configuration(groups).runs if groups else []
        others[row.name] = [
            run for group in groups if group.runs is not chosen for run in group.runs
        ]
        kept = _once_per_seed(chosen)
        repeats += len(chosen) - len(kept)
        cells = tuple(_cell(row, kept, column) for column in spec.columns)
        rows.append(FilledRow(row, cells, tuple(kept)))
    _check_present(spec, [run for row in rows for run in row.runs])
    rows = _marked(rows, one_data=spec.one_data)
    named_runs = [(row.name, row.runs) for row in rows]
    return FilledTable(
        spec,
        tuple(rows),
        tuple(warnings_of(spec, named_runs)),
        tuple(notes_of(spec, named_runs, repeats, others)),
        curves=fill_curves(spec, rows),
    )


def _once_per_seed(runs: Sequence[RecordedRun]) -> list[RecordedRun]:
    """Return the first run of each combination of seed, configuration and data."""
    first: dict[tuple[object, ...], RecordedRun] = {}
    for run in runs:
        result = run.result
        first.setdefault((result.seed, result.config_hash, result.data_sha256), run)
    return list(first.values())


def _cell(row: Row, runs: Sequence[RecordedRun], column: Column) -> Cell:
    published = row.value(column.name)
    if column.is_score:
        mean = row.score_means.get(column.measure)
        return Cell(mean, count=mean is not None, published=published)
    values = [value for run in runs if (value := run.value(column)) is not None]
    if not values:
        return Cell(None, published=published)
    diverged = sum(not math.isfinite(value) for value in values)
    if diverged:
        return Cell(None, count=len(values), published=published, diverged=diverged)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), deviation, len(values), published)


def _check_present(spec: TableSpec, runs: Sequence[RecordedRun]) -> None:
    """Raise an error for a metric that no run has, unless the metric needs an optional file."""
    known = sorted({key for run in runs for key in _keys_of(run)})
    for column in spec.columns:
        kind = "costs/" if column.is_cost else "test/"
        is_needed = "/" in column.metric and not (column.may_be_missing or column.is_score)
        if runs and is_needed and column.metric not in known:
            where = f"{spec.file or 'the table'}: table {spec.title!r}, column {column.metric!r}"
            raise missing_result(
                where, column.metric, known, "nothing", count=len(runs), prefix=kind
            )


def _keys_of(run: RecordedRun) -> Iterator[str]:
    """Yield the keys of all metrics and costs of a run."""
    yield from run.result.metrics
    for job, cost in run.result.costs.items():
        yield from (
            f"costs/{job}/{number}" for number in COSTS if getattr(cost, number) is not None
        )


def _marked(rows: list[FilledRow], *, one_data: bool) -> list[FilledRow]:
    """Mark the rows whose data or profile differ from the most frequent ones among all runs."""

    def origin(run: RecordedRun) -> tuple[str | None, str | None]:
        return (run.result.data_sha256 if one_data else None, run.result.profile)

    origins = [origin(run) for row in rows for run in row.runs]
    if not origins:
        return rows
    usual = statistics.mode(origins)
    return [
        replace(row, is_different=any(origin(run) != usual for run in row.runs)) for row in rows
    ]
