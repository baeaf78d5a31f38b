"""Curves, as quality against rate: what the runs of a row measured beside published ones."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spike_zoo.errors import ConfigError, closest
from spike_zoo.tables.drawing import (
    HEIGHT,
    LEFT,
    axis_below,
    axis_beside,
    dot,
    drawing,
    grid,
    path,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from spike_zoo.records.result import Curve
    from spike_zoo.tables.filled import FilledRow
    from spike_zoo.tables.spec import CurveSpec, TableSpec

#: Colours that can be told apart on light and dark paper, by most eyes.
INKS: Final = ("#2f80c9", "#d9822b", "#2f9e6a", "#b5508f", "#8a6fd1", "#9a8b2f", "#7a8288")
DASHES: Final = "stroke-width: 1.8; stroke-dasharray: 6 4"
PLAIN: Final = "stroke-width: 1.8"
LEGEND_LINE: Final = 18  # height of a line of the legend in pixels


@dataclass(frozen=True)
class Line:
    """One line of a drawing: the points of a row, measured here or published."""

    row: str
    points: Curve
    is_published: bool = False

    @property
    def name(self) -> str:
        """What the legend calls it."""
        return f"{self.row} [published]" if self.is_published else self.row

    @property
    def is_finite(self) -> bool:
        """Whether it can be drawn: no point comes from a run that diverged."""
        return all(math.isfinite(value) for point in self.points for value in point)


@dataclass(frozen=True)
class FilledCurve:
    """What a table shows of one curve.

    Attributes:
        spec: What the table's file says.
        lines: Of every row that has points, measured before published.
    """

    spec: CurveSpec
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        """What stands against what."""
        return f"{self.spec.y} against {self.spec.x}"


def fill_curves(spec: TableSpec, rows: Sequence[FilledRow]) -> tuple[FilledCurve, ...]:
    """Return the curves of a table, point by point means over the seeds of a row.

    Raises:
        ConfigError: If no run has a curve, if the runs of one row differ in their number of
            points, or if a value at or below 0 would stand on a logarithmic axis.
    """
    filled = []
    for curve in spec.curves:
        where = f"{spec.file or 'the table'}: table {spec.title!r}, curve {curve.name!r}"
        _check_present(curve.name, rows, where)
        lines = [line for row in rows for line in _lines(curve, row, where)]
        filled.append(FilledCurve(curve, tuple(lines)))
    return tuple(filled)


def curve_drawings(curves: Sequence[FilledCurve]) -> list[tuple[Markup, str]]:
    """Return a drawing and its caption for each curve that has points."""
    return [
        (drawn(curve), f"{curve.title}; mean over seeds, dashed as published")
        for curve in curves
        if any(line.is_finite for line in curve.lines)
    ]


def curve_lists(curves: Sequence[FilledCurve]) -> list[str]:
    """Return the points of curves as lines of Markdown."""
    lines: list[str] = []
    for curve in curves:
        listed = [
            f"- {line.name}: {', '.join(f'({x:.4g}, {y:.4g})' for x, y in line.points)}"
            for line in curve.lines
        ]
        lines += ["", f"{curve.title}:", "", *listed] if listed else []
    return lines


def _check_present(name: str, rows: Sequence[FilledRow], where: str) -> None:
    used = [run for row in rows for run in row.runs]
    known = sorted({key for run in used for key in run.result.curves})
    if used and name not in known:
        raise ConfigError(
            f"{where}: none of its {len(used)} results has it.{closest(name, known, most=3)} "
            f"They have {', '.join(known) or 'no curves'}"
        )


def _lines(curve: CurveSpec, row: FilledRow, where: str) -> Iterator[Line]:
    of_runs = [run.result.curves for run in row.runs]
    measured = [curves[curve.name] for curves in of_runs if curve.name in curves]
    if len({len(points) for points in measured}) > 1:
        counts = ", ".join(str(len(points)) for points in measured)
        raise ConfigError(f"{where}: the runs of {row.name} have {counts} points: not one curve")
    found = [Line(row.name, _mean(measured))] if measured else []
    if curve.name in row.row.published_curves:
        found.append(Line(row.name, row.row.published_curves[curve.name], is_published=True))
    for line in found:
        lowest = min((x for x, _ in line.points), default=1.0)
        if curve.is_logarithmic and lowest <= 0:
            raise ConfigError(
                f"{where}: {line.name} has a point at {curve.x} = {lowest:g}, which no "
                "logarithmic axis has: leave 'scale: log' out"
            )
        if line.points:
            yield line


def _mean(measured: Sequence[Curve]) -> Curve:
    """Return the mean of curves, their first points with each other and so on."""
    return tuple(
        (statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points))
        for points in zip(*measured, strict=True)
    )


def drawn(curve: FilledCurve) -> Markup:
    """Return the finite lines of a curve as a drawing with a legend; there is at least one."""
    lines = [line for line in curve.lines if line.is_finite]
    points = [point for line in lines for point in line.points]
    across = axis_below([x for x, _ in points], is_logarithmic=curve.spec.is_logarithmic)
    up = axis_beside([y for _, y in points])
    parts = [grid(across, up, (curve.spec.x, curve.spec.y), lambda tick: f"{tick:g}")]
    rows = list(dict.fromkeys(line.row for line in lines))
    for number, line in enumerate(lines):
        ink = INKS[rows.index(line.row) % len(INKS)]
        style = DASHES if line.is_published else PLAIN
        places = [(across(x), up(y)) for x, y in line.points]
        parts.append(path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places), ink, style))
        for (x, y), (right, high) in zip(line.points, places, strict=True):
            parts.append(dot(right, high, 3.5, ink, f"{line.name}: {y:.4g} at {x:.4g}"))
        below = HEIGHT + 8 + number * LEGEND_LINE
        parts.append(path(f"M{LEFT} {below}H{LEFT + 28}", ink, style))
        parts.append(text(LEFT + 36, below + 4, line.name, "start", ink="currentColor"))
    return drawing(parts, curve.title, HEIGHT + 8 + len(lines) * LEGEND_LINE)
