"""Results of runs, grouped into the rows of a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.errors import MissingFileError
from spike_zoo.tables.spec import DEFAULT_COLUMNS, Row, TableSpec
from spike_zoo.tracking.result import FILENAME, RunResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Cell:
    """Mean and deviation over the runs of a row; None where nothing was measured."""

    mean: float | None
    deviation: float | None = None
    published: float | None = None


@dataclass(frozen=True)
class FilledTable:
    """A table with its numbers.

    Attributes:
        title: Heading.
        columns: Log keys or fields of ``result.json``.
        rows: Name of each row and its cells, in the order of the columns.
        notes: What a reader must know to compare the rows.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...]


def collect_results(places: Iterable[str | Path]) -> list[RunResult]:
    """Read every ``result.json`` at or below some places, in the order of their paths.

    Raises:
        MissingFileError: If a place does not exist or there is no result at all.
    """
    found: list[RunResult] = []
    listed = [Path(place) for place in places]
    for place in listed:
        if not place.exists():
            raise MissingFileError(f"{place}: there is no such run or folder", path=str(place))
        files = [place] if place.is_file() else sorted(place.rglob(FILENAME))
        found += [RunResult.read(file) for file in files]
    if not found:
        names = ", ".join(str(place) for place in listed)
        raise MissingFileError(f"{names}: no {FILENAME} below; run fit or test first")
    return found


def table_of_runs(results: Sequence[RunResult], title: str = "Results") -> TableSpec:
    """Return a table with a row for each variant among the results."""
    variants = dict.fromkeys(result.variant for result in results)
    columns = [
        column for column in DEFAULT_COLUMNS if any(_value(r, column) is not None for r in results)
    ]
    return TableSpec(title, tuple(columns), tuple(Row(name, name) for name in variants))


def fill_table(spec: TableSpec, results: Sequence[RunResult]) -> FilledTable:
    """Fill a table with the results of its variants, mean and deviation over their runs."""
    rows, used = [], []
    for row in spec.rows:
        runs = [result for result in results if result.variant == row.variant]
        used += runs
        cells = tuple(_cell(runs, column, row.published.get(column)) for column in spec.columns)
        rows.append((row.name, cells))
    return FilledTable(spec.title, spec.columns, tuple(rows), tuple(_notes(spec, used)))


def _cell(runs: Sequence[RunResult], column: str, published: float | None) -> Cell:
    values = [value for run in runs if (value := _value(run, column)) is not None]
    if not values:
        return Cell(None, None, published)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), deviation, published)


def _value(result: RunResult, column: str) -> float | None:
    if column in result.metrics:
        return result.metrics[column]
    value = getattr(result, column, None)
    return float(value) if isinstance(value, int | float) else None


def _notes(spec: TableSpec, used: Sequence[RunResult]) -> list[str]:
    notes = []
    if spec.source:
        notes.append(f"Published values (in brackets): {spec.source}.")
    data = {result.data_sha256 for result in used}
    profiles = {result.profile or "none" for result in used}
    if len(data) > 1:
        notes.append("**The rows were measured on different data and cannot be compared.**")
    elif data:
        notes.append(f"Data: {str(next(iter(data)))[:12]}.")
    if len(profiles) > 1:
        notes.append(f"**The rows mix profiles: {', '.join(sorted(profiles))}.**")
    seeds = sorted({str(result.seed) for result in used})
    if seeds:
        notes.append(f"Seeds: {', '.join(seeds)}.")
    commits = sorted({result.commit or "unknown" for result in used})
    if commits:
        notes.append(f"Code: {', '.join(commits)}.")
    return notes
