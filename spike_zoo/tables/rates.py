"""How the curves of a table compare: BD-rates of its rows against the row that is the anchor."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from spike_zoo.metrics.rate import Interpolation, bd_rate
from spike_zoo.tables.columns import Column
from spike_zoo.tables.expect import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.curves import FilledCurve, Line
    from spike_zoo.tables.filled import FilledRow
    from spike_zoo.tracking.result import Curve

METHODS: Final[tuple[Interpolation, ...]] = get_args(Interpolation)
BD_RATE: Final = Column("test/bd_rate", "test/bd_rate", "lower")
"""How BD-rates are written, and which way is better."""
NAMES: Final[dict[Interpolation, str]] = {"cubic": "cubic", "pchip": "PCHIP"}


@dataclass(frozen=True)
class Compared:
    """A BD-rate over the seeds of a row.

    Attributes:
        sample: In percent; None where there is none.
        reason: Why there is none.
    """

    sample: Sample | None
    reason: str = ""

    @property
    def text(self) -> str:
        """What stands in a cell."""
        if self.sample is None:
            return "n/a"
        text = BD_RATE.text(round(self.sample.mean, 2) + 0.0)  # no minus before nothing
        if self.sample.deviation is not None:
            text += f" ± {BD_RATE.text(self.sample.deviation)}"
        return text


def compared(
    curve: FilledCurve,
    rows: Sequence[FilledRow],
    row: str,
    anchor: str,
    method: Interpolation,
) -> Compared:
    """Return the BD-rate of what a row's runs measured, one for each seed.

    Args:
        curve: With the lines of the table.
        rows: Of the table, whose runs have the single curves.
        row: The row in question.
        anchor: The row whose curve, the mean over its seeds, it is held against; a published one
            where it was not measured here.
        method: How rates are interpolated.
    """
    filled = next(one for one in rows if one.name == row)
    runs = [run.result.curves.get(curve.spec.name, ()) for run in filled.runs]
    sample = _compared([points for points in runs if points], _anchor(curve, anchor), method)
    if sample.sample is None or any(run.is_trained for run in filled.runs):
        return sample
    found = sample.sample
    return Compared(Sample(found.mean, found.deviation, found.count, is_exact=True))


def rate_table(curve: FilledCurve, rows: Sequence[FilledRow]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a curve with an anchor: its points, and both BD-rates."""
    anchor, most = str(curve.spec.anchor), max((len(one.points) for one in curve.lines), default=0)
    places = [f"q{number}" for number in range(most)]
    head = ["", *places, *(f"BD-rate, {NAMES[method]} (%) ↓" for method in METHODS)]
    body = []
    for line in curve.lines:
        points = [f"{x:.4g}; {y:.4g}" for x, y in line.points]
        found = [_of_line(curve, rows, line, anchor, method).text for method in METHODS]
        body.append([line.name, *points, *[""] * (most - len(points)), *found])
    return head, body


def rate_notes(curve: FilledCurve, rows: Sequence[FilledRow]) -> list[str]:
    """Return what the numbers of :func:`rate_table` are, and why some are missing."""
    anchor = str(curve.spec.anchor)
    notes = [
        f"Points are {curve.spec.x}; {curve.spec.y}. BD-rate: by how much more of {curve.spec.x} "
        f"than {anchor} a row has the same {curve.spec.y}, on average."
    ]
    missing: dict[str, list[str]] = {}
    for line in curve.lines:
        reason = _of_line(curve, rows, line, anchor, METHODS[0]).reason
        if reason:
            missing.setdefault(reason, []).append(line.name)
    return [*notes, *(f"n/a of {' / '.join(names)}: {why}." for why, names in missing.items())]


def rate_values(
    curve: FilledCurve, rows: Sequence[FilledRow], line: Line
) -> dict[Interpolation, Compared]:
    """Return the BD-rates of one line against the curve's anchor, by method."""
    anchor = str(curve.spec.anchor)
    return {method: _of_line(curve, rows, line, anchor, method) for method in METHODS}


def _of_line(
    curve: FilledCurve,
    rows: Sequence[FilledRow],
    line: Line,
    anchor: str,
    method: Interpolation,
) -> Compared:
    if not line.is_published:
        return compared(curve, rows, line.row, anchor, method)
    return _compared([line.points], _anchor(curve, anchor), method)


def _anchor(curve: FilledCurve, name: str) -> Curve:
    """Return the line of a row, measured before published; nothing where it has none."""
    return next((line.points for line in curve.lines if line.row == name), ())


def _compared(tested: Sequence[Curve], anchor: Curve, method: Interpolation) -> Compared:
    if not tested or not anchor:
        return Compared(None, "" if not tested else "the anchor was not measured")
    found = [bd_rate(anchor, points, method) for points in tested]
    fault = next((one.reason for one in found if math.isnan(one.percent)), "")
    if fault:
        return Compared(None, fault)
    values = [one.percent for one in found]
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Compared(Sample(statistics.fmean(values), deviation, len(values)))
