"""Measured and published curves of a table, their charts, and BD-rates against an anchor."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from spike_zoo.errors import ConfigError
from spike_zoo.media.charts import (
    COLOURS,
    INK,
    new_chart,
    new_charts,
    set_log_scale,
    to_array,
    to_svg,
)
from spike_zoo.metrics.rate import Interpolation, bd_rate
from spike_zoo.metrics.speeds import photograph_of
from spike_zoo.tables.columns import Column
from spike_zoo.tables.noise import Sample, pool, varies
from spike_zoo.tables.runs import RecordedRun
from spike_zoo.tables.spec import Claim, CurveSpec, TableSpec, missing_result
from spike_zoo.training.result import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    RunsByRow = Mapping[str, Sequence[RecordedRun]]

METHODS: Final[tuple[Interpolation, ...]] = get_args(Interpolation)
BD_RATE: Final = Column("test/bd_rate", "test/bd_rate", "lower")
"""Format and direction of BD-rates."""
SMALL_OVERLAP: Final = 0.5
"""Overlap of the quality ranges below which tables print the overlap after the BD-rate."""
NAMES: Final[dict[Interpolation, str]] = {"cubic": "cubic", "pchip": "PCHIP"}
_MARKERS: Final = "os^D"
_CHARTS_IN_A_ROW: Final = 3  # of an image


@dataclass(frozen=True)
class Line:
    """One line of a chart: the points of a row, measured or published."""

    row: str  #: name of the row
    points: Curve  #: the points; the means over the runs of a measured line
    is_published: bool = False  #: whether the points are published
    curves: tuple[Curve, ...] = ()  #: points of each run
    #: name of a recording -> its points, means over images and runs
    recordings: Mapping[str, Curve] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Text in the legend."""
        return f"{self.row} [published]" if self.is_published else self.row

    @property
    def is_finite(self) -> bool:
        """Whether all points are finite, also of single recordings, so that no run diverged."""
        curves = self.points, *self.recordings.values()
        return all(math.isfinite(value) for curve in curves for point in curve for value in point)


@dataclass(frozen=True)
class RowBDRate:
    """BD-rates of a row."""

    values: tuple[float, ...] = ()  #: BD-rates in percent, one for each seed
    reason: str = ""  #: reason why there are no values
    #: smallest overlap of the two quality ranges, as a share of the smaller range
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
    """The chart of a table file with its lines; the measured line of a row precedes the other."""

    spec: CurveSpec
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        """Headings of both axes."""
        return f"{self.spec.y} against {self.spec.x}"

    def line_of(self, row: str) -> Line:
        """Return the measured line of a row, otherwise the published one, otherwise no points."""
        return next((line for line in self.lines if line.row == row), Line(row, ()))

    def bd_rate(self, line: Line, method: Interpolation, anchor: str | None = None) -> RowBDRate:
        """Return the BD-rates of a line, one for each seed, against the anchor's mean curve."""
        points = self.line_of(anchor or str(self.spec.anchor)).points
        if not line.points or not points:
            return RowBDRate(reason="the anchor was not measured" if line.points else "")
        results = [bd_rate(points, curve, method) for curve in line.curves or (line.points,)]
        reason = next((rate.reason for rate in results if math.isnan(rate.percent)), "")
        if reason:
            return RowBDRate(reason=reason)
        overlap = min(rate.overlap for rate in results)
        return RowBDRate(tuple(rate.percent for rate in results), overlap=overlap)

    def rate_differences(self, claim: Claim, method: Interpolation) -> list[float]:
        """Return BD-rate minus limit as jackknife pseudo-values, one for each photograph.

        The list is empty if the recordings are not the same or a BD-rate is missing.
        """
        anchor, row = (self.line_of(str(name)).recordings for name in (claim.anchor, claim.row))
        photographs = sorted({photograph_of(name) for name in row})
        if anchor.keys() != row.keys() or len(photographs) < 2:
            return []
        rates = [
            bd_rate(_mean_without(anchor, name), _mean_without(row, name), method).percent
            for name in (None, *photographs)
        ]
        count, limit = len(photographs), claim.limit or 0.0
        values = [count * rates[0] - (count - 1) * rate - limit for rate in rates[1:]]
        return values if all(map(math.isfinite, values)) else []

    def samples(
        self, claim: Claim, method: Interpolation, trained: Sequence[str]
    ) -> tuple[Sample | None, Sample | None]:
        """Return the BD-rate of a claim's row, and the claim's limit with the noise of the anchor.

        The spread over seeds is pooled over all trained rows with a BD-rate against the anchor.
        """
        line, anchor = self.line_of(claim.row), self.line_of(str(claim.anchor))
        rates = [
            self.bd_rate(other, method, anchor.row)
            for other in self.lines
            if other.row in trained and not other.is_published
        ]
        # a BD-rate is a difference in percent, so its rounding is that of 100
        known = ((len(rate.values), rate.deviation) for rate in rates if rate.deviation)
        spread = pool(group for group in known if varies(100.0, group[1]))
        noise = {
            row: spread if row in trained else (0.0, math.inf) for row in (line.row, anchor.row)
        }
        limit = Sample(claim.limit or 0.0, len(anchor.curves) or 1, *noise[anchor.row])
        if not (line.is_finite and anchor.is_finite):
            return Sample(math.nan), limit
        rate = RowBDRate() if line.is_published else self.bd_rate(line, method, anchor.row)
        if rate.mean is None:
            return None, limit
        return Sample(rate.mean, len(rate.values), *noise[line.row]), limit


def fill_curves(spec: TableSpec, runs: RunsByRow) -> tuple[FilledCurve, ...]:
    """Return the curves of a table; points are means over the seeds of a row."""
    filled = []
    for curve in spec.curves:
        if curve.unit is not None:
            filled.append(FilledCurve(curve, _lines_of_rows(curve, runs)))
            continue
        place = spec.entry("curve", curve.name)
        results = [run.result for row_runs in runs.values() for run in row_runs]
        known = sorted({key for result in results for key in result.curves})
        if curve.condition is None and results and curve.name not in known:
            raise missing_result(place, curve.name, known, len(results))
        lines: list[Line] = []
        for row in spec.rows:
            measured = tuple(points for run in runs[row.name] if (points := run.curve(curve)))
            if len({len(points) for points in measured}) > 1:
                counts = ", ".join(str(len(points)) for points in measured)
                text = f"{place}: the runs of {row.name} have {counts} points: not one curve"
                raise ConfigError(text)
            by_recording = _by_recording(curve, runs[row.name], len(measured[0]) if measured else 0)
            lines.append(Line(row.name, mean_curve(measured), False, measured, by_recording))
            lines.append(Line(row.name, row.curves.get(curve.name, ()), is_published=True))
        lines = [line for line in lines if line.points]
        _check_scale(curve, lines, place)
        filled.append(FilledCurve(curve, tuple(lines)))
    return tuple(filled)


def mean_curve(curves: Iterable[Curve]) -> Curve:
    """Return the mean of curves with the same number of points."""
    return tuple(
        (statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points))
        for points in zip(*curves, strict=True)
    )


def _mean_without(curves: Mapping[str, Curve], left_out: str | None) -> Curve:
    return mean_curve(curve for name, curve in curves.items() if photograph_of(name) != left_out)


def _by_recording(spec: CurveSpec, runs: Sequence[RecordedRun], count: int) -> dict[str, Curve]:
    """Return the rate-distortion curve of each recording; empty without results of images."""
    keys = [(f"bpp_q{n}", f"{spec.name.rpartition('/')[2]}_q{n}") for n in range(count)]
    curves = defaultdict[str, list[Curve]](list)
    for image in (image for run in runs for image in run.images):
        if not keys or any(key not in image for pair in keys for key in pair):
            return {}
        curves[image["name"]].append(tuple((image[x], image[y]) for x, y in keys))
    return {name: mean_curve(images) for name, images in curves.items()}


def _check_scale(curve: CurveSpec, lines: Sequence[Line], place: str) -> None:
    for line in lines:
        lowest = min(x for x, _ in line.points)
        if curve.scale == "log" and lowest <= 0:
            raise ConfigError(
                f"{place}: {line.name} has a point at {curve.x} = {lowest:g}, but a "
                "logarithmic axis starts above 0: remove 'scale: log'"
            )


def _lines_of_rows(curve: CurveSpec, runs: RunsByRow) -> tuple[Line, ...]:
    """Return lines through the rows named ``LINE, VALUE UNIT``; points are means over seeds."""
    points = defaultdict[str, list[tuple[float, float]]](list)
    for name, row_runs in runs.items():
        match = re.fullmatch(rf"(.+), (\d+(?:\.\d+)?) {re.escape(curve.unit or '')}", name)
        metrics = [run.result.metrics for run in row_runs]
        values = [one[curve.name] for one in metrics if curve.name in one]
        if match and values:
            points[match[1]].append((float(match[2]), statistics.fmean(values)))
    return tuple(Line(name, tuple(sorted(line))) for name, line in points.items())


def rate_table(curve: FilledCurve) -> tuple[list[str], list[list[str]]]:
    """Return header and rows with the points and BD-rates of a curve that has an anchor."""
    most = max((len(line.points) for line in curve.lines), default=0)
    numbers = [f"q{number}" for number in range(most)]
    head = ["", *numbers, *(f"BD-rate, {NAMES[method]} (%) ↓" for method in METHODS)]
    body = []
    for line in curve.lines:
        points = [f"{x:.4g}; {y:.4g}" for x, y in line.points]
        bd_rates = [curve.bd_rate(line, method).text for method in METHODS]
        body.append([line.name, *points, *[""] * (most - len(points)), *bd_rates])
    return head, body


def rate_notes(curve: FilledCurve) -> Iterator[str]:
    """Yield notes that explain :func:`rate_table` and the reasons of missing BD-rates."""
    x, y = curve.spec.x, curve.spec.y
    yield (
        f"Points are {x}; {y}. BD-rate: mean difference of {x} against {curve.spec.anchor} at the "
        f"same {y}."
    )
    missing = defaultdict[str, list[str]](list)
    for line in curve.lines:
        if reason := curve.bd_rate(line, METHODS[0]).reason:
            missing[reason].append(line.name)
    yield from (f"n/a of {' / '.join(names)}: {reason}." for reason, names in missing.items())


def curve_charts(curves: Sequence[FilledCurve]) -> list[tuple[Markup, str]]:
    """Return a chart as SVG and its caption for each curve that has a finite line."""
    return [
        (curve_chart(curve), f"{curve.title}; mean over seeds, dashed: published")
        for curve in curves
        if any(line.is_finite for line in curve.lines)
    ]


def curve_chart(curve: FilledCurve) -> Markup:
    """Return a chart as SVG with the finite lines of a curve and a legend."""
    names = list(dict.fromkeys(line.row for line in curve.lines if line.is_finite))
    figure, axes = new_chart(height=3.8 + 0.2 * len(curve.lines))
    _draw(axes, curve, names)
    figure.legend(loc="outside lower left", frameon=False, fontsize=9, labelcolor=INK)
    return to_svg(figure, curve.title)


def curves_chart(curves: Sequence[FilledCurve]) -> NDArray[np.uint8]:
    """Return an image of all curves, up to three charts in a row, uint8 ``(H, W, 3)``."""
    columns = min(len(curves), _CHARTS_IN_A_ROW)
    rows = math.ceil(len(curves) / columns)
    names = list(dict.fromkeys(line.row for filled in curves for line in filled.lines))
    figure, grid = new_charts(rows, columns, width=11.0, height=3.2 * rows)
    handles: dict[Any, Any] = {}  # name -> line of the legend, which all curves share
    for axes, curve in itertools.zip_longest(grid, curves):
        if curve is None:
            axes.set_axis_off()
            continue
        _draw(axes, curve, names)
        lines, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, lines, strict=True))
    style: dict[str, Any] = {"frameon": False, "ncols": 4, "labelcolor": INK}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", **style)
    return to_array(figure)


def _draw(axes: Axes, curve: FilledCurve, names: Sequence[str]) -> None:
    """Draw the finite lines of a curve; the index of a row in ``names`` selects its colour."""
    lines = [line for line in curve.lines if line.is_finite]
    axes.set(xlabel=_plain(curve.spec.x), ylabel=_plain(curve.spec.y))
    if curve.spec.scale == "log":
        set_log_scale(axes)
    elif curve.spec.scale == "symlog":
        positive = (x for line in lines for x, _ in line.points if x)
        axes.set_xscale("symlog", linthresh=min(positive, default=1.0))
    for line in lines:
        x, y = zip(*line.points, strict=True)
        turn, number = divmod(names.index(line.row), len(COLOURS))
        marker = _MARKERS[turn % len(_MARKERS)]
        style: dict[str, Any] = {"color": COLOURS[number], "marker": marker}
        dashes = "--" if line.is_published else "-"
        axes.plot(x, y, dashes, markersize=4, label=_plain(line.name), **style)


def _plain(text: str) -> str:
    """Return a text with escaped dollar signs, which matplotlib would read as formulas."""
    return text.replace("$", r"\$")
