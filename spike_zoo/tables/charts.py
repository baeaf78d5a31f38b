"""Charts of quality against cost and of curves, as SVG and as images."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.media.charts import (
    COLOURS,
    INK,
    new_chart,
    new_charts,
    set_log_scale,
    to_array,
    to_svg,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from spike_zoo.tables.aggregate import FilledTable
    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.rates import FilledCurve

COSTS: Final = ("parameters", "macs")
_MARKERS: Final = "os^D"
_COLUMNS: Final = 3  # charts next to each other in a picture of several charts
_LOG_RATIO: Final = 8.0  # ratio of largest to smallest cost above which the axis is logarithmic
#: Offsets in points of a label from its data point, and its alignment.
_PLACES: Final = (
    *((7, 0, "left", "center"), (-7, 0, "right", "center")),
    *((0, 7, "center", "bottom"), (0, -7, "center", "top")),
    *((6, 6, "left", "bottom"), (6, -6, "left", "top")),
    *((-6, 6, "right", "bottom"), (-6, -6, "right", "top")),
)


def cost_charts(table: FilledTable) -> list[tuple[Markup, str]]:
    """Return charts of the first quality column against parameters and MACs, with captions.

    A chart needs two rows with both values, at different costs.
    """
    quality = next((c for c in table.columns if not c.is_cost and c.better != "neither"), None)
    if quality is None:
        return []
    charts = []
    for cost in table.columns:
        if cost.metric not in COSTS:
            continue
        points = _points(table, cost, quality)
        if len({x for _, x, _, _ in points}) > 1:
            caption = f"{quality.heading} against {cost.heading}; bars: deviation over seeds"
            charts.append((_cost_chart(points, cost, quality), caption))
    return charts


def curve_chart(curve: FilledCurve) -> Markup:
    """Return a chart with the finite lines of a curve and a legend.

    Args:
        curve: A curve with at least one finite line.
    """
    names = list(dict.fromkeys(line.row for line in curve.lines if line.is_finite))
    figure, axes = new_chart(height=3.8 + 0.2 * len(curve.lines))
    _draw(axes, curve, names)
    figure.legend(loc="outside lower left", frameon=False, fontsize=9, labelcolor=INK)
    return to_svg(figure, curve.title)


def curves_picture(curves: Sequence[FilledCurve]) -> NDArray[np.uint8]:
    """Return a picture of all curves, three charts in a row, uint8 ``(H, W, 3)``."""
    rows = math.ceil(len(curves) / _COLUMNS)
    names = list(dict.fromkeys(line.row for filled in curves for line in filled.lines))
    figure, grid = new_charts(rows, _COLUMNS, width=11.0, height=3.2 * rows)
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
        axes.set_xscale("symlog", linthresh=min(x for line in lines for x, _ in line.points if x))
    for line in lines:
        x, y = zip(*line.points, strict=True)
        turn, number = divmod(names.index(line.row), len(COLOURS))
        marker = _MARKERS[turn % len(_MARKERS)]
        style: dict[str, Any] = {"color": COLOURS[number], "marker": marker}
        dashes = "--" if line.is_published else "-"
        axes.plot(x, y, dashes, markersize=4, label=_plain(line.name), **style)


def curve_charts(curves: Sequence[FilledCurve]) -> list[tuple[Markup, str]]:
    """Return a chart and its caption for each curve that has a finite line."""
    return [
        (curve_chart(curve), f"{curve.title}; mean over seeds, dashed: published")
        for curve in curves
        if any(line.is_finite for line in curve.lines)
    ]


def _points(
    table: FilledTable, cost: Column, quality: Column
) -> list[tuple[str, float, float, float]]:
    """Return name, cost, quality and its deviation of rows that have both, sorted by cost."""
    first, second = table.columns.index(cost), table.columns.index(quality)
    pairs = [(row.name, row.cells[first].mean, row.cells[second]) for row in table.rows]
    points = [
        (name, cost_value, value.mean, value.deviation or 0.0)
        for name, cost_value, value in pairs
        if cost_value is not None and value.mean is not None
    ]
    return sorted(points, key=lambda point: point[1])


def _cost_chart(
    points: Sequence[tuple[str, float, float, float]], cost: Column, quality: Column
) -> Markup:
    figure, axes = new_chart()
    scale = 1e-9 if cost.metric == "macs" else 1e-6
    heading = cost.heading if cost.metric == "macs" else f"{cost.heading} (millions)"
    names, costs, means, deviations = zip(*points, strict=True)
    x = [value * scale for value in costs]
    if x[0] > 0 and x[-1] / x[0] > _LOG_RATIO:
        set_log_scale(axes)
    axes.set(xlabel=_plain(heading), ylabel=_plain(quality.heading))
    axes.margins(0.12)
    axes.errorbar(x, means, deviations, fmt="o", color=COLOURS[0], markersize=6)
    figure.draw_without_rendering()  # fixes the limits of the axes, on which labels depend
    _write_names(axes, list(names), list(zip(x, means, strict=True)))
    return to_svg(figure, f"{quality.heading} against {cost.heading}")


def _write_names(axes: Axes, names: list[str], points: list[tuple[float, float]]) -> None:
    """Write the labels of points; omit a label if every position overlaps another element."""
    taken: list[tuple[float, ...]] = []
    for point in points:
        x, y = axes.transData.transform(point)
        taken.append((x - 5, y - 5, x + 5, y + 5))
    frame = axes.get_window_extent()
    for name, point in zip(names, points, strict=True):
        for right, up, side, height in _PLACES:
            text = axes.annotate(
                _plain(name),
                point,
                (right, up),
                textcoords="offset points",
                ha=side,
                va=height,
                fontsize=8,
                color=INK,
            )
            box = text.get_window_extent().extents
            is_inside = all(frame.contains(*corner) for corner in (box[:2], box[2:]))
            overlaps = any(
                box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
                for other in taken
            )
            if is_inside and not overlaps:
                taken.append(tuple(box))
                break
            text.remove()


def _plain(text: str) -> str:
    """Return a text with escaped dollar signs, which matplotlib would read as formulas."""
    return text.replace("$", r"\$")
