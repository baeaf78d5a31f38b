"""Quality against cost as a small drawing in SVG, readable on light and dark paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from spike_zoo.tables.drawing import (
    ACCENT,
    BOTTOM,
    HEIGHT,
    LEFT,
    WIDTH,
    axis_below,
    axis_beside,
    dot,
    drawing,
    grid,
    path,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.filled import FilledTable

LETTER, LINE = 6.4, 13.0  # size of a label's letter and line in pixels
COSTS: Final = ("parameters", "macs")
_WIDE: Final = 8.0  # from this ratio on, costs stand on a logarithmic axis


@dataclass(frozen=True)
class Point:
    """One row of a table: cost, quality, deviation of the quality over seeds."""

    name: str
    cost: float
    quality: float
    deviation: float = 0.0


def cost_plots(table: FilledTable) -> list[tuple[Markup, str]]:
    """Return drawings of the first quality column against parameters and MACs, with captions.

    A drawing needs two rows with both values, at different costs.
    """
    quality = next((c for c in table.columns if not c.is_cost and c.better != "neither"), None)
    if quality is None:
        return []
    drawings = []
    for cost in table.columns:
        points = _points(table, cost, quality) if cost.key in COSTS else []
        if len({point.cost for point in points}) > 1:
            caption = f"{quality.heading} against {cost.heading}; bars: deviation over seeds"
            drawings.append((scatter(points, cost, quality), caption))
    return drawings


def scatter(points: Sequence[Point], cost: Column, quality: Column) -> Markup:
    """Return labelled points as SVG."""
    costs = [point.cost for point in points]
    is_wide = min(costs) > 0 and max(costs) / min(costs) > _WIDE
    to_x = axis_below(costs, is_logarithmic=is_wide, least=0.0)
    ends = [point.quality + sign * point.deviation for point in points for sign in (-1, 1)]
    to_y = axis_beside(ends)
    parts = [grid(to_x, to_y, (cost.heading, quality.heading), lambda tick: _short(cost, tick))]
    taken: list[tuple[float, float, float, float]] = [
        (to_x(p.cost) - 6, to_y(p.quality) - 6, to_x(p.cost) + 6, to_y(p.quality) + 6)
        for p in points
    ]
    for point in sorted(points, key=lambda one: one.cost):
        x, y = to_x(point.cost), to_y(point.quality)
        if point.deviation:
            bar = to_y(point.quality - point.deviation), to_y(point.quality + point.deviation)
            parts.append(path(f"M{x:.1f} {bar[0]:.1f}V{bar[1]:.1f}", ACCENT))
        tip = f"{point.name}: {quality.text(point.quality)} at {cost.text(point.cost)}"
        parts.append(dot(x, y, 4.5, ACCENT, tip))
        parts.append(_label(point.name, x, y, taken))
    return drawing(parts, f"{quality.heading} against {cost.heading}")


def _points(table: FilledTable, cost: Column, quality: Column) -> list[Point]:
    columns = list(table.columns)
    first, second = columns.index(cost), columns.index(quality)
    points = []
    for row in table.rows:
        price, value = row.cells[first].mean, row.cells[second]
        if price is not None and value.mean is not None:
            points.append(Point(row.name, price, value.mean, value.deviation or 0.0))
    return points


def _label(name: str, x: float, y: float, taken: list[tuple[float, float, float, float]]) -> Markup:
    """Return a point's name beside it, where nothing else stands; nothing where none is free."""
    width = LETTER * len(name)
    places = [(9.0, 4.0), (-9.0 - width, 4.0), (-width / 2, -10.0), (-width / 2, 19.0)]
    places += [(7.0, -9.0), (7.0, 18.0), (-7.0 - width, -9.0), (-7.0 - width, 18.0)]
    for right, down in places:
        box = (x + right, y + down - LINE + 3, x + right + width, y + down + 3)
        is_inside = box[0] >= LEFT and box[2] <= WIDTH and box[1] >= 0 and box[3] < HEIGHT - BOTTOM
        if is_inside and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return text(x + right, y + down, name, "start", ink="currentColor")
    return Markup("")


def _overlap(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )


def _short(cost: Column, value: float) -> str:
    if cost.key != "parameters":
        return f"{float(cost.text(value).replace(',', '')):g}"
    return f"{value / 1e6:g} M" if value >= 1e5 else f"{value:g}"
