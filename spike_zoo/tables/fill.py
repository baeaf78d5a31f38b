"""Filled tables: means and deviations over seeds, curves, notes and results of claims."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spike_zoo.metrics.speeds import photograph_of
from spike_zoo.tables.claims import (
    WITHIN_NOISE,
    ClaimResult,
    Result,
    controlled,
    evaluate_claim,
)
from spike_zoo.tables.columns import COSTS, Column, plain_column
from spike_zoo.tables.curves import BD_RATE, METHODS, NAMES, FilledCurve, fill_curves
from spike_zoo.tables.noise import Sample, outliers, paired_differences, pool, varies
from spike_zoo.tables.notes import differences_of, notes_of, warnings_of
from spike_zoo.tables.runs import RecordedRun, configurations_of, newest_configuration
from spike_zoo.tables.spec import Claim, TableSpec, missing_result

if TYPE_CHECKING:
    import pandas as pd


CLOSE_RATES = 3.0
"""Difference in percent between cubic and PCHIP BD-rates above which a claim states both."""
#: runs of a row -> its standard deviation over seeds with the degrees of freedom; () for most rows
Spreads = Mapping[tuple[int, ...], tuple[float, float]]


@dataclass(frozen=True)
class FilledTable:
    """A table with its results."""

    spec: TableSpec  #: the table of the table file
    runs: Mapping[str, Sequence[RecordedRun]]  #: name of a row -> its runs
    #: one line for each row and column, with the fields ``mean`` (of times the median) and
    #: ``deviation`` over the runs (n - 1; NaN if unknown or if a run diverged), ``count`` of runs
    #: with a value, ``diverged`` (runs with a value that is not finite) and ``published``
    cells: pd.DataFrame
    curves: tuple[FilledCurve, ...] = ()  #: charts below the numbers
    warnings: tuple[str, ...] = ()  #: reasons why the rows cannot be compared
    notes: tuple[str, ...] = ()  #: origin of the numbers
    #: rows whose data or profile differ from the most frequent ones among all runs
    different: frozenset[str] = frozenset()
    claims: tuple[ClaimResult, ...] = ()  #: results of the claims

    @property
    def title(self) -> str:
        """The heading."""
        return self.spec.title

    @property
    def trained(self) -> list[str]:
        """Names of the rows whose results depend on the seed."""
        return [name for name, runs in self.runs.items() if any(run.has_seed for run in runs)]

    def is_exact(self, row: str, column: Column) -> bool:
        """Return whether a row's value in a column is independent of the seed."""
        is_untrained = bool(self.runs[row]) and row not in self.trained
        return column.is_exact or (is_untrained and not column.is_cost)

    def key(self, row: str) -> tuple[int, ...]:
        """Return the identity of a row's runs, which may be in several tables."""
        return tuple(map(id, self.runs[row]))

    def sample(self, row: str, column: Column, spreads: Spreads) -> Sample | None:
        """Return the result of a row in a column with its spread; None without a value."""
        cell = self.cells.loc[(row, column.name), :]
        if cell["diverged"]:
            return Sample(math.nan, int(cell["count"]))
        if math.isnan(cell["mean"]):
            return None
        spread = spreads.get(self.key(row), spreads[()])
        spread = (0.0, math.inf) if self.is_exact(row, column) else spread
        return Sample(cell["mean"], int(cell["count"]), *spread)


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
    run of each seed. The spread over seeds is pooled over the rows of all tables on the same data.
    """
    candidates = [run for run in runs if profile in (None, run.result.profile)]
    tables = [_without_claims(spec, candidates) for spec in specs]
    results = [_claim_results(table, tables) for table in tables]
    decided = iter(controlled([result for own in results for result in own]))
    return [
        replace(table, claims=tuple(itertools.islice(decided, len(own))))
        for table, own in zip(tables, results, strict=True)
    ]


def _without_claims(spec: TableSpec, candidates: Sequence[RecordedRun]) -> FilledTable:
    used: dict[str, list[RecordedRun]] = {}
    others: dict[str, list[RecordedRun]] = {}
    repeats = 0
    for row in spec.rows:
        own = [run for run in candidates if run.is_of(row, row.archive or spec.archive)]
        groups = configurations_of([run for run in own if not run.unfinished])
        chosen = newest_configuration(groups)
        first: dict[tuple[object, ...], RecordedRun] = {}
        for run in chosen:
            first.setdefault(run.seed, run)
        finished = {run.result.seed for run in chosen}
        lost = [run for run in own if run.unfinished and run.result.seed not in finished]
        used[row.name] = [*first.values(), *lost]
        repeats += len(chosen) - len(first)
        others[row.name] = [run for group in groups if group is not chosen for run in group]
    return FilledTable(
        spec,
        used,
        _cells(spec, used),
        fill_curves(spec, used),
        tuple(warnings_of(spec, used)),
        tuple(notes_of(spec, used, repeats, others)),
        _different_rows(spec, used),
    )


def _cells(spec: TableSpec, runs: Mapping[str, Sequence[RecordedRun]]) -> pd.DataFrame:
    import pandas as pd  # takes half a second

    _check_metrics(spec, [run for row_runs in runs.values() for run in row_runs])
    values = [
        (name, column.name, value)
        for name, row_runs in runs.items()
        for run in row_runs
        for column in spec.columns
        if (value := run.value(column)) is not None
    ]
    frame = pd.DataFrame(values, columns=["row", "column", "value"]).astype({"value": float})
    frame["diverged"] = ~frame["value"].map(math.isfinite)
    groups = frame.groupby(["row", "column"])
    cells = groups["value"].agg(mean=statistics.fmean, deviation=_deviation, count="size")
    cells["diverged"] = groups["diverged"].sum()
    times = [column.name for column in spec.columns if column.is_cost and not column.is_exact]
    is_time = cells.index.isin(times, level="column")
    cells.loc[is_time, "mean"] = groups["value"].median()  # other processes slow single runs down
    cells.loc[cells["diverged"] > 0, "mean"] = math.nan
    names = [[row.name for row in spec.rows], [column.name for column in spec.columns]]
    cells = cells.reindex(pd.MultiIndex.from_product(names)).fillna({"count": 0, "diverged": 0})
    published = {
        (row.name, key): value for row in spec.rows for key, value in row.published.items()
    }
    return cells.assign(published=[published.get(key, math.nan) for key in cells.index])


def _deviation(values: pd.Series) -> float:
    is_known = len(values) > 1 and all(map(math.isfinite, values))
    return statistics.stdev(values) if is_known else math.nan


def _check_metrics(spec: TableSpec, runs: Sequence[RecordedRun]) -> None:
    """Raise an error for a metric that no run has, unless the metric needs an optional file."""
    keys = {key for run in runs for key in run.result.metrics} | {
        f"costs/{job}/{number}"
        for run in runs
        for job, cost in run.result.costs.items()
        for number in COSTS
        if getattr(cost, number) is not None
    }
    for column in spec.columns:
        is_needed = "/" in column.metric and not column.may_be_missing
        if runs and is_needed and column.metric not in keys:
            prefix = "costs/" if column.is_cost else "test/"
            known = sorted(key for key in keys if key.startswith(prefix))
            place = spec.entry("column", column.metric)
            raise missing_result(place, column.metric, known, len(runs))


def _different_rows(spec: TableSpec, runs: Mapping[str, Sequence[RecordedRun]]) -> frozenset[str]:
    origins = {
        name: [(spec.one_data and run.result.data_sha256, run.result.profile) for run in row_runs]
        for name, row_runs in runs.items()
    }
    all_origins = [origin for row_origins in origins.values() for origin in row_origins]
    usual = statistics.mode(all_origins) if all_origins else None
    return frozenset(name for name, own in origins.items() if {*own} - {usual})


def _claim_results(table: FilledTable, tables: Sequence[FilledTable]) -> tuple[ClaimResult, ...]:
    columns = {column.name: column for column in table.spec.columns}

    def sample(row: str | None, column: str, data: set[str | None]) -> Sample | None:
        if row is None:
            return None
        spreads = _pooled(tables, columns[column], data)
        return table.sample(row, columns[column], spreads)

    def tested(claim: Claim) -> ClaimResult:
        if claim.anchor is not None:
            return _bd_rate_result(claim, table)
        than = claim.than or claim.by
        other = None if claim.limit is not None else claim.other or claim.row
        compared = [*table.runs[claim.row], *(table.runs[other] if other else ())]
        data = {run.result.data_sha256 for run in compared}
        first = _by_recording(table.runs[claim.row], columns[claim.by])
        second = _by_recording(table.runs[other], columns[than]) if other else claim.limit or 0.0
        return evaluate_claim(
            claim,
            columns[claim.by],
            sample(claim.row, claim.by, data),
            sample(other, than, data),
            sample(claim.above, claim.by, data),
            than=columns[than] if claim.than else None,
            paired=paired_differences(first, second),
            photographs=_photographs(compared, columns[claim.by]),
        )

    results = map(tested, table.spec.claims)
    return tuple(_unless(_incomparable(result, table), result) for result in results)


def _incomparable(tested: ClaimResult, table: FilledTable) -> str:
    """Return why the rows of a claim cannot be compared; empty if they can."""
    claim = tested.claim
    names = filter(None, (claim.row, claim.other, claim.anchor, claim.above))
    runs = {name: table.runs[name] for name in names}
    columns = [one for one in table.spec.columns if one.name in (claim.by, claim.than)]
    if columns and columns[0].is_cost:
        return _of_other_sizes(runs, columns[0])
    differences = differences_of(table.spec, runs, of_claim=True)
    reason = "; ".join(f"{what}: {groups}" for what, groups in differences)
    if reason or tested.result is Result.NOT_APPLICABLE:
        return reason
    curve = next((one for one in table.curves if claim.anchor and one.spec.name == claim.by), None)
    columns = _points_of(claim, curve) if curve else columns
    return next(_unpaired(runs, columns, curve), "")


def _of_other_sizes(runs: Mapping[str, Sequence[RecordedRun]], column: Column) -> str:
    """Return that a cost was measured on images of different sizes; empty if it was not."""
    job, number = column.cost or ("", "")
    costs = [run.result.costs.get(job) for own in runs.values() for run in own]
    sizes = sorted({cost.size for cost in costs if cost and cost.size})
    if number == "macs_per_pixel" or len(sizes) < 2:
        return ""
    texts = ", ".join(f"{height} x {width}" for height, width in sizes)
    return f"measured on images of different sizes: {texts}"


def _points_of(claim: Claim, curve: FilledCurve) -> list[Column]:
    """Return the columns of the bit rates and qualities of a claim about a BD-rate."""
    measured = [line for line in curve.lines if not line.is_published]
    count = max((len(line.points) for line in measured), default=0)
    measures = ("bpp", claim.by.rpartition("/")[2])
    return [plain_column(f"test/{name}_q{n}") for n in range(count) for name in measures]


def _unpaired(
    runs: Mapping[str, Sequence[RecordedRun]], columns: Sequence[Column], curve: FilledCurve | None
) -> Iterator[str]:
    """Yield why the values of runs in columns, or their curves, cannot be averaged or paired."""
    for name, own in runs.items():
        lost = {one.heading: [run.value(one) for run in own].count(None) for one in columns}
        if curve:
            lost = {curve.title: sum(not run.curve(curve.spec) for run in own)}
        for heading, count in lost.items():
            if 0 < count < len(own):
                yield f"{count} of {len(own)} runs of {name} have no {heading}"
    images = [
        (name, column.by_recording(run.images))
        for name, own in runs.items()
        for run in own
        for column in columns
    ]
    counts = [{key: len(own) for key, own in values.items()} for _, values in images]
    if any(one != counts[0] for one in counts):
        lacking = dict.fromkeys(name for name, values in images if not values)
        without = f"no results of single images: {', '.join(lacking)}"
        yield without if lacking else "measured on different recordings"
    not_finite = {
        f"{recording} of {name}": None
        for name, values in images
        for recording, own in values.items()
        if not all(map(math.isfinite, own))
    }
    if not_finite:
        yield f"images without a finite value: {', '.join(not_finite)}"


def _unless(reason: str, tested: ClaimResult) -> ClaimResult:
    """Return a result as it is without a reason, otherwise as not applicable."""
    if not reason or tested.result is Result.NOT_MEASURED:
        return tested
    return ClaimResult(tested.claim, Result.NOT_APPLICABLE, tested.text, detail=reason)


def _by_recording(runs: Sequence[RecordedRun], column: Column) -> dict[str, float]:
    """Return the mean of each recording over images and seeds; empty without single images."""
    images = column.by_recording(image for run in runs for image in run.images)
    return {name: statistics.fmean(values) for name, values in images.items()}


def _photographs(runs: Sequence[RecordedRun], column: Column) -> int:
    """Return the number of photographs that a column averages; 0 if it is not known."""
    if column.is_cost:
        return 0
    names = (str(image["name"]) for run in runs for image in run.images)
    return len({photograph_of(name) for name in names if column.averages(name)})


def _pooled(tables: Sequence[FilledTable], column: Column, data: set[str | None]) -> Spreads:
    """Pool the deviations over seeds in a column, over all rows with two different seeds or more.

    Only rows that were tested on the archives with the digests ``data`` count. A row with
    an outlying variance is not pooled and keeps its own.
    """
    groups: dict[tuple[int, ...], tuple[int, float]] = {}
    for table in tables:
        for other in filter(column.is_same_as, table.spec.columns):
            for row, runs in table.runs.items():
                if not {run.result.data_sha256 for run in runs} <= data:
                    continue
                cell = table.cells.loc[(row, other.name), :]
                if varies(cell["mean"], cell["deviation"]) and not table.is_exact(row, other):
                    groups[table.key(row)] = int(cell["count"]), cell["deviation"]
    own = {key: groups.pop(key) for key in outliers(groups)}
    return {(): pool(groups.values())} | {key: pool([group]) for key, group in own.items()}


def _bd_rate_result(claim: Claim, table: FilledTable) -> ClaimResult:
    curve = next(filled for filled in table.curves if filled.spec.name == claim.by)
    results, rates = {}, {}
    photographs = _photographs([*table.runs[claim.row], *table.runs[str(claim.anchor)]], BD_RATE)
    for method in METHODS:
        samples = curve.samples(claim, method, table.trained)
        paired = curve.rate_differences(claim, method)
        results[method] = evaluate_claim(
            claim, BD_RATE, *samples, paired=paired, photographs=photographs
        )
        rates[method] = curve.bd_rate(curve.line_of(claim.row), method, claim.anchor)
    result, reason = results["cubic"], rates["cubic"].reason
    values = ", ".join(f"{NAMES[method]} {rate.text}" for method, rate in rates.items())
    means = [rate.mean for rate in rates.values() if rate.mean is not None]
    signs = {(tested.difference or 0.0) > 0 for tested in results.values()}
    if len(signs) > 1 and not any(WITHIN_NOISE in tested.reason for tested in results.values()):
        return _unless(f"{values}: the interpolation decides", result)
    if len(means) < len(METHODS) or abs(means[0] - means[1]) <= CLOSE_RATES:
        return replace(result, detail=reason) if reason else result
    return replace(result, detail=f"{result.detail}; {values}")
