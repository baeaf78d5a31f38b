"""Measured and published curves of a table, with BD-rates of rate-distortion curves."""

from __future__ import annotations

import math
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, get_args

from spike_zoo.errors import ConfigError, closest
from spike_zoo.metrics.rate import Interpolation, bd_rate
from spike_zoo.tables.columns import Column
from spike_zoo.tables.significance import Sample, pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spike_zoo.tables.aggregate import FilledRow
    from spike_zoo.tables.spec import Curve, CurveSpec, Expectation, TableSpec

METHODS: Final[tuple[Interpolation, ...]] = get_args(Interpolation)
BD_RATE: Final = Column("test/bd_rate", "test/bd_rate", "lower")
"""Format and direction of BD-rates."""
SMALL_OVERLAP: Final = 0.5
"""Overlap of the quality ranges below which tables print the overlap after the BD-rate."""
NAMES: Final[dict[Interpolation, str]] = {"cubic": "cubic", "pchip": "PCHIP"}


@dataclass(frozen=True)
class Line:
    """One line of a chart: the points of a row, measured or published."""

    row: str
    points: Curve
    is_published: bool = False

    @property
    def name(self) -> str:
        """Text in the legend."""
        return f"{self.row} [published]" if self.is_published else self.row

    @property
    def is_finite(self) -> bool:
        """Whether all points are finite, so that no run diverged."""
        return all(math.isfinite(value) for point in self.points for value in point)


@dataclass(frozen=True)
class BDRateResult:
    """BD-rates of a row.

    Attributes:
        values: BD-rates in percent, one for each seed.
        reason: Reason why there are no values.
        overlap: Smallest overlap of the two quality ranges, as a share of the smaller range.
    """

    values: tuple[float, ...] = ()
    reason: str = ""
    overlap: float = 1.0

    @property
    def mean(self) -> float | None:
        """Mean over seeds."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for less than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def text(self) -> str:
        """Text of a cell."""
        if self.mean is None:
            return "n/a"
        text = BD_RATE.text(round(self.mean, 2) + 0.0)  # + 0.0: no minus sign before zero
        if self.deviation is not None:
            text += f" ± {BD_RATE.text(self.deviation)}"
        return text if self.overlap >= SMALL_OVERLAP else f"{text} ({self.overlap:.0%} overlap)"


@dataclass(frozen=True)
class FilledCurve:
    """The lines of one chart.

    Attributes:
        spec: The chart of the table file.
        lines: Measured and published line of each row that has points, the measured line first.
        measured: Name of a row -> curves of its runs.
    """

    spec: CurveSpec
    lines: tuple[Line, ...]
    measured: Mapping[str, Sequence[Curve]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Headings of both axes."""
        return f"{self.spec.y} against {self.spec.x}"

    def bd_rate(self, row: str, anchor: str, method: Interpolation) -> BDRateResult:
        """Return the BD-rate of a row's measured curves, one for each seed.

        Args:
            row: Name of the row.
            anchor: Name of the anchor row; the anchor is its mean curve over seeds, or its
                published curve if it has no runs.
            method: Interpolation of the rates.
        """
        return self._against(self.measured.get(row, ()), anchor, method)

    def bd_rate_of(self, line: Line, method: Interpolation) -> BDRateResult:
        """Return the BD-rate of one line against the anchor of the chart."""
        tested = [line.points] if line.is_published else self.measured.get(line.row, ())
        return self._against(tested, str(self.spec.anchor), method)

    def _against(self, tested: Sequence[Curve], anchor: str, method: Interpolation) -> BDRateResult:
        points = next((line.points for line in self.lines if line.row == anchor), ())
        if not tested or not points:
            return BDRateResult(reason="the anchor was not measured" if tested else "")
        results = [bd_rate(points, curve, method) for curve in tested]
        reason = next((rate.reason for rate in results if math.isnan(rate.percent)), "")
        if reason:
            return BDRateResult(reason=reason)
        overlap = min(rate.overlap for rate in results)
        return BDRateResult(tuple(rate.percent for rate in results), overlap=overlap)


def fill_curves(spec: TableSpec, rows: Sequence[FilledRow]) -> tuple[FilledCurve, ...]:
    """Return the curves of a table; points are means over the seeds of a row.

    Raises:
        ConfigError: If no run has a curve, if the runs of one row differ in their number of points,
            or if a value on a logarithmic axis is not above 0.
    """
    filled = []
    for curve in spec.curves:
        where = f"{spec.file or 'the table'}: table {spec.title!r}, curve {curve.name!r}"
        if curve.unit is not None:
            filled.append(FilledCurve(curve, _lines_of_rows(curve, rows)))
            continue
        if curve.condition is None:
            runs = [run for row in rows for run in row.runs]
            known = sorted({key for run in runs for key in run.result.curves})
            if runs and curve.name not in known:
                raise missing_result(where, curve.name, known, "no curves", count=len(runs))
        measured = {
            row.name: [points for run in row.runs if (points := run.curve(curve))] for row in rows
        }
        lines = [line for row in rows for line in _lines(curve, row, measured[row.name], where)]
        filled.append(FilledCurve(curve, tuple(lines), measured))
    return tuple(filled)


def missing_result(
    where: str, name: str, known: Sequence[str], none: str, *, count: int, prefix: str = ""
) -> ConfigError:
    """Return the error for a curve or metric that no result of a table has.

    Args:
        where: Table and column or curve.
        name: Name of the curve or metric.
        known: Names that the results have.
        none: Text of the message if there are no such names.
        count: Number of results.
        prefix: Start of the names to list.
    """
    listed = ", ".join(key for key in known if key.startswith(prefix)) or none
    return ConfigError(
        f"{where}: none of its {count} results has it.{closest(name, known, most=3)} "
        f"They have {listed}"
    )


def _lines_of_rows(curve: CurveSpec, rows: Sequence[FilledRow]) -> tuple[Line, ...]:
    """Return lines through the rows named ``LINE, VALUE UNIT``; points are means over seeds."""
    points = defaultdict[str, list[tuple[float, float]]](list)
    for row in rows:
        match = re.fullmatch(rf"(.+), (\d+(?:\.\d+)?) {re.escape(curve.unit or '')}", row.name)
        metrics = [run.result.metrics for run in row.runs]
        values = [run_metrics[curve.name] for run_metrics in metrics if curve.name in run_metrics]
        if match and values:
            points[match[1]].append((float(match[2]), statistics.fmean(values)))
    return tuple(Line(name, tuple(sorted(line))) for name, line in points.items())


def _lines(
    curve: CurveSpec, row: FilledRow, measured: Sequence[Curve], where: str
) -> Iterator[Line]:
    if len({len(points) for points in measured}) > 1:
        counts = ", ".join(str(len(points)) for points in measured)
        raise ConfigError(f"{where}: the runs of {row.name} have {counts} points: not one curve")
    lines = [Line(row.name, _mean(measured))] if measured else []
    if published := row.row.curve(curve.name):
        lines.append(Line(row.name, published, is_published=True))
    for line in lines:
        lowest = min((x for x, _ in line.points), default=1.0)
        if curve.scale == "log" and lowest <= 0:
            raise ConfigError(
                f"{where}: {line.name} has a point at {curve.x} = {lowest:g}, but a "
                "logarithmic axis starts above 0: remove 'scale: log'"
            )
        if line.points:
            yield line


def _mean(measured: Sequence[Curve]) -> Curve:
    """Return the mean of curves, point by point."""
    return tuple(
        (statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points))
        for points in zip(*measured, strict=True)
    )


def rate_samples(
    curve: FilledCurve, rows: Sequence[FilledRow], expectation: Expectation, method: Interpolation
) -> tuple[Sample | None, Sample | None]:
    """Return the BD-rate of a claim's row, and the claim's limit with the noise of the anchor.

    The spread over seeds is pooled over all trained rows with a BD-rate against the same anchor.
    """
    by_name = {filled.name: filled for filled in rows}
    row, anchor = by_name[expectation.row], by_name[str(expectation.anchor)]
    trained = [
        curve.bd_rate(filled.name, anchor.name, method) for filled in rows if filled.is_trained
    ]
    spread = pool(
        (len(filled.values), filled.deviation) for filled in trained if filled.deviation is not None
    )
    limit = Sample(
        expectation.limit or 0.0,
        len(curve.measured[anchor.name]) or 1,
        spread,
        not anchor.is_trained,
    )
    if any(not line.is_finite for line in curve.lines if line.row in (row.name, anchor.name)):
        return Sample(math.nan), limit
    rate = curve.bd_rate(row.name, anchor.name, method)
    if rate.mean is None:
        return None, limit
    return Sample(rate.mean, len(rate.values), spread, not row.is_trained), limit


def rate_table(curve: FilledCurve) -> tuple[list[str], list[list[str]]]:
    """Return header and rows with the points and BD-rates of a curve that has an anchor."""
    most = max((len(line.points) for line in curve.lines), default=0)
    places = [f"q{number}" for number in range(most)]
    head = ["", *places, *(f"BD-rate, {NAMES[method]} (%) ↓" for method in METHODS)]
    body = []
    for line in curve.lines:
        points = [f"{x:.4g}; {y:.4g}" for x, y in line.points]
        bd_rates = [curve.bd_rate_of(line, method).text for method in METHODS]
        body.append([line.name, *points, *[""] * (most - len(points)), *bd_rates])
    return head, body


def rate_notes(curve: FilledCurve) -> list[str]:
    """Return notes that explain :func:`rate_table` and the reasons of missing BD-rates."""
    anchor = str(curve.spec.anchor)
    notes = [
        f"Points are {curve.spec.x}; {curve.spec.y}. BD-rate: mean difference of {curve.spec.x} "
        f"against {anchor} at the same {curve.spec.y}."
    ]
    missing: dict[str, list[str]] = {}
    for line in curve.lines:
        reason = curve.bd_rate_of(line, METHODS[0]).reason
        if reason:
            missing.setdefault(reason, []).append(line.name)
    return [*notes, *(f"n/a of {' / '.join(names)}: {why}." for why, names in missing.items())]
