"""What drawings in SVG share: size, axes with round numbers, a grid, text, lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 16, 50
FAINT, LINE, ACCENT = "var(--faint)", "var(--line)", "var(--accent)"  # colours of the page
_FEWEST_TICKS = 2


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels between two ends."""

    low: float
    high: float
    begin: float
    end: float
    is_logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
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
            powers = [s * 10.0**e for e in range(first, first + 15) for s in (1, 2, 5)]
            found = self._inside(powers)
            if len(found) >= _FEWEST_TICKS:
                return found
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step)
        return self._inside([n * step for n in range(first, first + 20)])

    def _inside(self, values: Iterable[float]) -> list[float]:
        return [value for value in values if self.low <= value <= self.high]


def axis_below(values: Sequence[float], *, is_logarithmic: bool, least: float = -math.inf) -> Axis:
    """Return the axis below a drawing on which some values stand.

    Args:
        values: Above 0 on a logarithmic axis.
        is_logarithmic: Which of both it is.
        least: A linear axis does not begin below it.
    """
    low, high = min(values), max(values)
    begin, end = LEFT + 12, WIDTH - RIGHT - 12
    if is_logarithmic:
        return Axis(low / 1.3, high * 1.3, begin, end, is_logarithmic=True)
    room = 0.12 * (high - low) or 0.5 * abs(high) or 0.5
    return Axis(max(low - room, least), high + room, begin, end)


def axis_beside(values: Sequence[float]) -> Axis:
    """Return the axis beside a drawing on which some values stand."""
    low, high = min(values), max(values)
    room = 0.1 * (high - low) or 0.5
    return Axis(low - room, high + room, HEIGHT - BOTTOM, TOP)


def grid(
    across: Axis, up: Axis, headings: tuple[str, str], number: Callable[[float], str]
) -> Markup:
    """Return the lines behind a drawing, with numbers and headings at both axes.

    Args:
        across: The axis below.
        up: The axis beside.
        headings: What stands below and beside.
        number: Writes a value of the axis below.
    """
    parts = []
    for tick in across.ticks():
        x = across(tick)
        parts.append(path(f"M{x:.1f} {TOP}V{HEIGHT - BOTTOM}", LINE))
        parts.append(text(x, HEIGHT - BOTTOM + 18, number(tick), "middle"))
    for tick in up.ticks():
        y = up(tick)
        parts.append(path(f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", LINE))
        parts.append(text(LEFT - 8, y + 4, f"{tick:.4g}", "end"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, headings[0], "middle"))
    turned = Markup('<g transform="translate(14 {}) rotate(-90)">{}</g>')
    parts.append(turned.format((TOP + HEIGHT - BOTTOM) / 2, text(0, 0, headings[1], "middle")))
    return Markup("").join(parts)


def dot(x: float, y: float, radius: float, ink: str, tip: str) -> Markup:
    """Return a point whose tip shows when the pointer rests on it."""
    return Markup('<circle cx="{}" cy="{}" r="{}" fill="{}"><title>{}</title></circle>').format(
        f"{x:.1f}", f"{y:.1f}", radius, ink, tip
    )


def text(x: float, y: float, words: str, anchor: str, ink: str = FAINT) -> Markup:
    """Return words at a place; ``anchor`` is SVG's: start, middle or end."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}">{}</text>').format(
        x, y, anchor, ink, escape(words)
    )


def path(drawn: str, ink: str, style: str = "") -> Markup:
    """Return a line; ``style`` is CSS, as ``"stroke-dasharray: 5 4"``."""
    look = Markup(' style="{}"').format(style) if style else ""
    return Markup('<path d="{}" stroke="{}" fill="none"{}/>').format(drawn, ink, look)


def drawing(parts: Iterable[Markup], label: str, height: float = HEIGHT) -> Markup:
    """Return parts as one drawing; ``label`` says what it shows to those who cannot see it."""
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" font-size="12" '
        'fill="currentColor">{}</svg>'
    ).format(WIDTH, height, label, Markup("").join(parts))


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step)
