"""Quality against cost as a small drawing in SVG, readable on light and dark paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.columns import Column
    from spike_zoo.tables.fill import FilledTable

WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 16, 50
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


@dataclass(frozen=True)
class _Axis:
    """Maps values to pixels between two ends."""

    low: float
    high: float
    begin: float
    end: float
    is_logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (
            (math.log(one) for one in (self.low, self.high, value))
            if self.is_logarithmic
            else (self.low, self.high, value)
        )
        return self.begin + (value - low) / (high - low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Return round values inside, three to eight."""
        if self.is_logarithmic:
            first = math.floor(math.log10(self.low))
            steps = (1, 2, 5)
            found = [s * 10.0**e for e in range(first, first + 15) for s in steps]
        else:
            step = _round_step((self.high - self.low) / 5)
            first = math.ceil(self.low / step)
            found = [n * step for n in range(first, first + 20)]
        return [tick for tick in found if self.low <= tick <= self.high]


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
    across = _cost_axis([point.cost for point in points])
    up = _quality_axis(points)
    parts = [_grid(across, up, cost, quality)]
    taken: list[tuple[float, float, float, float]] = [
        (across(p.cost) - 6, up(p.quality) - 6, across(p.cost) + 6, up(p.quality) + 6)
        for p in points
    ]
    for point in sorted(points, key=lambda one: one.cost):
        x, y = across(point.cost), up(point.quality)
        if point.deviation:
            ends = up(point.quality - point.deviation), up(point.quality + point.deviation)
            parts.append(_path(f"M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}", "var(--accent)"))
        tip = f"{point.name}: {quality.text(point.quality)} at {cost.text(point.cost)}"
        parts.append(
            Markup(
                '<circle cx="{}" cy="{}" r="4.5" fill="var(--accent)"><title>{}</title></circle>'
            ).format(f"{x:.1f}", f"{y:.1f}", tip)
        )
        parts.append(_label(point.name, x, y, taken))
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" font-size="12" '
        'fill="currentColor">{}</svg>'
    ).format(WIDTH, HEIGHT, f"{quality.heading} against {cost.heading}", Markup("").join(parts))


def _points(table: FilledTable, cost: Column, quality: Column) -> list[Point]:
    columns = list(table.columns)
    first, second = columns.index(cost), columns.index(quality)
    points = []
    for row in table.rows:
        price, value = row.cells[first].mean, row.cells[second]
        if price is not None and value.mean is not None:
            points.append(Point(row.name, price, value.mean, value.deviation or 0.0))
    return points


def _cost_axis(costs: Sequence[float]) -> _Axis:
    low, high = min(costs), max(costs)
    begin, end = LEFT + 12, WIDTH - RIGHT - 12
    if low > 0 and high / low > _WIDE:
        return _Axis(low / 1.3, high * 1.3, begin, end, is_logarithmic=True)
    room = 0.12 * (high - low)
    return _Axis(max(low - room, 0.0), high + room, begin, end)


def _quality_axis(points: Sequence[Point]) -> _Axis:
    low = min(point.quality - point.deviation for point in points)
    high = max(point.quality + point.deviation for point in points)
    room = 0.1 * (high - low) or 0.5
    return _Axis(low - room, high + room, HEIGHT - BOTTOM, TOP)


def _grid(across: _Axis, up: _Axis, cost: Column, quality: Column) -> Markup:
    parts = []
    for tick in across.ticks():
        x = across(tick)
        parts.append(_path(f"M{x:.1f} {TOP}V{HEIGHT - BOTTOM}", "var(--line)"))
        parts.append(_text(x, HEIGHT - BOTTOM + 18, _short(cost, tick), "middle"))
    for tick in up.ticks():
        y = up(tick)
        parts.append(_path(f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", "var(--line)"))
        parts.append(_text(LEFT - 8, y + 4, f"{tick:.4g}", "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, cost.heading, "middle"))
    turned = Markup('<g transform="translate(14 {}) rotate(-90)">{}</g>')
    parts.append(turned.format((TOP + HEIGHT - BOTTOM) / 2, _text(0, 0, quality.heading, "middle")))
    return Markup("").join(parts)


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
            return _text(x + right, y + down, name, "start", ink="currentColor")
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


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step)


def _short(cost: Column, value: float) -> str:
    if cost.key != "parameters":
        return f"{float(cost.text(value).replace(',', '')):g}"
    return f"{value / 1e6:g} M" if value >= 1e5 else f"{value:g}"


def _text(x: float, y: float, text: str, anchor: str, ink: str = "var(--faint)") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}">{}</text>').format(
        x, y, anchor, ink, escape(text)
    )


def _path(drawn: str, ink: str) -> Markup:
    return Markup('<path d="{}" stroke="{}" fill="none"/>').format(drawn, ink)
