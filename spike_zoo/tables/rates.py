"""How the curves of a table compare: BD-rates of its rows against the row that is the anchor."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from spike_zoo.metrics.rate import Interpolation, bd_rate
from spike_zoo.tables.columns import Column
from spike_zoo.tables.noise import Sample, pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.records.result import Curve
    from spike_zoo.tables.curves import FilledCurve, Line
    from spike_zoo.tables.filled import FilledRow
    from spike_zoo.tables.spec import Expectation

METHODS: Final[tuple[Interpolation, ...]] = get_args(Interpolation)
BD_RATE: Final = Column("test/bd_rate", "test/bd_rate", "lower")
"""How BD-rates are written, and which way is better."""
NAMES: Final[dict[Interpolation, str]] = {"cubic": "cubic", "pchip": "PCHIP"}


@dataclass(frozen=True)
class Compared:
    """BD-rates of a row.

    Attributes:
        values: In percent, one for each seed; empty where there is none.
        reason: Why there is none.
    """

    values: tuple[float, ...] = ()
    reason: str = ""

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
        """What stands in a cell."""
        if self.mean is None:
            return "n/a"
        text = BD_RATE.text(round(self.mean, 2) + 0.0)  # no minus before nothing
        return text if self.deviation is None else f"{text} ± {BD_RATE.text(self.deviation)}"


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
    measured = _curves_of(curve, _row(rows, row))
    return _compared(measured, _anchor(curve, anchor), method)


def rate_samples(
    curve: FilledCurve, rows: Sequence[FilledRow], expectation: Expectation, method: Interpolation
) -> tuple[Sample | None, Sample | None]:
    """Return the BD-rate of a claim's row and the limit, which has the noise of the anchor.

    The spread of seeds is pooled over the rows of the curve, all against the same anchor.
    """
    row, anchor = _row(rows, expectation.row), _row(rows, str(expectation.anchor))
    pairs = [(one, compared(curve, rows, one.name, anchor.name, method)) for one in rows]
    trained = [found for one, found in pairs if one.is_trained]
    spread = pool((len(one.values), one.deviation) for one in trained if one.deviation is not None)
    limit = Sample(
        expectation.limit or 0.0, len(_curves_of(curve, anchor)) or 1, spread, not anchor.is_trained
    )
    if any(not line.is_finite for line in curve.lines if line.row in (row.name, anchor.name)):
        return Sample(math.nan), limit
    mean = compared(curve, rows, row.name, anchor.name, method)
    if mean.mean is None:
        return None, limit
    return Sample(mean.mean, len(mean.values), spread, not row.is_trained), limit


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
        return Compared(reason="the anchor was not measured" if tested else "")
    found = [bd_rate(anchor, points, method) for points in tested]
    fault = next((one.reason for one in found if math.isnan(one.percent)), "")
    return Compared(reason=fault) if fault else Compared(tuple(one.percent for one in found))


def _row(rows: Sequence[FilledRow], name: str) -> FilledRow:
    return next(one for one in rows if one.name == name)


def _curves_of(curve: FilledCurve, row: FilledRow) -> list[Curve]:
    """Return the curve of each run of a row that measured it."""
    found = [run.result.curves.get(curve.spec.name, ()) for run in row.runs]
    return [points for points in found if points]
